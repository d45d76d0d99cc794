"""The tables and pictures of the two pages on performance, from the results alone.

They are those of `recurrence.json`, and of `avx512.json` what was measured again on a
processor that multiplies faster.

    python benchmarks/performance.py    # fills the pages and draws docs/images/

A table stands between two comments that name it; the text around holds whatever the
numbers are. `tests/benchmarks/test_performance.py` compares the pages with the results.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import choices
import performance_plots
import promises
import recurrence
import targets
from contestants import OURS
from markdown import BACKENDS, COLUMNS, line
from promises import plain_rows
from shapes import GROWTH, SHAPES

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (DOCS / "performance.md", DOCS / "performance_in_detail.md")
FASTER = recurrence.OUTPUT.with_name("avx512.json")
PROFILED = ("pmnist", "wide", "long")  # at small, calls and not products rule
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

Row = dict[str, Any]


def main() -> None:
    record, faster = recurrence.load(recurrence.OUTPUT), recurrence.load(FASTER)
    for page in PAGES:
        filled = fill(page.read_text(encoding="utf-8"), record, faster)
        page.write_text(filled, encoding="utf-8")
    performance_plots.draw(record, DOCS / "images")


def fill(page: str, record: dict[str, Any], faster: dict[str, Any]) -> str:
    """Return the page with the tables of these records."""
    made = tables(record, faster)
    return BLOCK.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[4]}", page)


def tables(record: dict[str, Any], faster: dict[str, Any]) -> dict[str, str]:
    """Return every table of the pages by its name."""
    return {
        "machine": measured(record),
        "targets": targets.table(record),
        "promises": promises.table(record),
        **{f"training_{name}": training(record, name) for name in SHAPES},
        **{name: phase(record, name) for name in ("inference", "streaming")},
        "compiling": compiling(record),
        "memory": memory(record),
        "profile": profile(record),
        "digits": digits(record),
        "growth": grown(record),
        "paths": paths(record),
        "choices": choices.table(record, faster),
        "batches": choices.batches(record),
        "faster_machine": measured(faster),
        "faster_targets": targets.table(faster),
        "faster_promises": promises.table(faster),
        "faster_training": training(faster, "pmnist"),
    }


def measured(record: dict[str, Any]) -> str:
    """Return what each run was measured with."""
    head = ["run", "processor", "cores", "versions", "date", "commit", "complete"]
    return "\n".join([*_head(head), *_machines(record)])


def _machines(record: dict[str, Any]) -> list[str]:
    parts = [(run, run["shape"]["name"], run["complete"]) for run in record["runs"]]
    if "half_precision" in record:
        run = record["half_precision"]
        parts.append((run, run["shape"]["name"], run["complete"]))
    parts += [(run, "growth", True) for run in record["growth"]]
    lines = []
    for run, name, complete in parts:
        backend, machine = run["backend"], run["machine"]
        versions = f"{BACKENDS[backend]} {machine['versions'][backend]}, "
        versions += f"Keras {machine['versions']['keras']}"
        commit, *dirty = run["commit"].split("-")
        cells = [
            f"{BACKENDS[backend]}, {name}",
            machine["processor"],
            str(machine["cores"]),
            versions,
            machine["date"],
            "-".join([commit[:7], *dirty]),
            "yes" if complete else "no",
        ]
        lines.append(line(cells))
    return lines


def training(record: dict[str, Any], shape: str) -> str:
    """Return a shape's training steps: a row for each contestant and mode."""
    runs = {run["backend"]: run for run in targets.runs(record, shape)}
    modes = [
        (row["contestant"], row["flush_denormals"])
        for run in runs.values()
        for row in run["contestants"]
    ]
    columns = [column for column in COLUMNS if column[0] in runs]
    lines = [
        line(
            [
                name + (", denormals flushed" if flush else ""),
                *(
                    _time(_find(runs[backend], name, jit, flush), "training")
                    for backend, jit in columns
                ),
            ]
        )
        for name, flush in dict.fromkeys(modes)
    ]
    titles = [COLUMNS[column] for column in columns]
    return "\n".join([*_head(["contestant", *titles]), *lines])


def phase(record: dict[str, Any], name: str) -> str:
    """Return inference or streaming: contestants down, shapes across, by backend."""
    return _by_mode(record, lambda row: _time(row, name))


def compiling(record: dict[str, Any]) -> str:
    """Return the first training step, which compiles."""
    return _by_mode(record, _first)


def memory(record: dict[str, Any]) -> str:
    """Return the memory that a training step takes at most."""
    return _by_mode(record, _mebibytes)


def profile(record: dict[str, Any]) -> str:
    """Return where a training step of each of our layers spends its time."""
    head = ["backend", "shape", "layer", "step", "products", "projection", "the rest"]
    lines = []
    for (backend, jit), title in COLUMNS.items():
        for shape in PROFILED:
            for run in targets.runs(record, shape):
                if run["backend"] == backend:
                    lines += [
                        line([title, shape, *cells]) for cells in _profiles(run, jit)
                    ]
    return "\n".join([*_head(head), *lines])


def _profiles(run: Row, jit: bool) -> Iterator[list[str]]:
    products = [row["training"]["ms"] for row in plain_rows(run, "matrix product")]
    for name in OURS:
        row = _find(run, name, jit, False)
        if products and row and "ms" in row.get("projection", {}):
            step = row["training"]["ms"]
            parts = (3.0 * min(products), row["projection"]["ms"])
            shares = (*parts, step - sum(parts))
            yield [
                name,
                _three(step),
                *(f"{_three(ms)} ({ms / step:.1%})" for ms in shares),
            ]


def digits(record: dict[str, Any]) -> str:
    """Return the accuracies of `half_precision.py`."""
    found = record.get("digits", {"summary": [], "runs": []})
    lines = [
        line(
            [
                f"`{row['policy']}`",
                str(sum(run["policy"] == row["policy"] for run in found["runs"])),
                f"{row['mean']:.1%} ± {row['standard_deviation']:.1%}",
                f"{row['least']:.1%}–{row['most']:.1%}",
            ]
        )
        for row in found["summary"]
    ]
    head = ["policy", "seeds", "test accuracy, mean ± standard deviation", "range"]
    return "\n".join([*_head(head), *lines])


def _by_mode(record: dict[str, Any], show: Any) -> str:
    lines = []
    for backend, jit in COLUMNS:
        runs = [run for run in record["runs"] if run["backend"] == backend]
        by_shape = {run["shape"]["name"]: run for run in runs}
        names = [row["contestant"] for run in runs for row in run["contestants"]]
        for name in dict.fromkeys(names):
            cells = [
                show(_find(by_shape.get(shape), name, jit, False)) for shape in SHAPES
            ]
            if any(cells):
                lines.append(line([COLUMNS[backend, jit], name, *cells]))
    return "\n".join([*_head(["backend", "contestant", *SHAPES]), *lines])


def grown(record: dict[str, Any]) -> str:
    """Return the exponents of the growth, by backend."""
    found = {
        (run["backend"], row["jit_compile"], row["axis"]): f"{row['exponent']:.2f}"
        for run in record["growth"]
        for row in run["exponents"]
    }
    lines = [
        line([title, *(found.get((*column, axis), "") for axis in GROWTH)])
        for column, title in COLUMNS.items()
    ]
    return "\n".join([*_head(["backend", *GROWTH]), *lines])


def paths(record: dict[str, Any]) -> str:
    """Return the fused recurrence's time by that of Keras' loop, at each size."""
    found: dict[tuple[str, bool, str], list[str]] = {}
    for run in record["growth"]:
        for point in run["points"]:
            if point["loop_ms"] is not None:
                ratio = f"{point['value']:,}: {point['ms'] / point['loop_ms']:.2f}"
                key = (run["backend"], point["jit_compile"], point["axis"])
                found.setdefault(key, []).append(ratio)
    lines = []
    for column, title in COLUMNS.items():
        cells = ("<br>".join(found.get((*column, axis), ())) for axis in GROWTH)
        lines.append(line([title, *cells]))
    return "\n".join([*_head(["backend", *GROWTH]), *lines])


def _find(run: Row | None, name: str, jit: bool, flush: bool) -> Row | None:
    for row in run["contestants"] if run else ():
        mode = (row["contestant"], row["jit_compile"], row["flush_denormals"])
        if mode == (name, jit, flush):
            return row
    return None


def _time(row: Row | None, name: str) -> str:
    """Show the median and the quartiles in ms, or why there is no such thing."""
    part = (row or {}).get(name)
    if row is not None and "error" in row and not (part and "ms" in part):
        return "failed"
    if not part:
        return ""
    if "stopped_after_s" in part and "ms" not in part:
        return f"stopped after {part['stopped_after_s']:.0f} s"
    if part.get("once"):
        return f"once: {_three(part['ms'])}"
    low, high = part["quartiles_ms"]
    return f"{_three(part['ms'])} ({_three(low)}–{_three(high)})"


def _first(row: Row | None) -> str:
    part = (row or {}).get("training", {})
    return _three(part["first_s"]) if "first_s" in part and "ms" in part else ""


def _mebibytes(row: Row | None) -> str:
    part = (row or {}).get("training", {})
    if "mebibytes" not in part:
        return ""
    return f"{part['mebibytes']:.0f} ({part['step_mebibytes']:.0f})"


def _three(number: float) -> str:
    """Show three digits, without an exponent."""
    if number >= 100.0:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _head(names: list[str]) -> list[str]:
    return [line(names), "| --- " * len(names) + "|"]


if __name__ == "__main__":
    main()

"""What `recurrence.json` holds of a contestant, and the tables of times and memory."""

from collections.abc import Callable, Iterator
from typing import Any

from contestants import GROWTH, OURS, SHAPES
from measuring import BACKENDS, table

# A backend, and whether XLA compiles: what a table has a column or a row for.
COLUMNS = {
    ("tensorflow", False): "TensorFlow",
    ("tensorflow", True): "TensorFlow, XLA",
    ("jax", True): "JAX",
    ("torch", False): "PyTorch",
}
PROFILED = ("pmnist", "wide", "long")  # at small, calls and not products rule

Row = dict[str, Any]


def runs(record: Row, shape: str) -> Iterator[Row]:
    """Yield the runs of a shape, one for each backend."""
    return (run for run in record["runs"] if run["shape"]["name"] == shape)


def find(run: Row | None, name: str, jit: bool, flush: bool = False) -> Row | None:
    """Return a contestant's row in a mode, whether it has a time or none."""
    for row in run["contestants"] if run else ():
        mode = (row["contestant"], row["jit_compile"], row["flush_denormals"])
        if mode == (name, jit, flush):
            return row
    return None


def timed_row(run: Row | None, name: str, jit: bool, flush: bool = False) -> Row | None:
    """Return a contestant's row in a mode, if its training was timed."""
    row = find(run, name, jit, flush)
    return row if row and "ms" in row.get("training", {}) else None


def plain_rows(run: Row, name: str) -> Iterator[Row]:
    """Yield a contestant's timed rows with denormals left as they are."""
    found = (timed_row(run, name, jit) for jit in (False, True))
    return (row for row in found if row)


def measured(record: Row) -> str:
    """Return what each run was measured with."""
    parts = [(run, run["shape"]["name"], run["complete"]) for run in record["runs"]]
    if "half_precision" in record:
        run = record["half_precision"]
        parts.append((run, run["shape"]["name"], run["complete"]))
    parts += [(run, "growth", True) for run in record["growth"]]
    head = ["run", "processor", "cores", "versions", "date", "commit", "complete"]
    return table(head, (_machine(*part) for part in parts))


def _machine(run: Row, name: str, complete: bool) -> list[str]:
    backend, machine = run["backend"], run["machine"]
    versions = machine["versions"]
    commit, *dirty = run["commit"].split("-")
    return [
        f"{BACKENDS[backend]}, {name}",
        machine["processor"],
        str(machine["cores"]),
        f"{BACKENDS[backend]} {versions[backend]}, Keras {versions['keras']}",
        machine["date"],
        "-".join([commit[:7], *dirty]),
        "yes" if complete else "no",
    ]


def training(record: Row, shape: str) -> str:
    """Return a shape's training steps: a row for each contestant and mode."""
    there = {run["backend"]: run for run in runs(record, shape)}
    modes = dict.fromkeys(
        (row["contestant"], row["flush_denormals"])
        for run in there.values()
        for row in run["contestants"]
    )
    columns = [column for column in COLUMNS if column[0] in there]
    cells = (
        [
            name + (", denormals flushed" if flush else ""),
            *(
                _time(find(there[backend], name, jit, flush), "training")
                for backend, jit in columns
            ),
        ]
        for name, flush in modes
    )
    return table(["contestant", *(COLUMNS[column] for column in columns)], cells)


def phase(record: Row, name: str) -> str:
    """Return inference or streaming: contestants down, shapes across, by backend."""
    return _by_mode(record, lambda row: _time(row, name))


def compiling(record: Row) -> str:
    """Return the first training step, which compiles."""
    return _by_mode(record, _first)


def memory(record: Row) -> str:
    """Return the memory that a training step takes at most."""
    return _by_mode(record, _mebibytes)


def _by_mode(record: Row, show: Callable[[Row | None], str]) -> str:
    lines = []
    for backend, jit in COLUMNS:
        there = [run for run in record["runs"] if run["backend"] == backend]
        by_shape = {run["shape"]["name"]: run for run in there}
        names = [row["contestant"] for run in there for row in run["contestants"]]
        for name in dict.fromkeys(names):
            cells = [show(find(by_shape.get(shape), name, jit)) for shape in SHAPES]
            if any(cells):
                lines.append([COLUMNS[backend, jit], name, *cells])
    return table(["backend", "contestant", *SHAPES], lines)


def profile(record: Row) -> str:
    """Return where a training step of each of our layers spends its time."""
    head = ["backend", "shape", "layer", "step", "products", "projection", "the rest"]
    lines = (
        [title, shape, *cells]
        for (backend, jit), title in COLUMNS.items()
        for shape in PROFILED
        for run in runs(record, shape)
        if run["backend"] == backend
        for cells in _profiles(run, jit)
    )
    return table(head, lines)


def _profiles(run: Row, jit: bool) -> Iterator[list[str]]:
    products = [row["training"]["ms"] for row in plain_rows(run, "matrix product")]
    for name in OURS:
        row = timed_row(run, name, jit)
        if products and row and "ms" in row.get("projection", {}):
            step = row["training"]["ms"]
            parts = (3.0 * min(products), row["projection"]["ms"])
            shares = (*parts, step - sum(parts))
            shown = (f"{_three(ms)} ({ms / step:.1%})" for ms in shares)
            yield [name, _three(step), *shown]


def exponents(record: Row) -> str:
    """Return the exponents of the growth, by backend."""
    found = {
        (run["backend"], row["jit_compile"], row["axis"]): f"{row['exponent']:.2f}"
        for run in record["growth"]
        for row in run["exponents"]
    }
    return _by_axis(found)


def paths(record: Row) -> str:
    """Return the fused recurrence's time by that of Keras' loop, at each size."""
    found: dict[tuple[str, bool, str], list[str]] = {}
    for run in record["growth"]:
        for point in run["points"]:
            if point["loop_ms"] is not None:
                ratio = f"{point['value']:,}: {point['ms'] / point['loop_ms']:.2f}"
                key = (run["backend"], point["jit_compile"], point["axis"])
                found.setdefault(key, []).append(ratio)
    return _by_axis({key: "<br>".join(ratios) for key, ratios in found.items()})


def _by_axis(cells: dict[tuple[str, bool, str], str]) -> str:
    lines = (
        [title, *(cells.get((*column, axis), "") for axis in GROWTH)]
        for column, title in COLUMNS.items()
    )
    return table(["backend", *GROWTH], lines)


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

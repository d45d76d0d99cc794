"""The tables of `docs/theory.md` that the benchmarks fill, from their results alone.

`tests/test_docs.py` compares the page with what is made here.
"""

from collections.abc import Iterator
from typing import Any

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
# A backend, and whether XLA compiles: what a table has a column or a row for.
COLUMNS = {
    ("tensorflow", False): "TensorFlow",
    ("tensorflow", True): "TensorFlow, XLA",
    ("jax", True): "JAX",
    ("torch", False): "PyTorch",
}
HERE = "tensorflow"  # the one backend of what NumPy does


def conversion(record: dict[str, Any]) -> str:
    """Return the table of `conversion.json`: a row for each size, then the growth."""
    names = [*BACKENDS.values(), "memory", "expansive", "few states"]
    return "\n".join([*_head("n", names), *_costs(record)])


def scaling(record: dict[str, Any]) -> str:
    """Return the shares of `scaling.json`: convertible, and so without a scaling."""
    shares = {(row["n"], row["spectral_radius"]): row for row in record["shares"]}
    sizes = sorted({n for n, _ in shares})
    radii = sorted({radius for _, radius in shares})
    lines = [
        f"| {n} | {' | '.join(_share(shares[n, radius]) for radius in radii)} |"
        for n in sizes
    ]
    head = _head("n", [f"spectral radius {radius:g}" for radius in radii])
    return "\n".join([*head, *lines])


def verification(record: dict[str, Any]) -> str:
    """Return the table of `verification.json`: seconds of now, and their ratios."""
    found = {
        (row["backend"], row["target"], row["call"]): row for row in record["ratios"]
    }
    rows = dict.fromkeys((backend, target) for backend, target, _ in found)
    calls = list(dict.fromkeys(call for *_, call in found))
    lines = [
        line(
            [f"{BACKENDS[key[0]]}, {key[1]}", *(_ratio(found[*key, c]) for c in calls)]
        )
        for key in rows
    ]
    return "\n".join([*_head("", [f"`{call}`" for call in calls]), *lines])


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(first: str, names: list[str]) -> list[str]:
    return [f"| {first} | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]


def _costs(record: dict[str, Any]) -> Iterator[str]:
    runs = {(run["network"], run["backend"], run["n"]): run for run in record["runs"]}
    timed = [("contractive", backend) for backend in BACKENDS]
    others = [("expansive", HERE), ("few states", HERE)]
    for n in record["settings"]["sizes"]:
        seconds = [_seconds(runs.get((*key, n))) for key in (*timed, *others)]
        memory = max(runs[*key, n]["mebibytes"] for key in timed)
        seconds.insert(len(timed), f"{memory:.0f} MiB")
        yield f"| {n} | {' | '.join(seconds)} |"
    grown = {(row["network"], row["backend"]): row for row in record["exponents"]}
    powers = [f"n^{grown[key]['seconds']:.1f}" for key in (*timed, *others)]
    memory = max(grown[key]["mebibytes"] for key in timed)
    powers.insert(len(timed), f"n^{memory:.1f}")
    yield f"| grows like | {' | '.join(powers)} |"


def _seconds(run: dict[str, Any] | None) -> str:
    return f"{run['seconds']:.2g} s" if run else ""


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['now']:.2f} s ({row['ratio']:.2f} of 0.5.0's)"


def _share(row: dict[str, Any]) -> str:
    names = ("contractive", "powers_of_two", "generic")
    already, scaled, generic = (row.get(name, 0.0) for name in names)
    return f"{100 * (already + scaled + generic):.1f} % ({100 * already:.1f} %)"

"""What `parametrizations.py` measured: ratios, tables, and what is promised."""

from collections.abc import Iterator
from typing import Any

from contestants import PEERS
from lockstep import ratios
from measuring import BACKENDS, table

# At most so much of a step with a constraint, at the shape "pmnist".
AIMS = {
    "cayley": 1.1,
    "cayley, rebase_every=1": 1.1,
    "cayley, field=complex": 1.25,
    "exponential": 1.1,
    "exponential, rebase_every=1": 1.1,
    "exponential, field=complex": 1.25,
    "householder": 1.1,
    "projection, field=complex": 1.25,
}
AIMS_OF_PEERS = {"pmnist": 0.5, "small": 0.1}
AIMS_OF_MAPS = {
    ("givens, capacity=2", 1024): 0.3,
    ("givens, capacity=2, field=complex", 1024): 0.3,
    ("fourier", 1024): 0.5,
}

Row = dict[str, Any]


def peers_ratios(rows: list[Row]) -> list[Row]:
    """Divide our fastest backend's rounds by those of a peer's faster mode."""
    timed = [row for row in rows if "rounds_ms" in row.get("training", {})]
    return [
        {
            "peer": peer,
            "ours": ours,
            "backend": fastest["backend"],
            "flush_denormals": theirs["flush_denormals"],
            **ratios(*(one["training"]["rounds_ms"] for one in (fastest, theirs))),
        }
        for peer, ours in PEERS.items()
        if (theirs := _fastest(timed, peer)) and (fastest := _fastest(timed, ours))
    ]


def _fastest(rows: list[Row], name: str) -> Row | None:
    found = [row for row in rows if row["contestant"] == name]
    return min(found, key=lambda row: row["training"]["ms"], default=None)


def markdown(record: Row, shape: str = "pmnist") -> str:
    """Return the table of the docs: systems down, backends across."""
    found = {
        (row["system"], run["backend"]): row
        for run in record["steps"]
        if run["shape"]["name"] == shape
        for row in run["rows"]
        if row["over"]
    }
    names = dict.fromkeys((name, row["over"]) for (name, _), row in found.items())
    lines = (
        [f"`{name}`", over, *(_shown(found.get((name, of))) for of in BACKENDS)]
        for name, over in names
    )
    return table(["a step of", "over that of", *BACKENDS.values()], lines)


def peers_sentence(record: Row) -> str:
    """Return the sentence of the docs on the peers."""
    parts = [
        f"at {run['shape']['name']}, {run['shape']['units']} units, "
        + ", ".join(f"{row['ratio']:.2f} ({row['peer']})" for row in run["ratios"])
        for run in record["peers"]
    ]
    return (
        "Of a training step of a peer with the same map, ours on its fastest backend "
        f"takes {'; '.join(parts)}."
    )


def maps_lines(record: Row) -> str:
    """Return the lines of the docs on structured maps: their ratios by size."""
    lines = []
    for run in record["maps"]:
        for name in dict.fromkeys(row["map"] for row in run["rows"]):
            rows = [row for row in run["rows"] if row["map"] == name]
            sizes = ", ".join(f"{row['ratio']:.2f} at {row['n']:,}" for row in rows)
            lines.append(f"- `{name}`, {BACKENDS[run['backend']]}: {sizes}.")
    return "\n".join(lines)


def measured_on(record: Row) -> str:
    """Return what all of it was measured on."""
    runs = [run["machine"] for part in record.values() for run in part]
    machines = sorted({(run["processor"], run["cores"]) for run in runs})
    named = " and ".join(f"{name} ({cores} used)" for name, cores in machines)
    loads = [run["load_average"] for run in runs] or [0.0]
    return (
        f"Processor and number of its cores: {named}; load average at the starts "
        f"{min(loads):.1f} to {max(loads):.1f}, of what else ran."
    )


def promises(record: Row) -> str:
    """Return what is promised, what was measured, and whether it is kept."""
    lines = (
        [what, where, f"{ratio:.2f}", f"≤ {aim:g}", "met" if ratio <= aim else "missed"]
        for what, where, ratio, aim in _promised(record)
    )
    return table(["ratio of", "on", "measured", "aim", ""], lines)


def _promised(record: Row) -> Iterator[tuple[str, str, float, float]]:
    for run in record["steps"]:
        for row in run["rows"]:
            if run["shape"]["name"] == "pmnist" and row["system"] in AIMS:
                yield row["system"], run["backend"], row["ratio"], AIMS[row["system"]]
    for run in record["peers"]:
        name = run["shape"]["name"]
        for row in run["ratios"] if name in AIMS_OF_PEERS else ():
            yield row["peer"], name, row["ratio"], AIMS_OF_PEERS[name]
    for run in record["maps"]:
        for row in run["rows"]:
            key = (row["map"], row["n"])
            if key in AIMS_OF_MAPS:
                what = f"{row['map']}, {row['n']}"
                yield what, run["backend"], row["ratio"], AIMS_OF_MAPS[key]


def _shown(row: Row | None) -> str:
    if row is None:
        return ""
    low, high = row["ratio_quartiles"]
    return f"{row['ratio']:.2f} ({low:.2f}–{high:.2f})"

"""The tables of the docs, made from the results, and from the classes, alone.

A page holds a table as it is printed here, and `tests/test_docs.py` compares.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras_urnn as ku


def theorems(result: dict[str, Any]) -> dict[str, str]:
    """Return the tables of `theorems.json`, by their key there, in Markdown."""
    return {
        "fits": _fits(result),
        "linearization": _linearization(result),
        "state_bounds": _state_bounds(result),
    }


def parametrizations() -> str:
    """Return the table of the ways to keep the matrix on its set, in Markdown."""
    rows = []
    for name, kind in ku.parametrizations.NAMES.items():
        link = f"[`{kind.__name__}`][keras_urnn.parametrizations.{kind.__name__}]"
        sets, said = ", ".join(kind.sets), (kind.reaches, kind.parameters, kind.cost)
        rows.append((f'`"{name}"`', link, sets, kind.systems, *said, kind.paper))
    header = ("name", "class", "sets", "gives", "reaches", "trained", "cost", "paper")
    return table(header, rows)


def levels(result: dict[str, Any]) -> str:
    """Say for each kind of fit whether, and where, the errors level off."""
    factor = f"{result['settings']['level']:g}"
    lines = []
    for kind, found in result["level"].items():
        where, what = found["from_states"], f"the RMS error of the {kind} fits"
        if found["levels_off"]:
            lines.append(
                f"From size {where} on {what} doesn't fall further: no larger network "
                f"divides it by {factor}."
            )
        else:
            lines.append(
                f"Up to the largest network {what} goes on falling: it divides that of "
                f"each smaller one by {factor} or more."
            )
    return "\n".join(lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fits(result: dict[str, Any]) -> str:
    relu = result["relu"]
    rows = [
        (
            "ReLU, converted",
            str(relu["unitary_states"]),
            f"{relu['relative_max']:.1e}",
            f"{relu['rms']:.1e}",
            "",
        )
    ]
    for kind, fits in result["fits"].items():
        for fit in fits:
            best = fit["best"]
            rows.append(
                (
                    f"sigmoid, {kind} fit",
                    str(fit["states"]),
                    f"{fit['relative_max'][best]:.1e}",
                    f"{fit['rms'][best]:.1e}",
                    f"{max(fit['rms']):.1e}",
                )
            )
    header = ("network", "states", "largest error", "RMS error", "RMS, worst restart")
    return table(header, rows)


def _linearization(result: dict[str, Any]) -> str:
    networks = [("`sigmoid_example()`", 1, result["linearization"])]
    networks += [
        ("unitary fit", fit["states"], _at_0(fit["linearization"]))
        for fit in result["fits"]["unitary"]
    ]
    rows = [
        (
            name,
            str(states),
            f"{near['x']:g}",
            _range(near["slopes"]),
            _range(near["moduli"]),
            f"{near['mean_ratio']:.4f}",
        )
        for name, states, rows in networks
        for near in rows
    ]
    header = ("network", "states", "input", "σ′", "modulus of λ", "modulus of λ / σ′")
    return table(header, rows)


def _at_0(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [near for near in rows if near["x"] == 0.0]


def _range(ascending: Sequence[float]) -> str:
    first, last = f"{ascending[0]:.3f}", f"{ascending[-1]:.3f}"
    return first if len(ascending) == 1 else f"{first} to {last}"


def _state_bounds(result: dict[str, Any]) -> str:
    keys = ("network", "n", "lower_every_pattern", "lower", "upper")
    rows = [[str(row[key]) for key in keys] for row in result["state_bounds"]]
    header = ("network", "n", "at least", "at least, constant pattern", "enough")
    return table(header, rows)

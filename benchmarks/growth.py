"""How does a training step of our layer grow with each size, the others being fixed?

The exponents are least-squares lines through the logarithms: 1 is linear, 2 quadratic.
The same cell in Keras' own loop is timed beside it: the layer's fused recurrence should
be the faster one at each size.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from contestants import entries
from lockstep import Contender, Rules, race
from shapes import BASE, GROWTH, grown

LAYER, LOOP = "UnitaryRNN", "RNN(UnitaryRNNCell)"


def measure(backend: str, rules: Rules) -> dict[str, Any]:
    """Time each axis in a run of its own, all its sizes in turns."""
    points = [point for axis in GROWTH for point in _points(backend, axis, rules)]
    return {
        "complete": True,
        "base": BASE._asdict(),
        "rules": rules._asdict(),
        "layer": LAYER,
        "points": points,
        "exponents": exponents(points),
    }


def _points(backend: str, axis: str, rules: Rules) -> Iterator[dict[str, Any]]:
    print(f"== {backend}, growth with {axis}", file=sys.stderr, flush=True)
    contenders, values = [], []
    for value in GROWTH[axis]:
        shape = grown(axis, value)
        for entry in entries(backend, shape, (LAYER, LOOP)):
            if not entry.flush_denormals:
                contenders.append(Contender(backend, entry, shape, rules))
                values.append(value)
    rows = race(contenders, rules, phases=("training",))
    found = {
        (row["contestant"], value, row["jit_compile"]): row["training"]["ms"]
        for value, row in zip(values, rows, strict=True)
        if "ms" in row.get("training", {})
    }
    for (name, value, jit), ms in found.items():
        if name == LAYER:
            loop = found.get((LOOP, value, jit))
            point = {"axis": axis, "value": value, "jit_compile": jit}
            yield {**point, "ms": ms, "loop_ms": loop}


def exponents(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit `log ms = exponent log value + constant` for each axis and mode."""
    series: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for point in points:
        series.setdefault((point["axis"], point["jit_compile"]), []).append(point)
    return [
        {"axis": axis, "jit_compile": jit, "exponent": slope(of)}
        for (axis, jit), of in series.items()
        if len(of) > 1
    ]


def slope(points: list[dict[str, Any]]) -> float:
    x, y = (np.log([point[name] for point in points]) for name in ("value", "ms"))
    return round(float(np.polyfit(x, y, 1)[0]), 2)

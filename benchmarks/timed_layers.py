"""Training steps of every parametrization, in turns, in one process of one backend.

Who is timed: each name of `keras_urnn.parametrizations` with its default options, which
comes by itself, and each row of `VARIANTS`. A time is divided by that of a layer which
keeps its matrix by a constraint and is equal otherwise: `UnitaryRNN` on as many real
numbers of state, `ContractiveRNN` for maps that hold contractive matrices only.

Started by `parametrizations.py`, which says what to time; the answer is JSON.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
from contestants import JIT, Entry, Shape
from keras_trial import KerasTrial
from lockstep import Rules, in_turns, ratios

import keras_urnn as ku

REFERENCE, WIDER, CONTRACTIVE = "projection", "projection, 2n units", "contractive"
REFERENCES: dict[str, Callable[[int], Any]] = {
    REFERENCE: lambda units: ku.UnitaryRNN(units, "relu"),
    WIDER: lambda units: ku.UnitaryRNN(2 * units, "relu"),
    CONTRACTIVE: lambda units: ku.ContractiveRNN(units, "relu"),
}
# Options beside the defaults: a further variant is a further row.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("projection", {"field": "complex"}),
    ("cayley", {"rebase_every": 1}),
    ("cayley", {"field": "complex"}),
    ("exponential", {"rebase_every": 1}),
    ("exponential", {"field": "complex"}),
    ("givens", {"capacity": 2}),
    ("givens", {"capacity": 2, "field": "complex"}),
)


class System(NamedTuple):
    """A layer that is timed, and the one that its time is divided by."""

    name: str
    over: str
    layer: Callable[[int], Any]


def systems() -> list[System]:
    """Return all of them, the options of a parametrization behind its defaults."""
    found = []
    for name, kind in ku.parametrizations.NAMES.items():
        if name != REFERENCE:
            found.append(_system(name, kind()))
        for of, options in VARIANTS:
            if of == name:
                shown = [f"{option}={value}" for option, value in options.items()]
                found.append(_system(", ".join([name, *shown]), kind(**options)))
    return found


def _system(name: str, made: Any) -> System:
    if made.field == "complex":
        layer = partial(ku.UnitaryRNN, activation="modrelu", parametrization=made)
        return System(name, WIDER, layer)
    if "unitary" not in made.sets:
        layer = partial(ku.ContractiveRNN, activation="relu", parametrization=made)
        return System(name, CONTRACTIVE, layer)
    layer = partial(ku.UnitaryRNN, activation="relu", parametrization=made)
    return System(name, REFERENCE, layer)


def measure(shape: Shape, rules: Rules) -> list[dict[str, Any]]:
    """Time all of them and what they are compared with, round by round."""
    # The mode that Keras chooses by itself: XLA on TensorFlow.
    entry = Entry("", JIT[keras.config.backend()][-1], False)
    layers = REFERENCES | {system.name: system.layer for system in systems()}
    trials = {
        name: KerasTrial(entry, shape, layer).training()
        for name, layer in layers.items()
    }
    told = in_turns(trials, rules)
    rows = [{"system": name, "over": None, **told[name]} for name in REFERENCES]
    for name, over, _ in systems():
        ratio = ratios(told[name]["rounds_ms"], told[over]["rounds_ms"])
        rows.append({"system": name, "over": over, **told[name], **ratio})
    return rows


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(measure(Shape(*given["shape"]), Rules(*given["rules"]))))
    sys.stdout.flush()
    os._exit(0)  # threads of a backend may still wait

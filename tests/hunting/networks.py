"""Small networks as plain data: equal settings build equal networks.

Weights are drawn such that every weight has a say. Biases `b` are in [0.2, 0.4], and a
recurrent matrix of at most 3 states has norm 0.2, or is at most 0.2 from the identity.
From 0 or from a learned state in [0.2, 0.4] the states under inputs near 0 are then on
in the first two steps, as `0.2 |h| < 0.2`, and in the linear piece of `relu6` and of
`hard_tanh`, too. These steps determine every weight: networks that differ in one, if by
a unit in the last place, compute different functions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import scipy.linalg

import keras_urnn as ku

L = keras.layers
STEPS, FEATURES = 4, 2
FLOATING = ("float64", "float32", "bfloat16", "float16")
Settings = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """What decides a network: its kind, its settings, its weights' seed.

    Attributes:
        kind: string. A key of `KINDS`.
        settings: dict. What differs from the kind's defaults.
        seed: integer. Seeds the weights.
    """

    kind: str
    seed: int
    settings: Settings = field(default_factory=dict)

    def but(self, **settings: Any) -> "Network":
        return replace(self, settings={**self.settings, **settings})

    def build(self) -> Any:
        defaults, make = KINDS[self.kind]
        made = make({**defaults, **self.settings})
        draw_weights(made, self.seed)
        return made


def draw_weights(target: Any, seed: int) -> None:
    """Give every weight a value by its place in the network, not by its name."""
    generator = np.random.default_rng(seed)
    for weight in target.weights:
        kind, shape = weight.path.rpartition("/")[2], tuple(weight.shape)
        if kind == "recurrent_kernel":
            orthogonal = isinstance(weight.constraint, ku.UnitaryProjection)
            value = near_identity(generator, shape[0])
            value = value if orthogonal else 0.2 * value
        elif kind in ("bias", "initial_state", "beta"):
            value = generator.uniform(0.2, 0.4, shape)
        elif kind == "gamma":
            value = generator.uniform(0.5, 1.5, shape)
        elif weight.dtype in FLOATING:
            value = generator.uniform(-0.3, 0.3, shape)
        else:
            continue  # the state of a generator of random numbers
        weight.assign(value.astype("float32"))


def near_identity(generator: np.random.Generator, n: int) -> Any:
    """An orthogonal matrix at a distance of at most 0.2 from the identity."""
    skew = np.tril(generator.standard_normal((n, n)), -1)
    skew -= skew.T
    return scipy.linalg.expm(0.2 * skew / max(1.0, float(np.linalg.norm(skew))))


def cell_of(s: Settings) -> Any:
    """A cell of the class that the settings name."""
    shared = {"activation": s["activation"], "use_bias": s["use_bias"]}
    shared |= {"dtype": s["dtype"]}
    if s["class"] == "simple":
        return L.SimpleRNNCell(s["units"], **shared)
    shared |= {"learn_initial_state": s["learned"], "resting_state": s["rest"]}
    shared |= {"state_scale": s["scale"]}
    if s["class"] == "unitary":
        return ku.UnitaryRNNCell(s["units"], **shared)
    return ku.ContractiveRNNCell(s["units"], max_norm=0.9, **shared)


def layer_of(s: Settings, **flags: Any) -> Any:
    """A layer over a cell, or over one in each direction."""
    flags |= {"return_sequences": s["sequences"], "name": s["name"]}
    flags |= {"go_backwards": s["backwards"] and s["around"] != "both"}
    around = {"plain": _plain, "RNN": _rnn, "both": _both}[s["around"]]
    return around(s, flags)


def _plain(s: Settings, flags: Settings) -> Any:
    config = cell_of(s).get_config()
    for unknown in ("name", "trainable", "dtype"):
        config.pop(unknown, None)
    kinds = {"simple": L.SimpleRNN, "unitary": ku.UnitaryRNN}
    kind = s["kind"] or kinds.get(s["class"], ku.ContractiveRNN)
    return kind(**config, **flags, dtype=s["dtype"])


def _rnn(s: Settings, flags: Settings) -> Any:
    kind = s["kind"] or L.RNN
    return kind(cell_of(s), **flags, dtype=s["dtype"])


def _both(s: Settings, flags: Settings) -> Any:
    name = flags.pop("name")
    inner = _plain({**s, "kind": None}, {**flags, "name": "inner"})
    kind = s["kind"] or L.Bidirectional
    return kind(inner, merge_mode=s["merge"], name=name, dtype=s["dtype"])


def built_cell(s: Settings) -> Any:
    cell = cell_of(s)
    cell.build((None, FEATURES))
    return cell


def built_layer(s: Settings) -> Any:
    layer = layer_of(s)
    layer.build((None, None, FEATURES))
    return layer


CELL: Settings = {
    "class": "contractive",
    "units": 3,
    "activation": "relu",
    "use_bias": True,
    "learned": False,
    "rest": None,
    "scale": None,
    "dtype": "float32",
    "kind": None,
}
LAYER: Settings = {
    **CELL,
    "around": "plain",
    "sequences": True,
    "backwards": False,
    "merge": "concat",
    "name": "r",
}
KINDS: dict[str, tuple[Settings, Callable[[Settings], Any]]] = {
    "cell": (CELL, built_cell),
    "layer": (LAYER, built_layer),
}

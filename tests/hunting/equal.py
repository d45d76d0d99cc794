"""Pairs of networks that compute the same, each family in its own way."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.fuzzing.draws import Draw
from tests.hunting.differing import MODELS, any_network
from tests.hunting.networks import FEATURES, Network
from tests.hunting.pairs import BOUND, Pair, conversion


def either_way(draw: Draw, first: Any, second: Any, **arguments: Any) -> Pair:
    one, other = draw.pick([(first, second), (second, first)])
    return Pair(one, other, certain=True, arguments=arguments)


def of_theorem_1(draw: Draw) -> Pair:
    """A network and its unitary equivalent, in either order."""
    first = any_network(draw).build()
    horizon = draw.pick([None, None, 8])
    second = ku.to_unitary(
        first,
        input_bound=BOUND,
        horizon=horizon,
        minimize_states=draw.chance(0.2),
    )
    return either_way(draw, first, second, horizon=horizon)


def pruned(draw: Draw) -> Pair:
    first = conversion(any_network(draw).build())
    return either_way(draw, first, ku.prune_inactive(first, input_bound=BOUND))


def twice(draw: Draw) -> Pair:
    """The same settings and weights, built twice."""
    network = any_network(draw)
    return either_way(draw, network.build(), network.build())


def cloned(draw: Draw) -> Pair:
    """By Keras' own means: `clone_model`, or the config."""
    first = any_network(draw).build()
    if isinstance(first, keras.Model):
        second = keras.models.clone_model(first)
    else:
        second = type(first).from_config(first.get_config())
        layer = isinstance(first, keras.layers.RNN | keras.layers.Bidirectional)
        second.build((None, None, FEATURES) if layer else (None, FEATURES))
    second.set_weights(first.get_weights())
    return either_way(draw, first, draw.pick([second, conversion(second)]))


def saved(draw: Draw) -> Pair:
    """Saved and loaded, the model or its conversion."""
    first = any_network(draw, ["two", "tokens", "gated"]).build()
    second = draw.pick([first, conversion(first)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        second.save(path)
        return either_way(draw, first, keras.models.load_model(path))


def renamed(draw: Draw) -> Pair:
    """Other names of all layers, and of the model."""
    network = any_network(draw, MODELS)
    return either_way(draw, network.build(), network.but(suffix="_other").build())


def unnamed(draw: Draw) -> Pair:
    """Inputs that nobody named, in one model or in both."""
    network = any_network(draw, [kind for kind in MODELS if kind != "tokens"])
    first = network.but(named=False).build()
    second = draw.pick([conversion(first), network.build()])
    return either_way(draw, first, second)


def without_a_say(draw: Draw) -> Pair:
    """Settings that decide nothing once the weights are there."""
    network = any_network(draw, ["layer"])
    first, second = network.build(), network.build()
    config = second.get_config()
    settings: dict[str, Any] = {"trainable": False}
    if "dropout" in config:
        settings |= {"dropout": 0.5, "kernel_initializer": "zeros", "unroll": True}
    second = type(second).from_config({**config, **settings})
    second.build((None, None, FEATURES))
    second.set_weights(first.get_weights())
    return either_way(draw, first, second)


def rescaled(draw: Draw) -> Pair:
    """States times powers of two, and a readout that undoes it."""
    network = Network("cell", draw.below(2**31), {"units": 3})
    first = network.build()
    d = 2.0 ** draw.generator.integers(-3, 4, 3)
    order = np.eye(3)[draw.generator.permutation(3)]
    C = draw.normal(3, 2)
    second, D = ku.theory.similarity_transform(first, np.diag(d) @ order, readout=C)
    readouts = {"readouts": (C, D)}
    return Pair(first, second, certain=True, arguments=readouts)


def scaled(draw: Draw) -> Pair:
    """A cell with `state_scale`, and the one whose weights have it in them."""
    d = 2.0 ** draw.generator.integers(-3, 4, 3)
    network = Network("cell", draw.below(2**31), {"units": 3, "class": "simple"})
    first = network.build()
    cell = ku.ContractiveRNNCell(3, max_norm=1.0, state_scale=d.tolist())
    cell.build((None, FEATURES))
    kernel, matrix, bias = first.get_weights()
    cell.set_weights([kernel, matrix * d / d[:, None], bias])
    return either_way(draw, first, cell)


FAMILIES: dict[str, tuple[float, Callable[[Draw], Pair]]] = {
    "theorem 1": (20, of_theorem_1),
    "pruned": (8, pruned),
    "built twice": (8, twice),
    "cloned": (8, cloned),
    "saved and loaded": (8, saved),
    "other names": (8, renamed),
    "inputs without names": (8, unnamed),
    "settings without a say": (6, without_a_say),
    "similar, by powers of two": (6, rescaled),
    "scaled, by powers of two": (6, scaled),
}

"""Built cells, layers and models to call functions on: made once, left as they are."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.fuzzing.draws import Draw

L = keras.layers
FEATURES = 2
STEPS = 4


def contractive(units: int = 3, **arguments: Any) -> Any:
    return ku.ContractiveRNN(units, max_norm=0.9, **arguments)


def unitary(units: int = 3, **arguments: Any) -> Any:
    return ku.UnitaryRNN(units, **arguments)


def simple(units: int = 3, **arguments: Any) -> Any:
    return L.SimpleRNN(units, "relu", **arguments)


def stack(**arguments: Any) -> Any:
    return L.RNN([ku.ContractiveRNNCell(3), L.SimpleRNNCell(2, "relu")], **arguments)


def scaled(**arguments: Any) -> Any:
    scale, rest = [1.0, 4.0, 0.5], [0.0, -0.5, 1.0]
    return unitary(state_scale=scale, resting_state=rest, output_units=2, **arguments)


CELLS: dict[str, Callable[[], Any]] = {
    "contractive cell": lambda: ku.ContractiveRNNCell(3, max_norm=0.9),
    "contractive cell of norm 1": lambda: ku.ContractiveRNNCell(2, max_norm=1.0),
    "linear cell": lambda: ku.ContractiveRNNCell(2, None),
    "sigmoid cell": lambda: ku.UnitaryRNNCell(2, "sigmoid"),
    "cell of a start": lambda: ku.ContractiveRNNCell(2, learn_initial_state=True),
    "cell without bias": lambda: ku.ContractiveRNNCell(2, "relu6", use_bias=False),
    "unitary cell": lambda: ku.UnitaryRNNCell(3),
    "cell with a skip": lambda: ku.UnitaryRNNCell(2, "tanh", skip=0.5),
    "simple cell": lambda: L.SimpleRNNCell(3, "relu"),
    "dropping cell": lambda: ku.ContractiveRNNCell(2, recurrent_dropout=0.5),
    "LSTM cell": lambda: L.LSTMCell(2),
    "stacked cells": lambda: L.StackedRNNCells([L.SimpleRNNCell(2, "relu")]),
}
LAYERS: dict[str, Callable[[], Any]] = {
    "contractive": contractive,
    "unitary": unitary,
    "simple": simple,
    "tanh": lambda: contractive(activation="tanh"),
    "linear": lambda: contractive(activation=None),
    "hard tanh": lambda: contractive(activation="hard_tanh"),
    "skip": lambda: unitary(skip=ku.Skip(0.5, trainable=True, dense=False)),
    "one unit": lambda: contractive(1, use_bias=False),
    "scaled": scaled,
    "double": lambda: contractive(dtype="float64"),
    "half": lambda: contractive(dtype="mixed_float16"),
    "brain": lambda: contractive(dtype="bfloat16"),
    "RNN": lambda: L.RNN(ku.ContractiveRNNCell(2, max_norm=0.9)),
    "stack": stack,
    "both": lambda: L.Bidirectional(contractive(2, return_state=True), merge_mode=None),
    "LSTM": lambda: L.LSTM(2),
}


def _sequential(*layers: Any, name: str = "sequential") -> Any:
    entrance = keras.Input((STEPS, FEATURES), name="x")
    return keras.Sequential([entrance, *layers], name=name)


def _functional() -> Any:
    x = keras.Input((None, FEATURES), name="x")
    h, state = contractive(return_sequences=True, return_state=True, name="first")(x)
    h = contractive(name="second")(L.Concatenate(name="c")([h, x]), initial_state=state)
    return keras.Model(x, [h, L.Dense(1, name="d")(h)], name="functional")


def _two_inputs() -> Any:
    x = [keras.Input((STEPS, FEATURES), name=name) for name in ("x", "y")]
    return keras.Model(x, contractive(name="r")(L.Add(name="a")(x)), name="two_inputs")


def _tokens() -> Any:
    x = keras.Input((STEPS,), name="x", dtype="int32")
    h = L.Embedding(5, FEATURES, mask_zero=True, name="e")(x)
    return keras.Model(x, contractive(name="r")(h), name="tokens")


def _nested() -> Any:
    inner = _sequential(contractive(2, return_sequences=True, name="r"), name="inner")
    return _sequential(inner, L.Dense(2, name="d"), simple(name="s"), name="nested")


MODELS: dict[str, Callable[[], Any]] = {
    "sequential": lambda: _sequential(contractive(name="r"), L.Dense(2, name="d")),
    "functional": _functional,
    "two inputs": _two_inputs,
    "tokens": _tokens,
    "nested": _nested,
    "pooled": lambda: _sequential(
        contractive(2, return_sequences=True, name="r"),
        L.MaxPooling1D(2, name="p"),
        unitary(2, name="u"),
    ),
    "time distributed": lambda: _sequential(
        L.Reshape((2, STEPS // 2, FEATURES), name="f"),
        L.TimeDistributed(contractive(2, name="r"), name="t"),
    ),
    "without recurrence": lambda: _sequential(L.Dense(2, name="d")),
    "gated": lambda: _sequential(L.GRU(2, name="g"), name="gated"),
}


@cache
def target(name: str) -> Any:
    """The cell, layer or model of this name, built, with weights none of them zero."""
    make = (CELLS | LAYERS | MODELS)[name]
    made = make()
    if name not in MODELS:
        # Keras counts names up: the name would depend on what was made before.
        made = type(made).from_config({**made.get_config(), "name": "r"})
    if name in CELLS:
        made.build((None, FEATURES))
    elif name in LAYERS:
        made.build((None, None, FEATURES))
    generator = np.random.default_rng(len(name))
    for weight in made.weights:
        if weight.path.endswith(("bias", "initial_state")):
            weight.assign(0.3 * generator.standard_normal(weight.shape))
    return made


@cache
def converted(name: str) -> Any:
    """The unitary equivalent of a target; the target itself where it has none."""
    try:
        return ku.to_unitary(target(name), input_bound=1.0, horizon=10)
    except ValueError:
        return target(name)


def any_target(draw: Draw) -> Any:
    pool = draw.pick([CELLS, LAYERS, LAYERS, MODELS])
    return target(draw.pick(list(pool)))


def any_cell(draw: Draw) -> Any:
    return target(draw.pick(list(CELLS)))


def any_layer(draw: Draw) -> Any:
    return target(draw.pick(list(LAYERS)))


def any_model(draw: Draw) -> Any:
    return target(draw.pick(list(MODELS)))


def any_conversion(draw: Draw) -> Any:
    pool = draw.pick([CELLS, LAYERS, LAYERS, MODELS])
    return converted(draw.pick(list(pool)))

"""Calls that make an object: from arguments, from a config, by Keras' reader."""

from typing import Any

import keras

import keras_urnn as ku
from tests.fuzzing import arguments as given
from tests.fuzzing.configs import spoilt_config
from tests.fuzzing.draws import Draw, Row
from tests.fuzzing.engine import Call
from tests.fuzzing.targets import (
    FEATURES,
    STEPS,
)

CONSTRUCTED: dict[str, tuple[Any, dict[str, Any]]] = {
    "UnitaryRNNCell": (ku.UnitaryRNNCell, given.CELL),
    "ContractiveRNNCell": (
        ku.ContractiveRNNCell,
        {**given.CELL, "max_norm": given.MAX_NORM},
    ),
    "UnitaryRNN": (ku.UnitaryRNN, given.LAYER),
    "ContractiveRNN": (ku.ContractiveRNN, {**given.LAYER, "max_norm": given.MAX_NORM}),
    "Skip": (
        ku.Skip,
        {
            "beta": given.BETA,
            "trainable": given.flag,
            "dense": given.flag,
            "kernel_initializer": given.CELL["kernel_initializer"],
        },
    ),
    "UnitaryProjection": (
        ku.UnitaryProjection,
        {"method": given.METHOD, "field": given.FIELD},
    ),
    "ContractiveProjection": (
        ku.ContractiveProjection,
        {"max_norm": given.MAX_NORM, "method": given.METHOD, "field": given.FIELD},
    ),
    "Projection": (
        ku.parametrizations.Projection,
        {"method": given.METHOD, "field": given.FIELD, "tangent": given.flag},
    ),
    "Cayley": (
        ku.parametrizations.Cayley,
        {
            "negative_ones": given.SIGNS,
            "field": given.FIELD,
            "rebase_every": given.REBASE,
        },
    ),
    "Exponential": (
        ku.parametrizations.Exponential,
        {"rebase_every": given.REBASE, "field": given.FIELD},
    ),
    "Householder": (
        ku.parametrizations.Householder,
        {"reflections": given.REFLECTIONS, "determinant": given.DETERMINANT},
    ),
    "Givens": (
        ku.parametrizations.Givens,
        {"capacity": given.CAPACITY, "layout": given.LAYOUT, "field": given.FIELD},
    ),
    "Fourier": (ku.parametrizations.Fourier, {"seed": given.NUMPY_SEED}),
    "Hadamard": (ku.parametrizations.Hadamard, {}),
    "BoundedSVD": (
        ku.parametrizations.BoundedSVD,
        {"left": given.FACTOR, "right": given.FACTOR},
    ),
    "Haar": (ku.initializers.Haar, {"group": given.GROUP, "seed": given.SEED}),
    "Henaff": (ku.initializers.Henaff, {"seed": given.SEED}),
    "CayleyAngles": (ku.initializers.CayleyAngles, {"seed": given.SEED}),
    "Cycle": (ku.initializers.Cycle, {}),
    "ContractiveInitializer": (
        ku.initializers.ContractiveInitializer,
        {"norm": given.MAX_NORM, "seed": given.SEED},
    ),
    "ModReLU": (
        ku.activations.ModReLU,
        {
            "field": given.FIELD,
            "bias_initializer": given.CELL["bias_initializer"],
            "bias_regularizer": given.CELL["kernel_regularizer"],
            "bias_constraint": given.CELL["bias_constraint"],
        },
    ),
    "OPLU": (ku.activations.OPLU, {"name": given.CELL["name"]}),
}


NEEDED = {"units": 2, "beta": 0.5}  # the arguments without a default


def needed(good: dict[str, Any]) -> dict[str, Any]:
    """The least arguments that an object is made from."""
    return {name: value for name, value in NEEDED.items() if name in good}


def constructor(name: str) -> Row:
    kind, good = CONSTRUCTED[name]

    def make(draw: Draw) -> Call:
        arguments = given.spoilt(draw, good)
        if draw.chance(0.95):
            arguments = {**needed(good), **arguments}
        return Call(name, kind, (), arguments)

    return make


def from_config(name: str) -> Row:
    kind = CONSTRUCTED[name][0]

    def make(draw: Draw) -> Call:
        config = spoilt_config(draw, _instance(draw, name).get_config())
        return Call(f"{name}.from_config", kind.from_config, (config,))

    return make


def round_trip(name: str) -> Row:
    """From an object to its config and back, twice, through Keras."""

    def there_and_back(kind: Any, arguments: dict[str, Any]) -> Any:
        config = keras.saving.serialize_keras_object(kind(**arguments))
        return keras.saving.deserialize_keras_object(config).get_config()

    def make(draw: Draw) -> Call:
        kind, good = CONSTRUCTED[name]
        arguments = needed(good)
        arguments |= given.spoilt(draw, good)
        return Call(f"{name}, to a config and back", there_and_back, (kind, arguments))

    return make


def deserialized(draw: Draw) -> Call:
    made = _instance(draw, draw.pick(list(CONSTRUCTED)))
    config = spoilt_config(draw, keras.saving.serialize_keras_object(made))
    function = keras.saving.deserialize_keras_object
    return Call("deserialize_keras_object", function, (config,))


def deserialized_layer(draw: Draw) -> Call:
    name = draw.pick(["UnitaryRNN", "ContractiveRNN", "UnitaryRNNCell"])
    around = draw.pick([lambda one: one, _bidirectional, _in_a_model])
    made = _instance(draw, name)
    try:
        config = keras.layers.serialize(around(made))
    except ValueError:  # a model builds it: its initial matrix may have another form
        config = keras.layers.serialize(made)
    config = spoilt_config(draw, config)
    return Call("layers.deserialize", keras.layers.deserialize, (config,))


def _bidirectional(layer: Any) -> Any:
    plain = isinstance(layer, keras.layers.RNN)
    plain = plain and not layer.go_backwards
    return keras.layers.Bidirectional(layer if plain else ku.UnitaryRNN(2))


def _in_a_model(layer: Any) -> Any:
    plain = isinstance(layer, keras.layers.RNN)
    layer = layer if plain else keras.layers.RNN(layer)
    return keras.Sequential([keras.Input((STEPS, FEATURES), batch_size=2), layer])


def _instance(draw: Draw, name: str) -> Any:
    """An object of good arguments: where two of them don't fit, of the defaults."""
    kind, good = CONSTRUCTED[name]
    arguments = {key: make(draw) for key, make in good.items() if draw.chance(0.3)}
    base = needed(good)
    try:
        return kind(**{**base, **arguments})
    except ValueError:
        return kind(**base)

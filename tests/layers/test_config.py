"""Configs: every argument is in them, and what they rebuild has the same config."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import keras
import pytest

import keras_urnn as ku
from tests.helpers import CELLS, FEATURES, LAYERS, UNITS, each_cell, each_layer

MAKERS = {f"{name}-cell": make for name, make in CELLS.items()} | LAYERS
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)

# Each differs from the default. `recurrent_constraint` can only be None, and so can
# `checkpoint_every` with `unroll` or `recurrent_dropout`, and `skip` with `state_scale`
# (`test_skip.py` has its round trip).
LEFT_OUT = {"recurrent_constraint", "checkpoint_every", "skip"}
NOT_DEFAULT: dict[str, Callable[[], Any]] = {
    "units": lambda: 7,
    "activation": lambda: "tanh",
    "use_bias": lambda: False,
    "kernel_initializer": lambda: keras.initializers.HeNormal(seed=1),
    "recurrent_initializer": lambda: keras.initializers.Orthogonal(gain=2.0, seed=2),
    "bias_initializer": lambda: keras.initializers.Ones(),
    "kernel_regularizer": lambda: keras.regularizers.L2(0.1),
    "recurrent_regularizer": lambda: keras.regularizers.L1(0.2),
    "bias_regularizer": lambda: keras.regularizers.L2(0.3),
    "activity_regularizer": lambda: keras.regularizers.L2(0.4),
    "kernel_constraint": lambda: ku.UnitaryProjection(method="svd"),
    "bias_constraint": lambda: keras.constraints.NonNeg(),
    "dropout": lambda: 0.1,
    "recurrent_dropout": lambda: 0.2,
    "return_sequences": lambda: True,
    "return_state": lambda: True,
    "go_backwards": lambda: True,
    "stateful": lambda: True,
    "unroll": lambda: True,
    "seed": lambda: 3,
    "max_norm": lambda: 0.5,
    "parametrization": lambda: ku.parametrizations.Projection(method="svd"),
    "output_units": lambda: 3,
    "learn_initial_state": lambda: True,
    "resting_state": lambda: [1.0, -2.0] + 5 * [0.0],
    "state_scale": lambda: [2.0, 0.75] + 5 * [1.0],
    "zero_output_for_mask": lambda: True,
    "name": lambda: "mine",
    "dtype": lambda: "mixed_bfloat16",
    "trainable": lambda: False,
}
OF_EVERY_LAYER = ["name", "dtype", "trainable"]
OF_RNN = ["zero_output_for_mask"]


def named_arguments(make: Callable[..., Any]) -> list[str]:
    """Return the arguments of `__init__` in order, and the keywords it passes on."""
    parameters = inspect.signature(make).parameters
    names = [name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
    return names + OF_EVERY_LAYER + (OF_RNN if "unroll" in names else [])


def not_default(make: Callable[..., Any]) -> dict[str, Any]:
    names = named_arguments(make)
    return {name: value() for name, value in NOT_DEFAULT.items() if name in names}


@each_maker
def test_every_argument_has_a_value_in_the_table(make: Callable[..., Any]) -> None:
    missing = set(named_arguments(make)) - not_default(make).keys()
    assert missing == LEFT_OUT & set(named_arguments(make))


@each_maker
def test_every_argument_is_in_the_config(make: Callable[..., Any]) -> None:
    default = make(UNITS).get_config()
    config = make(**not_default(make)).get_config()
    assert config.keys() == set(named_arguments(make))
    unchanged = [name for name in config if config[name] == default[name]]
    assert set(unchanged) == LEFT_OUT & config.keys()


@each_maker
def test_every_argument_arrives_where_it_belongs(make: Callable[..., Any]) -> None:
    arguments = not_default(make)
    config = make(**arguments).get_config()
    del arguments["dtype"]  # a policy in the config; tested below
    for name, value in arguments.items():
        assert config[name] == keras.saving.serialize_keras_object(value), name


@each_maker
def test_config_round_trip(make: Callable[..., Any]) -> None:
    config = make(**not_default(make)).get_config()
    assert make.from_config(dict(config)).get_config() == config  # type: ignore[attr-defined]
    assert make(**config).get_config() == config
    assert json.loads(json.dumps(config)) == config


@each_layer
def test_config_round_trip_with_checkpoints(make_layer: Callable[..., Any]) -> None:
    config = make_layer(UNITS, checkpoint_every=4).get_config()
    assert config["checkpoint_every"] == 4
    assert make_layer.from_config(dict(config)).get_config() == config  # type: ignore[attr-defined]


@each_maker
def test_serialization_round_trip(make: Callable[..., Any]) -> None:
    made = make(**not_default(make))
    data = keras.saving.serialize_keras_object(made)
    assert data["registered_name"] == f"keras_urnn>{type(made).__name__}"
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(data)))
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


@each_layer
def test_layer_has_its_cells_arguments(make_layer: Callable[..., Any]) -> None:
    layer = make_layer(**not_default(make_layer))
    cell, own = layer.cell.get_config(), layer.get_config()
    shared = own.keys() & cell.keys() - {"name"}
    assert {name: own[name] for name in shared} == {name: cell[name] for name in shared}
    assert "cell" not in own
    for name in cell.keys() - {"name", "seed", "trainable", "dtype"}:
        assert getattr(layer, name) is getattr(layer.cell, name) or (
            getattr(layer, name) == getattr(layer.cell, name)
        )


@each_cell
@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_layer_gives_its_cell_its_dtype(
    make_cell: Callable[..., Any], policy: str
) -> None:
    make_layer = dict(zip(CELLS.values(), LAYERS.values(), strict=True))[make_cell]
    layer = make_layer(UNITS, dtype=policy)
    assert layer.cell.dtype_policy.name == policy
    assert layer.cell.compute_dtype == make_cell(UNITS, dtype=policy).compute_dtype


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_stand_in_the_order_of_keras(name: str) -> None:
    own = ["parametrization", "output_units", "learn_initial_state"]
    own += ["resting_state", "state_scale", "skip"]
    own = ["max_norm", *own] if name == "contractive" else own
    for ours, theirs in (
        (CELLS[name], keras.layers.SimpleRNNCell),
        (LAYERS[name], keras.layers.SimpleRNN),
    ):
        parameters = inspect.signature(ours).parameters
        expected = [n for n in inspect.signature(theirs).parameters if n != "kwargs"]
        added = [*own, "checkpoint_every"] if "unroll" in expected else own
        assert list(parameters) == [*expected, *added, "kwargs"]
        for n in added:
            assert parameters[n].kind is inspect.Parameter.KEYWORD_ONLY


@each_maker
def test_defaults(make: Callable[..., Any]) -> None:
    config = make(UNITS).get_config()
    expected = {
        "activation": "relu",
        "use_bias": True,
        "parametrization": keras.saving.serialize_keras_object(
            ku.parametrizations.Projection()
        ),
        "output_units": None,
        "learn_initial_state": False,
        "resting_state": None,
        "state_scale": None,
        "skip": None,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "seed": None,
    }
    if "max_norm" in config:
        expected["max_norm"] = 0.999
    assert {name: config[name] for name in expected} == expected
    initializers = [config[f"{n}_initializer"] for n in ("kernel", "recurrent", "bias")]
    names = [initializer["class_name"] for initializer in initializers]
    assert names == ["GlorotUniform", "Orthogonal", "Zeros"]


@each_layer
def test_config_of_a_built_layer_is_that_of_the_unbuilt(
    make_layer: Callable[..., Any],
) -> None:
    layer = make_layer(UNITS, "tanh", output_units=2, name="a")
    before = layer.get_config()
    layer.build((None, None, FEATURES))
    assert layer.get_config() == before

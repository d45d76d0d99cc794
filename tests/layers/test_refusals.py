"""Wrong arguments are refused at construction: which, what came, what to do."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn import _checks
from tests.helpers import CELLS, LAYERS, UNITS, each_layer

MAKERS = {f"{name}-cell": make for name, make in CELLS.items()} | LAYERS
CONTRACTIVE = {name: make for name, make in MAKERS.items() if "contractive" in name}
NAN = float("nan")

# Argument, value, what the message says of it, what it says to do.
REFUSED: dict[str, tuple[str, Any, str, str]] = {
    "units-0": ("units", 0, "a positive integer", "number of states"),
    "units-negative": ("units", -1, "a positive integer", "number of states"),
    "units-fraction": ("units", 2.5, "a positive integer", "number of states"),
    "units-string": ("units", "8", "a positive integer", "number of states"),
    "units-true": ("units", True, "a positive integer", "number of states"),
    "dropout-7": ("dropout", 7.0, r"in \[0, 1\)", "fraction of the entries"),
    "dropout-negative": ("dropout", -0.1, r"in \[0, 1\)", "fraction of the entries"),
    "dropout-1": ("dropout", 1.0, r"in \[0, 1\)", "fraction of the entries"),
    "dropout-nan": ("dropout", NAN, r"in \[0, 1\)", "fraction of the entries"),
    "dropout-string": ("dropout", "x", r"in \[0, 1\)", "fraction of the entries"),
    "recurrent-dropout-7": ("recurrent_dropout", 7.0, r"in \[0, 1\)", "fraction"),
    "recurrent-dropout-1": ("recurrent_dropout", 1.0, r"in \[0, 1\)", "fraction"),
    "recurrent-dropout-nan": ("recurrent_dropout", NAN, r"in \[0, 1\)", "fraction"),
    "recurrent-constraint": ("recurrent_constraint", "unit_norm", "None", "Leave it"),
    "parametrization": ("parametrization", "qr", 'one of "projection"', "Pass a"),
    "output-units-0": ("output_units", 0, r"integer in \[1, 4\]", "leave it at None"),
    "output-units-all": ("output_units", 5, r"integer in \[1, 4\]", "leave it at None"),
    "output-units-more": (
        "output_units",
        9,
        r"integer in \[1, 4\]",
        "leave it at None",
    ),
    "output-units-2.0": ("output_units", 2.0, r"integer in \[1, 4\]", "leave it at"),
    "output-units-true": ("output_units", True, r"integer in \[1, 4\]", "leave it at"),
    "resting-number": ("resting_state", 1.0, "sequence of 5 finite", "start from"),
    "resting-short": ("resting_state", [1.0], "sequence of 5 finite", "start from"),
    "resting-nan": ("resting_state", [NAN] * 5, "sequence of 5 finite", "start from"),
    "resting-text": ("resting_state", "abcde", "sequence of 5 finite", "start from"),
    "scale-short": ("state_scale", [1.0], "sequence of 5 finite", "multiplied by"),
    "scale-true": ("state_scale", [True] * 5, "sequence of 5 finite", "multiplied by"),
    "dropout-huge": ("dropout", 10**400, r"in \[0, 1\)", "fraction of the entries"),
    "resting-huge": ("resting_state", [10**400] * 5, "sequence of 5", "start from"),
    "seed-huge": ("seed", 2**31, "integer in", "masks of dropout"),
    "seed-negative": ("seed", -1, "integer in", "masks of dropout"),
    "dtype-of-no-class": (
        "dtype",
        {"module": "keras", "class_name": -1, "config": {"name": "float32"}},
        "dtype policy",
        "Pass a name",
    ),
    "scale-0": ("state_scale", [1.0, 1, 1, 0, 1], "positive", "multiplied by"),
}
# What is passed, and what the message advises.
REFUSED_NORMS = [
    *((value, "use `keras.layers.SimpleRNN`") for value in (1.5, 2)),
    *((value, "use `keras.layers.Dense`") for value in (0, 0.0, -0.5)),
    *((value, "largest spectral norm") for value in (NAN, float("inf"), "x", None)),
    *((value, "largest spectral norm") for value in (True, 10**400, 1j)),
]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("refused", REFUSED)
def test_refuses(make: Callable[..., Any], refused: str) -> None:
    argument, value, expected, advice = REFUSED[refused]
    message = rf"`{argument}` must be .*{expected}.*Received: {argument}="
    message += re.escape(f"{_checks.shown(value)}. ")
    with pytest.raises(ValueError, match=message + rf".*{advice}"):
        make(**{"units": UNITS, argument: value})


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("argument", "value"),
    [("use_bias", "no"), ("use_bias", 1), ("learn_initial_state", None)],
)
def test_refuses_what_is_no_boolean(
    make: Callable[..., Any], argument: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=f"`{argument}` must be True or False"):
        make(UNITS, **{argument: value})


@pytest.mark.parametrize("make", CONTRACTIVE.values(), ids=CONTRACTIVE)
@pytest.mark.parametrize(("value", "advice"), REFUSED_NORMS)
def test_refuses_max_norm(make: Callable[..., Any], value: Any, advice: str) -> None:
    received = re.escape(f"max_norm={_checks.shown(value)}. ")
    message = rf"`max_norm` must be .*in \(0, 1\]\. Received: {received}.*{advice}"
    with pytest.raises(ValueError, match=message):
        make(UNITS, max_norm=value)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("value", [3, None, np.eye(2)], ids=["int", "none", "matrix"])
def test_refuses_a_parametrization_of_another_type(
    make: Callable[..., Any], value: Any
) -> None:
    message = r"`parametrization` must be a string or a Parametrization\. Received: "
    with pytest.raises(
        TypeError, match=message + r"parametrization=[\s\S]*Pass a name"
    ):
        make(UNITS, parametrization=value)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_accepts_what_is_just_inside(make: Callable[..., Any]) -> None:
    made = make(np.int64(5), dropout=0, recurrent_dropout=0.99, output_units=4)
    assert made.get_config()["units"] == 5
    assert type(made.get_config()["units"]) is int
    assert made.get_config()["recurrent_dropout"] == 0.99
    assert make(2, output_units=1).get_config()["output_units"] == 1


@pytest.mark.parametrize("make", CONTRACTIVE.values(), ids=CONTRACTIVE)
def test_accepts_a_norm_of_one(make: Callable[..., Any]) -> None:
    assert make(UNITS, max_norm=1).get_config()["max_norm"] == 1.0


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_recurrent_matrix_needs_a_built_cell(make: Callable[..., Any]) -> None:
    message = r"must be built to have a recurrent matrix.*built=False.*`build` it"
    with pytest.raises(ValueError, match=message):
        make(UNITS).recurrent_matrix()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_learned_initial_state_needs_a_built_cell(make: Callable[..., Any]) -> None:
    message = r"must be built to have a learned initial state.*built=False.*`build` it"
    with pytest.raises(ValueError, match=message):
        make(UNITS, learn_initial_state=True).get_initial_state(batch_size=2)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_initial_state_at_rest_needs_no_weights(make: Callable[..., Any]) -> None:
    states = make(UNITS, output_units=2).get_initial_state(batch_size=3)
    assert [tuple(state.shape) for state in states] == [(3, 2), (3, 3)]


def test_contractive_arguments_are_not_the_unitary_ones() -> None:
    for make in (ku.UnitaryRNN, ku.UnitaryRNNCell):
        with pytest.raises((TypeError, ValueError), match="max_norm"):
            make(UNITS, max_norm=0.9)


@each_layer
def test_refuses_what_loses_its_imaginary_part(make_layer: Callable[..., Any]) -> None:
    layer = make_layer(2)
    layer.build((2, 4, 3))
    wrapped = keras.layers.Bidirectional(make_layer(2))
    x, h = np.ones((2, 4, 3), "float32"), np.ones((2, 2), "float32")
    z, g = (keras.ops.convert_to_tensor(a + 0j, "complex64") for a in (x, h))
    real = keras.ops.convert_to_tensor(x[:, 0])
    entrance = keras.Input((4, 3), dtype="complex64")
    calls: dict[str, Callable[[], Any]] = {
        "sequences": lambda: layer(z),
        " sequences": lambda: wrapped(z),
        "  sequences": lambda: keras.Model(entrance, layer(entrance))(z),
        "initial_state": lambda: layer(x, initial_state=g),
        " initial_state": lambda: layer(x, initial_state=[g]),
        "sequence": lambda: layer.cell(z[:, 0], [h]),
        "states": lambda: layer.cell(real, [g]),
        "matrix": lambda: layer.cell.parametrization.assign(np.eye(2) + 0j),
    }
    for argument, call in calls.items():
        with pytest.raises(TypeError, match=f"`{argument.strip()}` .*of real numbers"):
            call()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_refuses_an_initial_matrix_of_another_shape(make: Callable[..., Any]) -> None:
    made = make(3, recurrent_initializer=lambda shape, dtype: np.ones((3, 2), dtype))
    with pytest.raises(ValueError, match=r"returns the shape \(3, 3\).*\(3, 2\)"):
        made.build((None, 4) if "Cell" in type(made).__name__ else (None, None, 4))

"""The table of activations is complete, and its columns agree with each other."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.ranges.activations import ACTIVATIONS, Activation
from keras_urnn.recurrence.derivatives import DERIVATIVES
from tests.helpers import precision, to_numpy

VERBS = {"get", "serialize", "deserialize"}
PUBLIC = {name for name in dir(keras.activations) if name[0] != "_"} - VERBS
Z = np.linspace(-8.0, 8.0, 33) + 0.1  # 0.1 from the end of a piece, or farther
STEP = 2.0**-7

each_row = pytest.mark.parametrize(
    ("activation", "row"), ACTIVATIONS.items(), ids=lambda x: getattr(x, "__name__", "")
)


def test_every_activation_of_keras_has_a_row() -> None:
    assert set(ACTIVATIONS) == {getattr(keras.activations, name) for name in PUBLIC}


@each_row
def test_a_row_is_complete(activation: Any, row: Activation) -> None:
    # The bounds of a conversion need both.
    assert row.half_line is None or row.range is not None
    # Runs in float64 need both, or the backend's.
    assert (row.value is None) == (row.derivative is None)
    assert row.value is None or row.pieces is not None
    # A refusal names activations that can be converted.
    named = [ACTIVATIONS[keras.activations.get(name)] for name in row.nearest]
    assert named
    assert all(one.half_line is not None for one in named)


@each_row
def test_the_pieces_are_those_of_keras(activation: Any, row: Activation) -> None:
    if row.pieces is None:
        return
    i = np.searchsorted(row.pieces.ends, Z)
    found = row.pieces.slopes[i] * Z + row.pieces.offsets[i]
    # Some backends hold 0.2 and 1/6 in float32.
    expected = apply(activation.__name__, Z)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@each_row
def test_the_half_line_is_that_of_the_pieces(activation: Any, row: Activation) -> None:
    if row.pieces is None:
        return
    flat = [i for i in (0, -1) if row.pieces.slopes[i] == 0.0]
    assert bool(flat) == (row.half_line is not None)
    if row.half_line is not None:
        i = flat[0]  # of two half-lines the lower: none of these rises to 0
        assert row.half_line.side == (-1, 1)[i]
        assert row.half_line.edge == row.pieces.ends[i]
        assert row.half_line.value == row.pieces.offsets[i]
        assert row.half_line.slope == np.abs(row.pieces.slopes).max()
        assert row.half_line.homogeneous == row.pieces.is_homogeneous


EXACT = {f.__name__: row for f, row in ACTIVATIONS.items() if row.value}


@pytest.mark.parametrize("name", EXACT)
def test_the_value_and_the_derivative_are_those_of_keras(name: str) -> None:
    value, derivative = EXACT[name].value, EXACT[name].derivative
    assert value is not None
    assert derivative is not None
    np.testing.assert_array_equal(value(Z), apply(name, Z))
    np.testing.assert_allclose(derivative(Z), slopes(name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_derivative_from_the_state_is_that_of_the_row(name: str) -> None:
    assert keras.activations.get(name) in ACTIVATIONS
    with precision("float64"):
        g, h = (keras.ops.convert_to_tensor(x) for x in (np.cos(Z), apply(name, Z)))
        found = to_numpy(DERIVATIVES[name](g, h))
    # Off by a third of STEP² at most; tanh computes in float32 on JAX.
    np.testing.assert_allclose(found, np.cos(Z) * slopes(name), rtol=0, atol=3e-5)


def slopes(name: str) -> Any:
    """Differences between two points at which a function is evaluated."""
    return (apply(name, Z + STEP) - apply(name, Z - STEP)) / (2.0 * STEP)


def apply(name: str, z: Any) -> Any:
    with precision("float64"):
        tensor = keras.ops.convert_to_tensor(z, dtype="float64")
        return to_numpy(keras.activations.get(name)(tensor))

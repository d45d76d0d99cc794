"""Linear maps in exact arithmetic: equal, or nearly so and not equal."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.linear_maps import same_linear_maps
from tests.equivalence.networks import Array, recurrence

N = 3


def linear(n: int = N, seed: int = 0) -> Recurrence:
    """Weights of a few digits, so that sums and products of them are exact."""

    def short(array: Array) -> Array:
        return np.round(64.0 * array) / 64.0

    found = recurrence(n, 0.9, seed, activation="linear")
    return replace(
        found,
        kernel=short(found.kernel),
        recurrent_matrix=short(found.recurrent_matrix),
        bias=short(found.bias),
        initial_state=short(found.initial_state),
    )


def transformed(one: Recurrence, matrix: Array) -> Recurrence:
    inverse = np.round(np.linalg.inv(matrix))
    return replace(
        one,
        kernel=one.kernel @ matrix,
        recurrent_matrix=inverse @ one.recurrent_matrix @ matrix,
        bias=one.bias @ matrix,
        initial_state=one.initial_state @ matrix,
    )


SHEAR = np.array([[1.0, 1000.0, 0.0], [0.0, 1.0, -3.0], [0.0, 0.0, 1.0]])


def compare(one: Recurrence, other: Recurrence, *seen: Array, **kwargs: Any) -> bool:
    readouts = seen or (np.eye(one.units), np.eye(other.units))
    arguments: dict[str, Any] = {"horizon": None, **kwargs}
    return same_linear_maps((one, other), (readouts[0], readouts[1]), **arguments)


def test_other_coordinates_are_the_same_map() -> None:
    one, back = linear(), np.round(np.linalg.inv(SHEAR))
    assert compare(one, one)
    assert compare(one, transformed(one, SHEAR), np.eye(N), back)
    assert not compare(one, transformed(one, SHEAR))
    # A state that nothing sees makes no difference, nor does one that nothing moves.
    larger = replace(
        one,
        kernel=np.pad(one.kernel, ((0, 0), (0, 1)), constant_values=0.3),
        recurrent_matrix=np.pad(one.recurrent_matrix, (0, 1), constant_values=0.0),
        bias=np.append(one.bias, 1.0),
        initial_state=np.append(one.initial_state, 5.0),
    )
    assert compare(one, larger, np.eye(N), np.eye(N + 1, N))


@pytest.mark.parametrize(
    "name", ["kernel", "recurrent_matrix", "bias", "initial_state"]
)
def test_one_digit_is_a_difference(name: str) -> None:
    one = linear()
    array = getattr(one, name).copy()
    array.flat[-1] = np.nextafter(array.flat[-1], 9.0)
    assert not compare(one, replace(one, **{name: array}))


def test_a_late_difference_counts() -> None:
    """Two chains of three states that differ in what the last of them gets."""
    one = replace(
        linear(),
        recurrent_matrix=np.diag([1.0, 1.0], 1),
        kernel=np.eye(3, N) * [1.0, 0.0, 0.0],
        bias=np.zeros(N),
        initial_state=np.zeros(N),
    )
    other = replace(one, recurrent_matrix=np.diag([1.0, 1.5], 1))
    last = np.eye(N)[:, 2:]
    assert not compare(one, other, last, last)
    assert compare(one, other, last, last, horizon=2)
    assert not compare(one, other, last, last, horizon=3)


def test_what_shows_after_a_million_steps_is_a_difference() -> None:
    """An eigenvalue of 1 and one just below: equal to 1e-12 in the first steps."""
    one = replace(
        linear(1),
        kernel=np.ones((3, 1)),
        recurrent_matrix=np.ones((1, 1)),
        bias=np.zeros(1),
        initial_state=np.zeros(1),
    )
    below = replace(one, recurrent_matrix=np.full((1, 1), 1.0 - 2.0**-53))
    assert not compare(one, below)
    # The first step doesn't see the matrix, where the start is 0.
    assert compare(one, below, horizon=1)
    assert not compare(one, below, horizon=2)


def test_what_is_not_plain_is_not_decided() -> None:
    one = linear()
    for change in (
        {"activation": keras.activations.relu},
        {"scale": np.full(N, 2.0)},
        {"resting_state": np.ones(N)},
        {"kernel": np.full((3, N), np.nan)},
        {"bias": np.array([1e-200, 1e200, 0.0])},
    ):
        other = replace(one, **change)
        assert not compare(other, other)
    assert not compare(one, replace(one, kernel=one.kernel[:2]))
    large = linear(100)
    assert not compare(large, large)

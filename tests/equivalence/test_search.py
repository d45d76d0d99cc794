"""The search for inputs on which two networks differ most."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn.equivalence.ranges.intervals import Interval, symmetric
from keras_urnn.equivalence.verification.gradient_search import most_different
from tests.equivalence.layers import build
from tests.equivalence.networks import FEATURES
from tests.helpers import to_numpy

pytestmark = pytest.mark.each_backend


def test_the_search_ends_at_the_worst_corner() -> None:
    # |w·x| is largest, Σ|w_i| b_i, at x_i = ± b_i sign(w_i): one corner in 2^20.
    generator = np.random.default_rng(0)
    w = generator.normal(size=20).astype("float32")
    weights = ops.convert_to_tensor(w)
    bound = generator.uniform(1.0, 2.0, 20)
    x = generator.uniform(-1.0, 1.0, (3, 20)).astype("float32")
    (found,) = most_different(
        lambda tensors: [ops.sum(tensors[0] * weights, axis=-1)],
        lambda tensors: [ops.zeros_like(tensors[0][:, 0])],
        [x],
        [symmetric(bound)],
    )
    np.testing.assert_allclose(np.abs(found @ w), np.abs(w) @ bound, rtol=1e-5, atol=0)
    assert np.all(np.abs(x @ w) < 0.7 * np.abs(w) @ bound)
    assert found.dtype == x.dtype


def test_the_search_goes_far_from_where_two_networks_nearly_agree() -> None:
    layer = build(ku.ContractiveRNN(4, return_sequences=True), norm=0.9)
    other = build(ku.ContractiveRNN(4, return_sequences=True), norm=0.9)
    other.cell.recurrent_kernel.assign(to_numpy(layer.cell.recurrent_kernel) * 1.01)
    x = np.random.default_rng(1).uniform(-0.1, 0.1, (2, 12, FEATURES)).astype("float32")

    def distance(x: Any) -> float:
        return float(np.max(np.abs(to_numpy(layer(x)) - to_numpy(other(x)))))

    bound = Interval.of(-np.ones(FEATURES), np.ones(FEATURES))
    (found,) = most_different(
        lambda tensors: [layer(tensors[0])],
        lambda tensors: [other(tensors[0])],
        [x],
        [bound],
    )
    assert distance(found) > 2.0 * distance(x)
    assert np.all(np.abs(found) <= 1.0)


def test_inputs_of_several_ranges_are_searched_together() -> None:
    a, b = keras.Input((2,)), keras.Input((3,))
    model = keras.Model([a, b], ops.sum(a, -1) - ops.sum(b, -1))
    zeros = [np.zeros((1, 2), "float32"), np.zeros((1, 3), "float32")]
    first, second = most_different(
        lambda tensors: [model(tensors) + 1.0],
        lambda tensors: [ops.zeros((1,))],
        zeros,
        [Interval.of(-np.ones(2), 2.0 * np.ones(2)), Interval.of(-3 * np.ones(3), 0.0)],
    )
    np.testing.assert_array_equal(first, [[2.0, 2.0]])
    np.testing.assert_array_equal(second, [[-3.0, -3.0, -3.0]])

"""From which states the cells of a layer start, and what is converted for them."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary
from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.plans.layers import plan_layer
from keras_urnn.equivalence.plans.plan import Options
from keras_urnn.equivalence.ranges.cells import directions_of
from keras_urnn.equivalence.ranges.initial_states import given_starts, resting_starts
from keras_urnn.equivalence.ranges.intervals import Interval
from tests.equivalence.layers import build
from tests.equivalence.networks import BOUND, FEATURES
from tests.helpers import precision, to_numpy

L = keras.layers
ONE, TWO = (Interval.of(-1.0, 1.0), Interval.of(0.0, 2.0))


def both(**kwargs: Any) -> Any:
    layer = L.Bidirectional(ku.ContractiveRNN(2, max_norm=0.9, **kwargs))
    layer.build((3, None, FEATURES))
    return layer


def test_a_layer_starts_at_rest_and_a_stateful_one_at_0_too() -> None:
    for stateful in (False, True):
        layer = build(
            ku.ContractiveRNN(3, learn_initial_state=True, stateful=stateful), batch=2
        )
        start = to_numpy(layer.cell.learned_initial_state)
        (found,) = resting_starts(layer)
        zero = 0.0 if stateful else start
        np.testing.assert_array_equal(found.lower, np.minimum(start, zero))
        np.testing.assert_array_equal(found.upper, np.maximum(start, zero))


def test_gated_layers_start_at_0() -> None:
    layer = L.RNN([L.GRUCell(2), L.SimpleRNNCell(3)])
    layer.build((None, None, FEATURES))
    assert [found.largest.max() for found in resting_starts(layer)] == [0.0, 0.0]


def test_given_states_go_to_their_cells() -> None:
    forward, backward = given_starts(both(), [ONE, TWO])
    np.testing.assert_allclose(forward.lower, [-1.0, -1.0], rtol=1e-6)
    np.testing.assert_allclose(backward.upper, [2.0, 2.0], rtol=1e-6)
    layer = L.RNN([L.LSTMCell(2), L.SimpleRNNCell(1)])
    layer.build((None, None, FEATURES))
    first, second = given_starts(layer, [[ONE, TWO], TWO])
    np.testing.assert_allclose(first.upper, [1.0, 1.0, 2.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(second.upper, [2.0], rtol=1e-6)


def test_the_rest_of_a_given_state_is_at_rest() -> None:
    layer = ku.UnitaryRNN(3, output_units=2, learn_initial_state=True)
    layer.build((None, None, FEATURES))
    layer.cell.learned_initial_state.assign([7.0, 8.0, 9.0])
    (found,) = given_starts(layer, TWO)
    np.testing.assert_allclose(found.lower, [0.0, 0.0, 9.0], rtol=1e-6)
    np.testing.assert_allclose(found.upper, [7.0, 8.0, 9.0], rtol=1e-6)
    (found,) = given_starts(layer, [TWO, ONE])
    np.testing.assert_allclose(found.lower, [0.0, 0.0, -1.0], rtol=1e-6)


def test_a_given_state_is_rounded_to_the_compute_dtype() -> None:
    with precision("mixed_bfloat16"):
        layer = build(ku.ContractiveRNN(2))
    third = Interval.of(1.0 / 3.0, 1.0 / 3.0)
    (found,) = given_starts(layer, third)
    # TensorFlow makes no array of a bfloat16 scalar.
    exact = keras.ops.convert_to_tensor([1.0 / 3.0])
    cast = to_numpy(keras.ops.cast(exact, "bfloat16"))
    assert cast > 1.0 / 3.0  # it is rounded up
    assert np.all((found.lower <= cast) & (cast <= found.upper))


def test_each_direction_is_converted_for_its_own_start() -> None:
    layer = both(use_bias=False)
    for one in (layer.forward_layer, layer.backward_layer):
        one.cell.kernel.assign(np.zeros((FEATURES, 2)))
    entering = InputBounds(BOUND).of_input("x").spread(FEATURES)
    starts = [Interval.of(np.zeros(2), [size, size]) for size in (0.1, 10.0)]
    new = plan_layer(layer, entering, Options(), starts).build(None, None, FEATURES)
    small, large = (
        to_numpy(one.cell.bias)[2:] for one in (new.forward_layer, new.backward_layer)
    )
    assert large.min() < 50.0 * small.min() < 0.0


@pytest.mark.parametrize("wrap", [False, True], ids=["layer", "both directions"])
def test_a_stateful_conversion_starts_at_rest(wrap: bool) -> None:
    layer: Any = ku.ContractiveRNN(2, learn_initial_state=True, stateful=True)
    layer = L.Bidirectional(layer) if wrap else layer
    layer.build((3, None, FEATURES))
    for i, one in enumerate(directions_of(layer)):
        one.cell.learned_initial_state.assign([1.0 + i, -1.0])
    converted = to_unitary(layer, input_bound=BOUND)
    layer.reset_state()
    expected = [to_numpy(state)[0] for state in layer.states]
    found = [to_numpy(state)[0] for state in converted.states[::2]]
    np.testing.assert_array_equal(found, expected)

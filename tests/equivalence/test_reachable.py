"""No input within the bound takes a recurrence out of its ball and its box."""

import dataclasses
from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_urnn.equivalence.ranges.intervals import Interval, symmetric
from keras_urnn.equivalence.ranges.reachable_ball import _after
from keras_urnn.equivalence.ranges.reachable_states import reachable_states
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from tests.equivalence.networks import (
    BOUND,
    BOUNDED,
    FEATURES,
    Array,
    activations,
    centring,
    inputs,
    norms,
    recurrence,
    seeds,
    sizes,
    states,
)

ENTERING = symmetric(np.full(FEATURES, BOUND))


def with_start(network: Recurrence, found: Array) -> Array:
    start = np.broadcast_to(network.initial_state, found[:, :1].shape)
    return np.concatenate([start, found], axis=1)


def assert_inside(network: Recurrence, x: Array, name: str, horizon: Any) -> None:
    bounds = reachable_states(network, ENTERING, horizon)
    seen = with_start(network, states(network, x, name))
    assert np.linalg.norm(seen, axis=-1).max() <= bounds.radius
    assert np.all((bounds.box.lower <= seen) & (seen <= bounds.box.upper))


@settings(deadline=None, max_examples=100)
@given(
    sizes, norms, seeds, activations, st.sampled_from(["float32", "float64"]), centring
)
def test_states_stay_in_the_ball_and_the_box(
    n: int, norm: float, seed: int, activation: str, dtype: str, centred: bool
) -> None:
    network = recurrence(n, norm, seed, dtype, activation=activation, centred=centred)
    assert_inside(network, inputs(network, 80, seed).astype(dtype), activation, None)


@settings(deadline=None, max_examples=80)
@given(
    sizes, st.sampled_from([0.5, 1.0]), seeds, activations, st.integers(1, 30), centring
)
def test_states_stay_in_the_bounds_up_to_the_horizon(
    n: int, norm: float, seed: int, activation: str, horizon: int, centred: bool
) -> None:
    network = recurrence(n, norm, seed, activation=activation, centred=centred)
    assert_inside(network, inputs(network, horizon, seed), activation, horizon)


@settings(deadline=None, max_examples=40)
@given(sizes, seeds, st.sampled_from(BOUNDED))
def test_a_bounded_activation_bounds_the_states_whatever_the_norm(
    n: int, seed: int, activation: str
) -> None:
    network = recurrence(n, 3.0, seed, activation=activation)
    assert_inside(network, inputs(network, 80, seed), activation, None)


@settings(deadline=None, max_examples=40)
@given(sizes, st.sampled_from([0.5, 0.9, 1.0]), seeds, st.sampled_from([None, 20]))
def test_states_stay_in_the_bounds_from_every_start_that_is_given(
    n: int, norm: float, seed: int, horizon: int | None
) -> None:
    network = recurrence(n, min(norm, 1.0 if horizon else 0.9), seed)
    generator = np.random.default_rng(seed)
    ends = np.sort(3.0 * generator.normal(size=(2, n)), axis=0)
    bounds = reachable_states(network, ENTERING, horizon, Interval(*ends))
    x = inputs(network, 20, seed)
    for draw in range(3):
        corner = np.where(generator.random(n) < 0.5, *ends)
        start = corner if draw else generator.uniform(*ends)
        moved = dataclasses.replace(network, initial_state=start)
        seen = with_start(moved, states(moved, x))
        assert np.linalg.norm(seen, axis=-1).max() <= bounds.radius
        assert np.all((bounds.box.lower <= seen) & (seen <= bounds.box.upper))


def test_a_start_without_a_bound_leaves_none() -> None:
    start = Interval.of([-np.inf], [np.inf])
    for horizon in (None, 3):
        bounds = reachable_states(single(0.5), symmetric([1.0]), horizon, start)
        assert not bounds.is_bounded


def single(weight: float, dtype: str = "float64", **changes: Any) -> Recurrence:
    """One unit without a bias, started at 0, driven by one feature."""
    network = Recurrence(
        kernel=np.ones((1, 1)),
        recurrent_matrix=np.full((1, 1), weight),
        bias=np.zeros(1),
        initial_state=np.zeros(1),
        dtype=dtype,
        stored_dtype=dtype,
    )
    return dataclasses.replace(network, **changes)


def test_one_unit_reaches_its_bound() -> None:
    # h = 0.5 h + 1 rests at 2.
    bounds = reachable_states(single(0.5), symmetric([1.0]), None)
    assert bounds.radius == pytest.approx(2.0, rel=1e-12)
    assert bounds.box.upper == pytest.approx(2.0, rel=1e-12)
    assert bounds.box.lower == 0.0


def test_a_centre_is_left_out_of_each_step() -> None:
    # h = 0.5 (h - 1) + 1 rests at 1.
    centre = np.ones(1)
    network = single(0.5, initial_state=centre, resting_state=centre)
    bounds = reachable_states(network, symmetric([1.0]), None)
    assert bounds.box.upper == pytest.approx(1.0, rel=1e-12)
    # What another state sees of h in [0, 1] is h - 1.
    assert bounds.supremum(np.array([[-1.0]])) == pytest.approx(1.0, rel=1e-12)
    assert bounds.supremum(np.array([[1.0]])) < 1e-12
    # h = 0.5 (h + 3) + 1 rests at 5.
    bounds = reachable_states(
        single(0.5, resting_state=np.full(1, -3.0)), symmetric([1.0]), None
    )
    assert bounds.supremum(np.array([[1.0]])) == pytest.approx(8.0, rel=1e-12)


SINGLE: dict[str, tuple[float, float, float, float]] = {
    # weight, lower end, upper end, radius
    "relu": (-0.5, 0.0, 1.0, 2.0),
    "relu6": (1.0, 0.0, 6.0, 6.0),
    "hard_tanh": (0.5, -1.0, 1.0, 1.0),
    # h = (0.5 h + 1 + 3) / 6 rests at 8/11; it starts at 0
    "hard_sigmoid": (0.5, 0.0, 8.0 / 11.0, 1.0),
    "sparse_sigmoid": (0.5, 0.0, 1.0, 1.0),
    # h = 0.5 h + 1 rests at 2; the ball has the excess of 1/4
    "sparse_plus": (0.5, 0.0, 2.0, 2.5),
    "hard_silu": (0.5, -0.376, 2.0, 2.0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_unit_of_each_kind(name: str) -> None:
    weight, lower, upper, radius = SINGLE[name]
    network = single(weight, activation=keras.activations.get(name))
    bounds = reachable_states(network, symmetric([1.0]), None)
    found = [*bounds.box.lower, *bounds.box.upper, bounds.radius]
    np.testing.assert_allclose(found, [lower, upper, radius], rtol=0, atol=1e-12)


def test_slack_is_added_to_what_drives_the_states() -> None:
    bounds = reachable_states(single(0.5), symmetric([1.0]), None, slack=0.25)
    assert bounds.box.upper == pytest.approx(2.5, rel=1e-12)


def test_an_activation_that_is_not_known_bounds_nothing() -> None:
    network = single(0.5, activation=lambda z: z)
    bounds = reachable_states(network, symmetric([1.0]), None)
    assert not bounds.is_bounded
    assert not network.is_bounded


def test_a_horizon_counts_the_steps() -> None:
    bounds = reachable_states(single(1.0), symmetric([1.0]), 7)
    assert bounds.box.upper == pytest.approx(7.0, rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 10, 1000, 40000])
def test_a_horizon_never_widens_what_is_proved_for_all_times(horizon: int) -> None:
    network = recurrence(8, 0.999, seed=2)
    for_ever = reachable_states(network, ENTERING, None)
    within = reachable_states(network, ENTERING, horizon)
    assert within.radius <= for_ever.radius * (1.0 + 1e-12)
    assert np.all(within.box.upper <= for_ever.box.upper * (1.0 + 1e-12))


def test_rounding_may_leave_no_bound_over_a_long_horizon() -> None:
    # In bfloat16 the norm may be 1.01 as computed: 1.01 to the 80000 overflows.
    network = single(0.999, "bfloat16")
    bounds = reachable_states(network, symmetric([1.0]), 80000)
    assert not bounds.is_bounded
    assert bounds.supremum(np.array([[0.0, 1.0]])).tolist() == [np.inf, np.inf]
    assert reachable_states(network, symmetric([1.0]), None).is_bounded


def test_the_initial_state_is_a_reachable_state() -> None:
    network = single(0.5, initial_state=np.array([-9.0]))
    bounds = reachable_states(network, symmetric([1.0]), None)
    assert bounds.box.lower == -9.0
    assert bounds.radius == 9.0
    # An added state that sees -h is driven by it.
    assert bounds.supremum(np.array([[-1.0]])) == pytest.approx(9.0, rel=1e-12)


def test_a_negative_weight_narrows_the_box() -> None:
    # h = (1 - 0.5 h)⁺ stays in [0, 1], inside the ball of radius 2.
    bounds = reachable_states(single(-0.5), symmetric([1.0]), None)
    assert bounds.radius == pytest.approx(2.0, rel=1e-12)
    assert bounds.box.upper == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("dtype", "weight", "factor"),
    [("float64", 0.9, 1.001), ("float32", 0.9, 1.1), ("bfloat16", 0.9, 1.6)],
)
def test_rounding_is_included_where_it_can_be_proved(
    dtype: str, weight: float, factor: float
) -> None:
    bounds = reachable_states(single(weight, dtype), symmetric([1.0]), None)
    assert 10.0 < bounds.radius < 10.0 * factor


def test_a_readout_that_is_never_positive_needs_no_bias() -> None:
    bounds = reachable_states(single(0.5), symmetric([1.0]), None)
    assert bounds.supremum(np.array([[-1.0]])) < 1e-14
    assert bounds.supremum(np.array([[-1.0]])) >= 0.0


def test_the_ball_bounds_what_the_box_does_not() -> None:
    # In 16 dimensions a diagonal readout of the box exceeds that of the ball.
    network = recurrence(16, 0.9, seed=1)
    bounds = reachable_states(network, ENTERING, None)
    readout = np.ones((16, 1))
    assert bounds.supremum(readout) <= 4.0 * bounds.radius * (1.0 + 1e-12)


# How far the factor of a step is from 1, by which a ball grows.
EXCESSES = [-1.0, -0.5, -1e-3, -1e-12, 0.0, 2.0**-52, 1e-9, 1e-3, 0.5, 7.0]


@pytest.mark.parametrize("excess", EXCESSES)
def test_the_ball_over_a_horizon_is_that_of_its_steps(excess: float) -> None:
    for first, drive in ((0.0, 0.3), (2.0, 0.0), (2.0, 0.3), (0.0, 0.0)):
        exact, factor = Fraction(first), 1 + Fraction(excess)
        for steps in range(1, 60):
            exact = factor * exact + Fraction(drive)
            found = Fraction(_after(steps, excess, first, drive))
            assert exact <= found <= exact * (1 + Fraction(2) ** -39)


@pytest.mark.parametrize("excess", EXCESSES)
@pytest.mark.parametrize("steps", [10**9, 10**18, 2**63 - 1])
def test_a_horizon_of_any_length_takes_no_time(steps: int, excess: float) -> None:
    found = _after(steps, excess, 2.0, 0.25)
    grows = steps * excess > 700.0
    assert np.isinf(found) == grows
    if excess == 0.0:
        assert found >= 2.0 + steps * 0.25
    if excess < -1e-6:  # by then it is at the fixed point
        np.testing.assert_allclose(found, -0.25 / excess, rtol=1e-11)

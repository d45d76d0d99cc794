"""The linear program finds the sets of states that a search over inputs finds."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.theory.kept_on import (
    LEAST_MARGIN,
    forgets_its_start,
    margin,
    margins,
    steps_to_hold,
)
from keras_urnn.theory.system import System
from tests.theory.cells import Array, orthogonal


def system(matrix: Array, kernel: Array, bias: Array, start: Array | None) -> System:
    n = len(matrix)
    start = np.zeros(n) if start is None else start
    return System(kernel, matrix, bias, start, np.eye(n), 2.0**-52)


def within(bound: float, features: int) -> Interval:
    return Interval.of(-bound, bound).spread(features)


def patterns_seen(found: System, bound: float) -> dict[tuple[bool, ...], float]:
    """Run 401 constant inputs to rest: the patterns and their largest margins."""
    x = np.linspace(-bound, bound, 401)[:, None] @ np.ones((1, len(found.kernel)))
    h = np.zeros((len(x), found.units))
    for _ in range(200):
        z = h @ found.recurrent_matrix + x @ found.kernel + found.bias
        h = np.maximum(z, 0.0)
    seen: dict[tuple[bool, ...], float] = {}
    for row in z:
        pattern = tuple(bool(on) for on in row > 0.0)
        seen[pattern] = max(seen.get(pattern, 0.0), float(np.abs(row).min()))
    return seen


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_it_finds_what_a_search_over_one_input_finds(n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(n, n))
    matrix *= 0.8 / np.linalg.norm(matrix, 2)
    found = system(
        matrix, generator.normal(size=(1, n)), generator.normal(size=n), None
    )
    bound = 2.0
    seen = patterns_seen(found, bound)
    scale = max(np.abs(found.bias).max(), bound * np.abs(found.kernel).max())
    # Between two of the 401 inputs a margin changes by less than the step times the
    # gain, |K| / (1 - 0.8) in the 2-norm.
    resolution = 2 * bound / 400 * np.linalg.norm(found.kernel) / 0.2
    for pattern in product([False, True], repeat=n):
        on = np.array(pattern)
        claimed = scale * margin(found, steps_to_hold(found), on, within(bound, 1))
        best = seen.get(pattern, 0.0)
        # The solver's tolerance is 1e-7 of the scale; it looks no further than that.
        assert min(best, scale) <= max(claimed, 0.0) + 1e-6 * scale
        assert claimed <= best + resolution


def test_over_steps_the_run_from_the_start_counts() -> None:
    # h_t = h_{t-1} + 0.125 x_t, |x| <= 1, from -3: below 0, hence at 0, at first.
    found = system(np.eye(1), np.array([[0.125]]), np.zeros(1), np.array([-3.0]))
    on = np.array([True])
    assert len(steps_to_hold(found).previous) == 4
    assert margin(found, steps_to_hold(found), on, within(1.0, 1)) < 0.0
    started = found._replace(initial_state=np.array([0.0]))
    # In units of the largest input, 0.125: the first step can give all of it.
    held = margin(started, steps_to_hold(started), on, within(1.0, 1))
    assert held == pytest.approx(1.0, abs=1e-6)


def test_all_steps_are_held_not_just_the_first() -> None:
    # A rotation by a right angle: the state that is on comes back negated.
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = system(turn, np.zeros((1, 2)), np.zeros(2), np.array([1.0, -1.0]))
    assert margin(found, steps_to_hold(found), np.array([True, True]), None) < 0.0


def test_without_a_bound_any_input_will_do() -> None:
    found = system(0.5 * np.eye(2), np.eye(2), -1e3 * np.ones(2), None)
    on = np.array([True, True])
    assert margin(found, steps_to_hold(found), on, None) > LEAST_MARGIN
    assert margin(found, steps_to_hold(found), on, within(10.0, 2)) < 0.0


def test_margins_tell_which_state_is_in_the_way() -> None:
    found = system(0.5 * np.eye(3), np.ones((1, 3)), np.array([1.0, -5.0, 1.0]), None)
    each = margins(found, steps_to_hold(found), np.ones(3, bool), within(1.0, 1))
    assert int(each.argmin()) == 1
    assert np.all(each[[0, 2]] > 0.0)


def test_what_no_input_moves_may_be_off_at_0() -> None:
    # The second state is 0 for ever; the third sees the first, and is on when it is.
    matrix = np.diag([0.5, 0.5, 0.5])
    matrix[0, 2] = 1.0
    found = system(matrix, np.array([[1.0, 0.0, 0.0]]), np.zeros(3), None)
    steps, one = steps_to_hold(found), within(1.0, 1)
    assert margin(found, steps, np.array([True, False, True]), one) > LEAST_MARGIN
    assert margin(found, steps, np.array([True, False, False]), one) < LEAST_MARGIN
    assert margin(found, steps, np.array([True, True, True]), one) < LEAST_MARGIN
    pushed = found._replace(bias=np.array([0.0, 0.1, 0.0]))
    assert margin(pushed, steps_to_hold(pushed), np.array([True, False, True]), one) < 0


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_margins_are_relative(size: float) -> None:
    found = system(
        0.5 * np.eye(2), size * np.eye(2), size * np.array([0.1, -0.3]), None
    )
    on = np.array([True, False])
    held = margin(found, steps_to_hold(found), on, within(1.0, 2))
    # The second pre-activation is at least -1.3; both inputs together give 2.
    assert held == pytest.approx(0.65, abs=1e-6)


@pytest.mark.parametrize(
    ("matrix", "forgets"),
    [
        (0.99 * orthogonal(3), True),
        (orthogonal(3), False),
        (np.diag([5.0, 7.0], 1), True),  # nilpotent: it forgets in three steps
        (np.diag([-1.0, 0.5]), False),
        (np.array([[0.0, 2.0], [0.4, 0.0]]), True),
        (np.array([[0.0, 2.0], [0.6, 0.0]]), False),
    ],
)
def test_which_matrices_forget_their_start(matrix: Array, forgets: bool) -> None:
    n = len(matrix)
    assert forgets_its_start(system(matrix, np.eye(n), np.zeros(n), None)) == forgets

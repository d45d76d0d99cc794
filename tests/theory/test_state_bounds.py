"""Theorem 2: the bounds of the RNNs for which they are known, and their reasons."""

import re
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_urnn as ku
from keras_urnn.theory import tight_example, unitary_state_bounds
from tests.helpers import to_numpy
from tests.theory.cells import Array, cell_of, orthogonal


@pytest.mark.parametrize("n", range(1, 9))
def test_the_tight_example_needs_2n(n: int) -> None:
    bounds = unitary_state_bounds(tight_example(n))
    assert bounds[:2] == (2 * n, 2 * n)
    assert bounds.lower_every_pattern == n + 1


@pytest.mark.parametrize("n", range(1, 9))
def test_distinct_eigenvalues_leave_a_gap(n: int) -> None:
    cell = cell_of(np.diag(np.linspace(0.1, 0.9, n)), make=ku.ContractiveRNNCell)
    assert unitary_state_bounds(cell)[:3] == (n + 1, 2 * n, n + 1)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_shift_needs_one_more_state(n: int) -> None:
    assert unitary_state_bounds(cell_of(np.eye(n, k=1)))[:3] == (n + 1, n + 1, n + 1)


def test_a_weighted_shift_needs_one_more_state_whatever_its_weights() -> None:
    bounds = unitary_state_bounds(cell_of(np.diag([0.5, 3.0, 0.2], 1)))
    assert bounds[:3] == (5, 5, 5)
    assert "in scales of the states" in bounds.upper_reason
    assert "horizon" not in bounds.upper_reason


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 24])
def test_an_orthogonal_matrix_needs_no_other_state(n: int) -> None:
    bounds = unitary_state_bounds(cell_of(orthogonal(n)))
    assert bounds[:3] == (n, n, n)
    assert "orthogonal" in bounds.upper_reason


def test_no_scales_make_a_jordan_block_orthogonal() -> None:
    bounds = unitary_state_bounds(cell_of(np.array([[1.0, 1.0], [0.0, 1.0]])))
    assert bounds.upper is None
    assert "spectral radius 1" in bounds.upper_reason


def test_the_reason_tells_scales_from_the_matrix_as_it_stands() -> None:
    swap = np.array([[0.0, 0.5], [2.0, 0.0]])
    bounds = unitary_state_bounds(cell_of(swap))
    assert bounds[:2] == (2, 2)
    assert bounds.upper_reason.endswith("orthogonal in scales that were searched for")


def test_the_tight_example_is_on_and_contractive() -> None:
    cell = tight_example(4)
    R, K, b = map(to_numpy, (cell.recurrent_matrix(), cell.kernel, cell.bias))
    h = np.zeros(4)
    for x in np.random.default_rng(0).uniform(-0.99, 0.99, (100, 4)):
        z = h @ R + x @ K + b
        assert np.all(z > 0.0)
        h = z
    assert np.linalg.norm(R, 2) == 0.5


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_converted_cell_has_the_same_bounds(n: int) -> None:
    # Not by a window of all states on: its added states are off for ever.
    converted = ku.to_unitary(tight_example(n), input_bound=1.0)
    assert unitary_state_bounds(converted)[:3] == (2 * n, 2 * n, n + 1)


@settings(max_examples=15)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_no_lower_bound_exceeds_what_the_converter_builds(
    n: int, features: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(n, n))
    matrix *= generator.uniform(0.1, 0.99) / np.linalg.norm(matrix, 2)
    kernel, bias = generator.normal(size=(features, n)), generator.normal(size=n)
    cell = cell_of(matrix, kernel, bias, make=ku.ContractiveRNNCell)
    bounds = unitary_state_bounds(cell)
    built = ku.to_unitary(cell, input_bound=1.0, minimize_states=True).width
    assert bounds.upper is not None
    assert bounds.lower is not None
    assert bounds.lower_every_pattern is not None
    assert bounds.lower_every_pattern <= bounds.lower <= bounds.upper <= built
    # More only where float32 rounds the scales to some of a norm above 1.
    assert built <= 2 * n


def test_a_readout_that_sees_one_state_of_a_diagonal() -> None:
    cell = tight_example(3)
    seen = np.array([[0.0], [2.0], [0.0]])
    # m = 1 and g = 1: two states do, as the other four have no use.
    assert unitary_state_bounds(cell, seen).lower == 2
    assert unitary_state_bounds(cell, np.zeros((3, 1))).lower == 0


def test_the_readout_of_a_cell_is_its_outputs() -> None:
    matrix = np.diag([0.5, 0.5, 0.5])
    hidden = cell_of(matrix, make=ku.ContractiveRNNCell, output_units=1)
    assert unitary_state_bounds(hidden).lower == 2
    assert unitary_state_bounds(hidden, np.eye(3)).lower == 6


def test_a_state_that_nothing_holds_on_is_left_out() -> None:
    # The second state would need 0.5 h_1 > 1, and h_1 is at most 1.
    cell = cell_of(
        np.array([[0.0, 0.5], [0.0, 0.0]]), np.array([[1.0, 0.0]]), np.array([0.0, -1])
    )
    bounds = unitary_state_bounds(cell, input_bound=1.0)
    assert bounds.lower == 2
    assert "holds the states 0 on and the others off" in bounds.lower_reason
    assert unitary_state_bounds(cell, input_bound=10.0).lower == 3


def test_where_no_state_can_be_on_nothing_is_claimed() -> None:
    cell = cell_of(np.diag([0.5, 0.25]), np.zeros((1, 2)), np.array([-1.0, -1.0]))
    bounds = unitary_state_bounds(cell)
    assert bounds[:3] == (None, 4, None)
    assert bounds.lower_reason.startswith("unknown: of all 3 sets of states none")
    assert bounds.lower_every_pattern_reason.startswith("unknown")


def test_a_part_may_prove_more_than_the_whole() -> None:
    # All states: the eigenvalues 0.5 ± 0.3 and 0.5 (m + g = 4). The last two: 2 + 2.
    matrix = np.array([[0.5, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, 0.5]])
    bounds = unitary_state_bounds(cell_of(matrix), None)
    assert bounds.lower == 4
    coupled = np.array([[0.2, 0.3, 0.1], [0.3, 0.5, 0.0], [0.1, 0.0, 0.5]])
    bounds = unitary_state_bounds(cell_of(np.kron(np.eye(1), coupled)))
    assert bounds.lower == 4
    wide = np.block([[np.diag([0.2]), np.full((1, 4), 0.2)], [np.zeros((4, 5))]])
    wide[1:, 1:], wide[1:, 0] = 0.5 * np.eye(4), [0.1, 0.2, 0.3, 0.1]
    bounds = unitary_state_bounds(cell_of(wide))
    assert bounds.lower == 8  # all: three of the four keep 0.5, m + g = 5 + 3


def test_the_start_counts_where_it_is_not_forgotten() -> None:
    # A permutation without inputs repeats its start: on from a positive one only.
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    cell = ku.UnitaryRNNCell(2, "relu", use_bias=False, learn_initial_state=True)
    cell.build((None, 1))
    cell.set_weights([np.zeros((1, 2)), swap, np.zeros(2)])
    assert unitary_state_bounds(cell).lower is None
    cell.learned_initial_state.assign([1.0, 2.0])
    assert unitary_state_bounds(cell).lower == 0  # on, but no input reaches it
    cell.kernel.assign([[1.0, 0.0]])
    assert unitary_state_bounds(cell).lower == 2


def test_no_upper_bound_where_no_scales_make_the_norm_1() -> None:
    bounds = unitary_state_bounds(cell_of(np.diag([2.0, 0.5])))
    assert bounds.upper is None
    assert "no positive scales" in bounds.upper_reason
    assert "eigenvalue 2" in bounds.upper_reason


def test_at_norm_1_the_horizon_is_named_unless_the_states_are_bounded() -> None:
    growing = unitary_state_bounds(cell_of(np.diag([1.0, 0.5])))
    assert growing.upper == 3
    assert "finite horizon" in growing.upper_reason
    shift = unitary_state_bounds(cell_of(np.eye(3, k=1)))
    assert "horizon" not in shift.upper_reason
    # R⁺ = 0, so that the states are bounded by the inputs, though |R| = I.
    negative = unitary_state_bounds(cell_of(np.diag([-1.0, -0.5])))
    assert "horizon" not in negative.upper_reason


def test_beyond_8_states_sets_are_found_greedily() -> None:
    n = 12
    bias = np.ones(n)
    bias[5] = -1.0
    # One input that pulls all states the same way, and one state that is always off.
    cell = cell_of(0.25 * np.eye(n), np.zeros((1, n)), bias)
    cell.kernel.assign(np.ones((1, n)))
    bounds = unitary_state_bounds(cell, input_bound=0.5)
    assert "greedily" in bounds.lower_reason
    # One input reaches one direction of 0.25 I: m = g = 1.
    assert bounds.lower == 2
    on = re.search(r"holds the states (.*) on and", bounds.lower_reason)
    assert on is not None
    assert [int(s) for s in on[1].split(", ")] == [s for s in range(n) if s != 5]


def test_beyond_8_states_without_forgetting_all_must_be_on() -> None:
    cell = cell_of(orthogonal(9), np.zeros((1, 9)), -np.ones(9))
    bounds = unitary_state_bounds(cell)
    assert bounds[:2] == (None, 9)
    assert "one set, all states" in bounds.lower_reason


def test_equal_up_to_rounding_warns() -> None:
    matrix = orthogonal(3, 1) @ np.diag([0.5, 0.5, 0.3]) @ orthogonal(3, 1).T
    cell = cell_of(matrix)  # float32: the two eigenvalues differ in the last digits
    with pytest.warns(UserWarning, match="Close decision.*eigenspace"):
        bounds = unitary_state_bounds(cell)
    assert bounds.lower == 5


def test_a_modulus_just_below_1_warns() -> None:
    cell = cell_of(np.diag([1.0 - 1e-5, 0.5]))
    with pytest.warns(UserWarning, match="Close decision") as noted:
        assert unitary_state_bounds(cell, np.array([[1.0], [0.0]])).lower == 2
    texts = " ".join(str(one.message) for one in noted)
    assert "modulus of the eigenvalue 1+0j: below 1 by 1e-05" in texts
    assert "singular value 0.99999: below 1 by 1e-05" in texts


def test_a_small_margin_warns() -> None:
    # relu(x - 1 + 3e-6) is on for x in a sliver of [-1, 1].
    cell = cell_of(np.array([[0.5]]), np.array([[1.0]]), np.array([-1.0 + 3e-6]))
    with pytest.warns(UserWarning, match="margin"):
        assert unitary_state_bounds(cell, input_bound=1.0).lower == 2


def test_reasons_name_their_numbers() -> None:
    bounds = unitary_state_bounds(tight_example(2))
    assert "m + g = 2 + 2" in bounds.lower_reason
    assert "the eigenvalue 0.5 with an eigenspace of dimension 2" in bounds.lower_reason
    assert "constant in time" in bounds.lower_reason
    assert "m + 1 = 2 + 1" in bounds.lower_every_pattern_reason
    assert "every unitary RNN" in bounds.lower_every_pattern_reason
    assert "2 singular values are below 1" in bounds.upper_reason


def _unbuilt() -> Any:
    return ku.ContractiveRNNCell(2)


def _nan() -> Any:
    return cell_of(np.array([[np.nan]]))


@pytest.mark.parametrize(
    ("make", "arguments", "match"),
    [
        (lambda: keras.layers.LSTMCell(2), {}, "must be a ContractiveRNNCell"),
        (lambda: ku.ContractiveRNN(2), {}, "pass `layer.cell`"),
        (_unbuilt, {}, "must be built"),
        (_nan, {}, "NaN or Inf in its weights"),
        (lambda: cell_of(np.eye(2), activation="tanh"), {}, "'tanh'.*ReLU"),
        (lambda: cell_of(np.eye(2), activation=None), {}, "'linear'"),
        (lambda: tight_example(2), {"readout": np.eye(3)}, r"shape \(3, 3\)"),
        (lambda: tight_example(2), {"readout": np.ones(2)}, r"shape \(2,\)"),
        (lambda: tight_example(2), {"readout": 1j * np.eye(2)}, "complex128"),
        (lambda: tight_example(2), {"readout": np.full((2, 1), np.nan)}, "NaN"),
        (lambda: tight_example(2), {"readout": [["a"], ["b"]]}, "real numbers"),
        (lambda: tight_example(2), {"input_bound": -1.0}, "input_bound"),
        (lambda: tight_example(2), {"input_bound": [1.0, 2.0, 3.0]}, "2 numbers"),
    ],
)
def test_bad_input_is_refused(make: Any, arguments: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        unitary_state_bounds(make(), **arguments)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_a_tight_example_has_a_positive_number_of_states(n: Any) -> None:
    with pytest.raises(ValueError, match="`n` must be a positive integer"):
        tight_example(n)


def test_the_cell_is_left_as_it_was() -> None:
    cell = tight_example(3)
    before: list[Array] = cell.get_weights()
    unitary_state_bounds(cell)
    for one, other in zip(before, cell.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

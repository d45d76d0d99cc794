"""Diagonal scaling: powers of two, certificates from both sides, an SDP as oracle."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_urnn.equivalence.matrices.least_norm import descend, log_schatten
from keras_urnn.equivalence.matrices.obstructions import Obstruction, norm_lower_bound
from keras_urnn.equivalence.matrices.scaled_matrices import Scaling, schur_test
from keras_urnn.equivalence.matrices.scaling import find_scaling
from tests.equivalence.matrices import (
    AWAY,
    Array,
    check_against_sdp,
    expansive,
    least_norm,
)
from tests.equivalence.networks import contraction, seeds, sizes

ROUNDING = 1e-12  # of an SVD of 16 columns, and to spare


def scaled(R: Array, d: Array) -> Array:
    return np.diag(1.0 / d) @ R @ np.diag(d)


def assert_scales(
    found: Scaling | Obstruction, R: Array, below: float = 1.0
) -> Scaling:
    assert isinstance(found, Scaling), found
    assert np.all(found.d > 0.0)
    np.testing.assert_allclose(
        found.matrix, scaled(R, found.d), rtol=1e-15, atol=0, equal_nan=False
    )
    assert abs(np.linalg.norm(found.matrix, 2) - found.norm) <= ROUNDING
    assert found.norm < below
    return found


@pytest.mark.parametrize(
    "R",
    [
        [[0.5, 5.0], [0.0, 0.5]],
        [[0.5, 0.0], [5.0, 0.5]],
        [[0.9, 1e6, 0.0], [0.0, -0.9, 1e6], [0.0, 0.0, 0.9]],
        [[0.0, 1e300], [0.0, 0.0]],
        [[0.5, 1e-320], [1e3, 0.5]],
        [[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.5]],
    ],
    ids=["seed.md", "lower", "six decades each", "huge", "denormal", "zero row"],
)
def test_these_have_a_scaling_by_powers_of_two(R: list[list[float]]) -> None:
    found = assert_scales(find_scaling(np.array(R)), np.array(R))
    assert found.exact
    assert found.norm <= 0.99


def test_the_example_of_the_notes_needs_a_ratio_of_more_than_6_67() -> None:
    R = np.array([[0.5, 0.0], [5.0, 0.5]])  # Wᵀ
    for ratio, below in ((6.66, False), (6.67, True)):
        norm = np.linalg.norm(scaled(R, np.array([1.0, ratio])), 2)
        assert bool(norm < 1.0) is below
    found = assert_scales(find_scaling(R), R)
    assert found.d[1] / found.d[0] > 20.0 / 3.0


@given(sizes, st.floats(0.1, 0.6), seeds)
def test_powers_of_two_can_be_undone_bit_for_bit(
    n: int, norm: float, seed: int
) -> None:
    # Rounding multiplies the norm by at most 2, and seldom by sqrt(2): below 1 here.
    d = 10.0 ** np.random.default_rng(seed).uniform(-3.0, 3.0, n)
    R = scaled(contraction(n, norm, seed), d)
    found = assert_scales(find_scaling(R), R)
    assert found.exact
    np.testing.assert_array_equal(np.frexp(found.d)[0], 0.5)
    undone = found.matrix * found.d[:, None] / found.d
    np.testing.assert_array_equal(undone, R)
    # Each of the two is rounded by less than 1.
    assert abs(np.log2(found.d).max() + np.log2(found.d).min()) < 2.0


@given(sizes, st.floats(0.9, 0.985), seeds)
def test_it_finds_scales_of_six_decades(n: int, norm: float, seed: int) -> None:
    d = 10.0 ** np.random.default_rng(seed).uniform(-3.0, 3.0, n)
    R = scaled(contraction(n, norm, seed), d)
    found = assert_scales(find_scaling(R), R)
    # A rounding below 1 comes before a generic scaling of a smaller norm.
    assert found.exact or found.norm <= 0.99


def test_a_generic_scaling_is_kept_where_no_rounding_is_below_1() -> None:
    # The product of the weights is 0.998: the scaled ones are within 0.2 % of 1, and
    # no ratio of powers of two balances 2 and 0.499 better than 1 and 0.998.
    R = np.array([[0.0, 2.0], [0.499, 0.0]])
    found = assert_scales(find_scaling(R), R)
    assert not found.exact
    assert found.norm == pytest.approx(np.sqrt(0.998), abs=1e-6)


@given(sizes, st.sampled_from([0.0, 0.5, 0.999]), seeds)
def test_a_contraction_is_left_as_it_is(n: int, norm: float, seed: int) -> None:
    R = contraction(n, norm, seed)
    found = assert_scales(find_scaling(R), R)
    np.testing.assert_array_equal(found.d, 1.0)
    np.testing.assert_array_equal(found.matrix, R)
    assert found.exact


def test_components_with_little_to_spare_are_scaled_one_by_one() -> None:
    # The least norm is 0.9999, not attained: beyond the target, so nothing is quick.
    R = np.array([[0.9999, 3.0, 1.0], [0.0, 0.0, 2.0 * 0.9], [0.0, 0.5 * 0.9, 0.0]])
    found = assert_scales(find_scaling(R), R)
    assert found.exact
    assert found.norm <= 0.99996


def test_below_may_be_above_1() -> None:
    R = np.array([[0.0, 2.0], [0.5, 0.0]])
    assert isinstance(find_scaling(R), Obstruction)
    found = assert_scales(find_scaling(R, below=1.0 + 1e-6), R, below=1.0 + 1e-6)
    assert found.norm == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("R", "radius"),
    [
        ([[1.0]], 1.0),
        ([[-2.0]], 2.0),
        ([[1e308]], 1e308),
        ([[0.6, -1.6], [1.6, 0.6]], abs(0.6 + 1.6j)),
        ([[0.0, 2.0], [0.5, 0.0]], 1.0),
        (np.eye(5).tolist(), 1.0),
    ],
)
def test_a_spectral_radius_of_1_is_an_obstruction(
    R: list[list[float]], radius: float
) -> None:
    found = find_scaling(np.array(R))
    assert isinstance(found, Obstruction)
    assert found.eigenvalue is not None
    assert abs(found.eigenvalue) == pytest.approx(radius, rel=1e-12)
    assert found.lower_bound == pytest.approx(radius, rel=1e-12)
    assert found.lower_bound <= radius
    assert found.excludes(1.0)
    assert f"spectral radius {radius:.6g}" in found.reason


@pytest.mark.parametrize("n", [3, 14])
def test_a_principal_submatrix_is_an_obstruction(n: int) -> None:
    # Nilpotent as a whole.
    R = np.array([[1.5, -1.5], [1.5, -1.5]])
    full = np.zeros((n, n))
    full[:2, :2] = R
    found = find_scaling(full)
    assert isinstance(found, Obstruction)
    assert found.indices == (0,)
    assert found.eigenvalue == 1.5
    assert norm_lower_bound(full, found.witness) == found.lower_bound
    assert found.lower_bound == pytest.approx(1.5, rel=1e-12)


def test_duality_is_an_obstruction_where_no_submatrix_is() -> None:
    found = {}
    for seed in range(0, 60, 3):
        R = expansive(seed)
        result = find_scaling(R)
        if isinstance(result, Obstruction) and result.eigenvalue is None:
            found[seed] = result
            assert result.excludes(1.0)
            assert f"at least {result.lower_bound:.6g}" in result.reason
            assert norm_lower_bound(R, result.witness) == result.lower_bound
            assert result.lower_bound <= result.best_norm
            if len(R) <= 10:
                assert largest_radius(R) < 1.0
    assert any(len(expansive(seed)) <= 10 for seed in found)


def largest_radius(R: Array) -> float:
    """The largest spectral radius of a principal submatrix."""
    subsets = [
        list(subset)
        for size in range(1, len(R) + 1)
        for subset in itertools.combinations(range(len(R)), size)
    ]
    return max(
        float(np.abs(np.linalg.eigvals(R[np.ix_(subset, subset)])).max())
        for subset in subsets
    )


@given(st.integers(0, 2**32 - 1))
def test_the_lower_bound_is_below_the_norm_of_every_scaling(seed: int) -> None:
    R = expansive(seed)
    generator = np.random.default_rng(seed)
    for witness in (generator.normal(size=(3, len(R))), np.eye(len(R))):
        bound = norm_lower_bound(R, witness)
        for spread in (0.0, 1.0, 3.0):
            d = np.exp(spread * generator.normal(size=len(R)))
            assert bound <= np.linalg.norm(scaled(R, d), 2)
    values, vectors = np.linalg.eig(R.T)
    for value, z in zip(values, vectors.T, strict=True):
        bound = norm_lower_bound(R, np.stack([z.real, z.imag]))
        # Columns where z is nearly 0 have no accurate quotient.
        assert bound <= abs(value) * (1.0 + ROUNDING)
    assert norm_lower_bound(R, np.zeros((2, len(R)))) == 0.0


def test_the_lower_bound_takes_off_its_rounding() -> None:
    # Exactly 1: a proof that includes rounding must say less, but hardly.
    assert 1.0 - 1e-13 < norm_lower_bound(np.eye(4), np.eye(4)) < 1.0


@pytest.mark.parametrize("seed", range(5))
def test_both_sides_meet(seed: int) -> None:
    R = expansive(3 * seed)  # dense: the minimum is attained
    norms, bounds = [], []
    for stage in descend(R, enough=1e-300):
        norms.append(np.linalg.norm(scaled(R, np.exp(stage.log_scales)), 2))
        bounds.append(stage.lower_bound)
        assert norm_lower_bound(R, stage.witness) == stage.lower_bound
    # The band around 1 that the comparison with an SDP leaves out.
    assert max(bounds) <= min(norms) <= max(bounds) * (1.0 + AWAY)


@pytest.mark.parametrize("doublings", [0, 2, 4])
def test_the_gradient_of_a_schatten_norm(doublings: int) -> None:
    R = expansive(0)
    x = np.random.default_rng(1).normal(size=len(R))
    signs, logs = np.sign(R), np.log(np.abs(R))
    value, gradient, _ = log_schatten(signs, logs, x, doublings)
    sigma = np.linalg.svd(scaled(R, np.exp(x)), compute_uv=False)
    p = 2 ** (doublings + 1) + 1
    expected = np.log((sigma ** (2 * p)).sum()) / (2 * p)
    assert value == pytest.approx(expected, abs=1e-12)
    h = 1e-5
    for i, step in enumerate(h * np.eye(len(R))):
        up = log_schatten(signs, logs, x + step, doublings)[0]
        down = log_schatten(signs, logs, x - step, doublings)[0]
        # h² times third derivatives of up to p², and 1e-15 / h.
        assert gradient[i] == pytest.approx((up - down) / (2 * h), abs=1e-6)


@given(sizes, seeds)
def test_the_schur_test(n: int, seed: int) -> None:
    A = np.abs(np.random.default_rng(seed).normal(size=(n, n)))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    x = schur_test(A, 0.95)
    assert x is not None
    assert np.linalg.norm(scaled(A, np.exp(x)), 2) <= 0.95 * (1.0 + ROUNDING)
    assert schur_test(A, 0.85) is None


def test_scales_beyond_float64_are_refused() -> None:
    n = 60
    R = 0.99999 * np.eye(n) + 1e20 * np.eye(n, k=1)
    found = find_scaling(R)
    assert isinstance(found, Obstruction)
    assert "within the range of float64" in found.reason
    assert "nothing is proved" in found.reason
    assert not found.excludes(1.0)


def test_an_obstruction_names_the_states_of_the_whole() -> None:
    R = 0.1 * np.eye(6)
    R[np.ix_([2, 5], [2, 5])] = [[0.0, 4.0], [1.0, 0.0]]
    R[0, 1] = 1e3
    found = find_scaling(R)
    assert isinstance(found, Obstruction)
    assert found.indices == (2, 5)
    assert found.witness.shape[1] == 6
    assert norm_lower_bound(R, found.witness) == pytest.approx(2.0, rel=1e-12)
    assert "principal submatrix of states 2, 5" in found.reason


def test_the_argument_is_not_changed() -> None:
    R = expansive(0)
    before = R.copy()
    find_scaling(R)
    np.testing.assert_array_equal(R, before)


def test_a_scaling_is_found_whenever_an_sdp_finds_one() -> None:
    outcomes = Counter(check_against_sdp(seed) for seed in range(30))
    # The premise: both cases occur, and few are left out.
    assert outcomes["excluded"] >= 5
    assert outcomes["scaled"] + outcomes["scaled exactly"] >= 5
    assert outcomes["left out"] <= 2


@pytest.mark.parametrize("seed", range(3))
def test_an_sdp_confirms_the_bounds(seed: int) -> None:
    R = expansive(3 * seed)
    *_, last = descend(R, enough=1e-300)
    norm = float(np.linalg.norm(scaled(R, np.exp(last.log_scales)), 2))
    low, high = least_norm(R, 0.5 * norm, 2.0 * norm)
    assert last.lower_bound <= high * (1.0 + 1e-5)
    assert low <= norm * (1.0 + 1e-5)

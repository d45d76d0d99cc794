"""Givens rotations: what their layers give, and the angles of a matrix."""

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn._backend import gradients
from keras_urnn.linalg import EPSILON
from keras_urnn.linalg.rotation_layers import product as product_of_layers
from keras_urnn.parametrizations import Givens, complex_rotations, givens
from keras_urnn.parametrizations.rotations import (
    butterflies,
    completely_decomposed,
    decomposed,
    neighbours,
)
from tests.helpers import FEATURES, STEPS, Array, normal, precision, to_numpy
from tests.layers.test_fused import CLOSE, model_of, plain_twin, same_gradients

EPS = EPSILON["float64"]

FEW = [{"capacity": 2}, {"layout": "fft"}]
each_few = pytest.mark.parametrize("options", FEW, ids=["tunable", "fft"])


def cell_with(n: int, **options: Any) -> Any:
    cell = ku.UnitaryRNNCell(n, parametrization=Givens(**options))
    cell.build((None, 2))
    return cell


def complex_cell_with(
    n: int, recurrent_initializer: Any = "orthogonal", **options: Any
) -> Any:
    cell = ku.UnitaryRNNCell(
        n,
        "modrelu",
        parametrization=Givens(field="complex", **options),
        recurrent_initializer=recurrent_initializer,
    )
    cell.build((None, 2))
    return cell


def rotation(n: int, a: int, b: int, angle: float, phase: float = 0.0) -> Array:
    """`h ↦ h G` of one pair, as the docstring of `Givens` has it."""
    G = np.eye(n, dtype="complex128" if phase else "float64")
    G[[a, b], [a, b]] = np.cos(angle)
    G[a, b], G[b, a] = np.sin(angle), -np.sin(angle)
    if phase:
        G[a] *= np.exp(1j * phase)
    return G


def product(layers: list[list[tuple[int, int]]], angles: Any, diagonal: Array) -> Array:
    """`G_1 G_2 ... G_L D` of dense matrices in float64.

    Complex ones have two rows of angles, `θ` and `φ`.
    """
    R, rest = np.eye(len(diagonal)), iter(np.atleast_2d(angles).T)
    for layer in layers:
        for a, b in layer:
            R = R @ rotation(len(diagonal), a, b, *next(rest))
    assert next(rest, None) is None
    return R @ np.diag(diagonal)


def as_complex(R: Array) -> Array:
    A, B = np.split(R[: len(R) // 2], 2, axis=1)
    return A + 1j * B


def as_parts(h: Array) -> Array:
    return np.concatenate([h.real, h.imag], axis=-1)


# The pairs of 5 and of 8 states, written out.
PAIRS = {
    (5, "tunable"): [[(0, 1), (2, 3)], [(1, 2), (3, 4)], [(0, 1), (2, 3)]],
    (8, "tunable"): [
        [(0, 1), (2, 3), (4, 5), (6, 7)],
        [(1, 2), (3, 4), (5, 6)],
        [(0, 1), (2, 3), (4, 5), (6, 7)],
    ],
    (5, "fft"): [[(0, 4)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]],
    (8, "fft"): [
        [(0, 4), (1, 5), (2, 6), (3, 7)],
        [(0, 2), (1, 3), (4, 6), (5, 7)],
        [(0, 1), (2, 3), (4, 5), (6, 7)],
    ],
}


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize(("n", "layout"), PAIRS)
def test_it_is_the_formula_of_its_docstring(
    n: int, layout: str, structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    capacity = 3 if layout == "tunable" else None
    with precision("float64"):
        cell = cell_with(n, capacity=capacity, layout=layout)
        monkeypatch.setattr(cell.parametrization, "is_structured", lambda: structured)
        pairs = PAIRS[n, layout]
        angles = 100.0 * normal(sum(map(len, pairs)), seed=n)
        signs = np.sign(normal(n, seed=1))
        cell.recurrent_angles.assign(angles)
        cell.recurrent_signs.assign(signs)
        expected, given = product(pairs, angles, signs), cell.parametrization
        h = normal(6, n)
        tensor, prepared = ops.convert_to_tensor(h), given.prepare()
        assert isinstance(prepared, tuple) == structured
        for found, right in (
            (cell.recurrent_matrix(), expected),
            (given.apply(tensor, prepared), h @ expected),
            (given.apply_transposed(tensor, prepared), h @ expected.T),
        ):
            np.testing.assert_allclose(to_numpy(found), right, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize(("n", "layout"), [(5, "tunable"), (5, "fft")])
def test_of_complex_numbers_it_is_the_formula_of_its_docstring(
    n: int, layout: str, structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    capacity = 3 if layout == "tunable" else None
    with precision("float64"):
        cell = complex_cell_with(n, capacity=capacity, layout=layout)
        given, pairs = cell.parametrization, PAIRS[n, layout]
        monkeypatch.setattr(given, "is_structured", lambda: structured)
        angles = 100.0 * normal(2, sum(map(len, pairs)), seed=n)
        phases = 100.0 * normal(n, seed=1)
        cell.recurrent_angles.assign(angles)
        cell.recurrent_phases.assign(phases)
        expected = product(pairs, angles, np.exp(1j * phases))
        h = normal(6, n) + 1j * normal(6, n, seed=2)
        tensor, prepared = ops.convert_to_tensor(as_parts(h)), given.prepare()
        assert isinstance(prepared, tuple) == structured
        found = as_complex(to_numpy(cell.recurrent_matrix()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=40 * EPS)
        for step, right in (
            (given.apply, h @ expected),
            (given.apply_transposed, h @ expected.conj().T),
        ):
            stepped = to_numpy(step(tensor, prepared))
            np.testing.assert_allclose(stepped, as_parts(right), rtol=0, atol=40 * EPS)


MATRICES = {
    "random": lambda n: np.linalg.qr(normal(n, n, seed=n))[0],
    "permutation": lambda n: np.eye(n)[np.random.default_rng(n).permutation(n)],
    "identity": np.eye,
    "minus": lambda n: -np.eye(n),
    "reflection": lambda n: np.eye(n) - 2.0 / n * np.ones((n, n)),
    "cycle": lambda n: np.roll(np.eye(n), 1, axis=1),
}


@pytest.mark.once
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 64])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_n_layers_give_every_orthogonal_matrix(n: int, matrix: Any) -> None:
    Q = matrix(n)
    found = completely_decomposed(Q)
    assert len(found.angles) == n * (n - 1) // 2
    assert np.all(np.abs(found.angles) <= np.pi / 2)
    layers = [[(a, a + 1) for a in layer.first] for layer in neighbours(n, n)]
    again = product(layers, found.angles, found.signs)
    np.testing.assert_allclose(again, Q, rtol=0, atol=4 * n * EPS)
    assert found.distance <= 4 * n * EPS


def unitary(n: int) -> Array:
    return np.linalg.qr(normal(n, n, seed=n) + 1j * normal(n, n, seed=n + 1))[0]


UNITARY = {
    "random": unitary,
    "permutation": lambda n: 1j * MATRICES["permutation"](n),
    "identity": np.eye,
    "reflection": MATRICES["reflection"],
}


@pytest.mark.once
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 64])
@pytest.mark.parametrize("matrix", UNITARY.values(), ids=UNITARY)
def test_n_complex_layers_give_every_unitary_matrix(n: int, matrix: Any) -> None:
    Q = matrix(n)
    found = complex_rotations.completely_decomposed(Q)
    assert found.angles.shape == (2, n * (n - 1) // 2)
    assert np.all(np.abs(found.angles[0]) <= np.pi / 2)
    assert np.all(np.abs(found.angles[1]) <= np.pi)
    layers = [[(a, a + 1) for a in layer.first] for layer in neighbours(n, n)]
    again = product(layers, found.angles, np.exp(1j * found.phases))
    np.testing.assert_allclose(again, Q, rtol=0, atol=4 * n * EPS)
    assert found.distance <= 4 * n * EPS


LAYERS = {
    "1 of 2": (2, neighbours(2, 1)),
    "2 of 4": (4, neighbours(4, 2)),
    "3 of 9": (9, neighbours(9, 3)),
    "8 of 16": (16, neighbours(16, 8)),
    **{f"fft of {n}": (n, butterflies(n)) for n in (1, 2, 3, 7, 16, 21)},
}


# Angles at which other matrices need fewer layers. Of zeros the docstring of `Givens`
# says that they may be missed with more than 3 layers of neighbours.
ANGLES = {"zero": 0.0, "right": np.pi / 2, "any": None}
CASES = [
    pytest.param(*case, of, id=f"{name}-{kind}")
    for name, case in LAYERS.items()
    for kind, of in ANGLES.items()
    if (name, kind) != ("8 of 16", "zero")
]


@pytest.mark.once
@pytest.mark.parametrize(("n", "layers", "of"), CASES)
def test_few_layers_are_found_again(n: int, layers: Any, of: float | None) -> None:
    pairs = [[(a, a + stride) for a in first] for stride, first in layers]
    rng = np.random.default_rng(0)
    for _ in range(20):
        count = sum(map(len, pairs))
        angles = rng.uniform(-np.pi, np.pi, count)
        if of is not None:
            angles = np.where(rng.random(count) < 0.5, of, angles)
        Q = product(pairs, angles, rng.choice([-1.0, 1.0], n))
        found = decomposed(Q, layers)
        # The entries that tell the angles are products of as many sines as layers.
        again = product(pairs, found.angles, found.signs)
        np.testing.assert_allclose(again, Q, rtol=0, atol=1e-9)


@pytest.mark.once
@pytest.mark.parametrize(("n", "layers", "of"), CASES)
def test_few_complex_layers_are_found_again(n: int, layers: Any, of: Any) -> None:
    pairs = [[(a, a + stride) for a in first] for stride, first in layers]
    rng = np.random.default_rng(0)
    for _ in range(10):
        shape = (2, sum(map(len, pairs)))
        angles = rng.uniform(-np.pi, np.pi, shape)
        if of is not None:
            angles = np.where(rng.random(shape) < 0.5, of, angles)
        Q = product(pairs, angles, np.exp(1j * rng.uniform(-np.pi, np.pi, n)))
        found = complex_rotations.decomposed(Q, layers)
        again = product(pairs, found.angles, np.exp(1j * found.phases))
        np.testing.assert_allclose(again, Q, rtol=0, atol=1e-9)


def test_fewer_layers_miss_what_moves_states_further() -> None:
    n = 6
    for capacity in range(1, n + 1):
        given = Givens(capacity=capacity)
        # A rotation of the first k + 1 states moves one of them by k.
        for k in range(n):
            Q = np.eye(n)
            Q[: k + 1, : k + 1] = np.roll(np.eye(k + 1), 1, axis=1)
            assert k <= capacity or given.obstruction(Q) is not None
        assert given.obstruction(np.eye(n)) is None


@each_few
def test_a_start_that_is_missed_is_replaced_by_angles_that_follow_its_seed(
    options: dict[str, Any],
) -> None:
    found = []
    for seed in (1, 1, 2):
        start = ku.initializers.Haar(seed=seed)
        cell = ku.UnitaryRNNCell(
            64, parametrization=Givens(**options), recurrent_initializer=start
        )
        cell.build((None, 2))
        determinant = np.linalg.det(to_numpy(start((64, 64))))
        np.testing.assert_allclose(
            np.linalg.det(to_numpy(cell.recurrent_matrix())), determinant, rtol=1e-4
        )
        found.append(to_numpy(cell.recurrent_angles))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.max(np.abs(found[0] - found[2])) > 1.0
    for angles in found:
        # The means of 63 and of 192 random points of the circle: within 5 deviations.
        mean = np.mean(np.exp(1j * angles))
        assert abs(mean) < 5.0 / np.sqrt(len(angles))


@each_few
def test_a_complex_start_that_is_missed_is_replaced_likewise(
    options: dict[str, Any],
) -> None:
    found = []
    for seed in (1, 1, 2):
        start = ku.initializers.Haar("U", seed=seed)
        cell = complex_cell_with(64, recurrent_initializer=start, **options)
        weights = (cell.recurrent_angles, cell.recurrent_phases)
        found.append(np.concatenate([to_numpy(one).ravel() for one in weights]))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.max(np.abs(found[0] - found[2])) > 1.0
    count = (len(found[0]) - 64) // 2
    for one in found:
        # Of 63 points of the circle or more, each kind: within 5 deviations.
        for angles in np.split(one, [count, 2 * count]):
            assert abs(np.mean(np.exp(1j * angles))) < 5.0 / np.sqrt(len(angles))


def test_it_refuses_a_capacity_without_a_meaning() -> None:
    for value in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=r"`capacity` must be a positive integer"):
            Givens(capacity=value)
    with pytest.raises(ValueError, match=r'`capacity` must be None with layout="fft"'):
        Givens(capacity=2, layout="fft")
    with pytest.raises(ValueError, match=r'`layout` must be one of "tunable", "fft"'):
        Givens(layout="butterfly")
    with pytest.raises(ValueError, match=r'`field` must be one of "real", "complex"'):
        Givens(field="quaternion")
    cell = ku.UnitaryRNNCell(3, parametrization=Givens(capacity=4))
    with pytest.raises(ValueError, match=r"`capacity` must be at most 3, .*=4\."):
        cell.build((None, 2))
    assert "3 states, with its 4 layers" in (Givens(4).obstruction(np.eye(3)) or "")


@pytest.mark.once
def test_few_layers_in_a_wide_cell_are_steps_of_their_own() -> None:
    for n, capacity, is_structured in (
        (256, 1, True),
        (255, 1, False),
        (256, 2, False),
    ):
        cell = cell_with(n, capacity=capacity)
        assert cell.parametrization.is_structured() == is_structured
        assert isinstance(cell.parametrization.prepare(), tuple) == is_structured


@pytest.fixture
def structured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers, too, step by layers of rotations."""
    monkeypatch.setattr(givens, "UNITS_PER_LAYER", 1)


@pytest.mark.parametrize("field", ["real", "complex"])
@each_few
@pytest.mark.usefixtures("structured")
def test_the_fused_recurrence_steps_by_layers(
    options: dict[str, Any], field: str
) -> None:
    with precision("float64"):
        activation = "modrelu" if field == "complex" else "relu"
        layer = ku.UnitaryRNN(
            10,
            activation,
            parametrization=Givens(field=field, **options),
            return_sequences=True,
        )
        assert layer.uses_fused_recurrence
        ours = model_of(layer, False)
        theirs = plain_twin(layer, False, STEPS, FEATURES)
        assert layer.cell.parametrization.is_structured()
        same_gradients(ours, theirs, "float64", CLOSE["float64"], STEPS, False)


HALF = ["float32", "mixed_bfloat16", "mixed_float16"]


@each_few
@pytest.mark.parametrize("policy", HALF)
@pytest.mark.usefixtures("structured")
def test_layers_are_orthogonal_in_half_precision(
    options: dict[str, Any], policy: str
) -> None:
    cell = ku.UnitaryRNNCell(10, parametrization=Givens(**options), dtype=policy)
    cell.build((None, 2))
    assert_orthogonal_in_its_precision(cell)


@pytest.mark.once
@each_few
@pytest.mark.parametrize("policy", HALF)
@pytest.mark.usefixtures("structured")
def test_complex_layers_are_unitary_in_half_precision(
    options: dict[str, Any], policy: str
) -> None:
    with precision(policy):
        assert_orthogonal_in_its_precision(complex_cell_with(10, **options))


def assert_orthogonal_in_its_precision(cell: Any) -> None:
    given, prepared = cell.parametrization, cell.prepared()
    assert isinstance(prepared, tuple)
    eye = ops.eye(cell.width, dtype=cell.compute_dtype)
    matrix = to_numpy(cell.recurrent_matrix())
    # Each layer rounds cosines and products once, of entries of 1 at most.
    close = 4 * EPSILON[cell.compute_dtype]
    for step, expected in (
        (given.apply, matrix),
        (given.apply_transposed, matrix.T),
    ):
        found = to_numpy(ops.cast(step(eye, prepared), "float32"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=close)
        assert np.max(np.abs(found.T @ found - np.eye(cell.width))) <= 2 * close


def test_gradients_of_many_layers_are_those_of_dense_products() -> None:
    n = 70  # more layers than TensorFlow writes out
    C = normal(n, n, seed=1)
    with precision("float64"):
        cell = ku.UnitaryRNNCell(
            n, parametrization="givens", recurrent_initializer="identity"
        )
        cell.build((None, 2))
        cell.recurrent_angles.assign(normal(n * (n - 1) // 2))
        factors, _ = cell.parametrization._factors()
        towards = ops.convert_to_tensor(C)
        found = gradients(lambda of: ops.sum(towards * product_of_layers(*of)))(factors)
        found = [to_numpy(one) for one in found]
        factors = [to_numpy(one) for one in factors]
    states, layers = np.arange(n), np.zeros((n, n, n))
    # Where a layer has its factors as a matrix: of a state, its next, the one before.
    places = [((states + step) % n, states) for step in (0, 1, -1)]
    for factor, (row, column) in zip(factors, places, strict=True):
        layers[:, row, column] += factor
    before = list(accumulate(layers, np.matmul, initial=np.eye(n)))
    behind = list(accumulate(layers[::-1], lambda a, b: b @ a, initial=np.eye(n)))
    for k in range(n):
        expected = before[k].T @ C @ behind[n - 1 - k].T
        for one, place in zip(found, places, strict=True):
            # Some n roundings of numbers of about 10.
            right = expected[place]
            np.testing.assert_allclose(one[k], right, rtol=0, atol=10 * n * EPS)

"""The laws of `parametrizations.base`, over every parametrization."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import _backend, linalg, parametrizations
from keras_urnn.linalg.complex_matrices import embedding
from tests import gradients
from tests.helpers import PARAMETRIZATIONS, each_of, normal, precision, to_numpy

# One row per parametrization and set: how to make a cell that uses it.
CELLS = {
    name: lambda n, row=row: ku.UnitaryRNNCell(
        n, row.activation, parametrization=row.make()
    )
    for name, row in PARAMETRIZATIONS.items()
    if "unitary" in row.sets
} | {
    f"contractive {name}": lambda n, row=row: ku.ContractiveRNNCell(
        n, row.activation, max_norm=0.7, parametrization=row.make()
    )
    for name, row in PARAMETRIZATIONS.items()
    if "contractive" in row.sets
}
ROWS = {name: PARAMETRIZATIONS[name.removeprefix("contractive ")] for name in CELLS}
ALL = each_of(CELLS)
MISSING = [name for name, row in ROWS.items() if row.missed]
THIN = [name for name, row in ROWS.items() if row.is_thin]
# A parametrization of both sets as a unitary one only.
ONCE_EACH = [
    name if name in CELLS else f"contractive {name}" for name in PARAMETRIZATIONS
]
ALL_SIZES = pytest.mark.parametrize(
    ("name", "n"),
    [
        pytest.param(
            name, n, marks=pytest.mark.once if n in (3, 8) or row.is_variant else ()
        )
        for name, row in ROWS.items()
        for n in (1, 2, 3, 8, 17)
        if row.exists(n)
    ],
)
EPS = linalg.EPSILON["float32"]


def built(name, n, seed=0):
    cell = CELLS[name](n)
    # Signs that are fixed miss one random matrix in a hundred.
    cell.recurrent_initializer = keras.initializers.Orthogonal(seed=seed)
    cell.build((None, 2))
    return cell


def recurrent_variables(cell):
    """What `parametrization.build` created and an optimizer changes."""
    others = {"kernel", "bias", "initial_state"}  # the bias of an activation, too
    found = [v for v in cell.trainable_variables if v.name not in others]
    assert found, "the premise: there is something to set"
    return found


def numpy(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def excess(cell):
    """How far the matrix is off its set, in units of the L1 tolerance."""
    if isinstance(cell, ku.ContractiveRNNCell):
        off = ku.diagnostics.spectral_norm(cell) / cell.max_norm - 1.0
    else:
        off = ku.diagnostics.unitarity_error(cell)
    return off / (4 * cell.width * EPS)


def leaves(module: Any) -> list[type]:
    """The parametrizations of the package that a cell can be given."""
    found = [kind for kind in vars(module).values() if isinstance(kind, type)]
    base = parametrizations.Parametrization
    return [kind for kind in found if issubclass(kind, base) and kind is not base]


def test_every_parametrization_has_a_row_and_a_name():
    kinds = leaves(parametrizations)
    assert kinds
    made = {type(row.make()) for row in PARAMETRIZATIONS.values()}
    assert made == set(kinds) == set(parametrizations.NAMES.values())


@ALL_SIZES
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_l1_on_the_set_whatever_a_step_leaves(name, n, scale):
    cell = built(name, n)
    rng = np.random.default_rng(n)
    for variable in recurrent_variables(cell):
        variable.assign(scale * rng.normal(size=variable.shape))
        if variable.constraint is not None:  # what an optimizer does after its step
            variable.assign(variable.constraint(variable))
    assert excess(cell) <= 1.0


@ALL_SIZES
def test_l2_apply_is_a_product_with_the_matrix(name, n):
    cell = built(name, n)
    h = np.random.default_rng(0).normal(size=(5, cell.width)).astype("float32")
    p = cell.parametrization
    R = numpy(p.matrix()).astype("float64")
    for step, matrix in ((p.apply, R), (p.apply_transposed, R.T)):
        found = numpy(step(ops.convert_to_tensor(h), p.prepare()))
        # A dot product of n terms, each rounded.
        np.testing.assert_allclose(found, h @ matrix, rtol=0, atol=len(R) * 8 * EPS)
    np.testing.assert_array_equal(numpy(cell.recurrent_matrix()), numpy(p.matrix()))


@ALL_SIZES
def test_l3_assign_sets_the_matrix_or_says_why_not(name, n):
    cell = built(name, n)
    # Without an inverse it takes the matrix that the weights give already.
    other = built(name, n, seed=1 if ROWS[name].has_inverse else 0)
    q = numpy(other.recurrent_matrix())
    cell.parametrization.assign(q)
    exact = isinstance(cell.parametrization, parametrizations.Projection)
    np.testing.assert_allclose(
        numpy(cell.recurrent_matrix()), q, rtol=0, atol=0 if exact else 4 * len(q) * EPS
    )
    with pytest.raises(
        ValueError, match=r"`matrix` must be on the set of \w+Projection"
    ):
        cell.parametrization.assign(1.01 * q)
    with pytest.raises(ValueError, match=r"`matrix\.shape` must be \("):
        cell.parametrization.assign(np.eye(len(q) + 1))
    with pytest.raises(ValueError, match="`matrix` must be finite"):
        cell.parametrization.assign(np.nan * q)


@each_of(name for name in CELLS if name not in THIN)
def test_initialize_takes_the_nearest_matrix_on_the_set(name):
    cell = built(name, 4)
    q = numpy(cell.recurrent_matrix())
    noise = 0.01 * normal(4, len(q), seed=2).astype("float32")
    moved = q + (noise if cell.field == "real" else embedding(noise))
    distance = cell.parametrization.initialize(moved)
    found = numpy(cell.recurrent_matrix())
    assert distance == pytest.approx(np.linalg.norm(found - moved), abs=16 * EPS)
    assert excess(cell) <= 1.0
    # The set's nearest matrix is no further than the one that was moved.
    assert 0.0 < distance <= np.linalg.norm(q - moved)


@each_of(MISSING)
def test_l3_assign_names_what_a_map_misses(name):
    matrix, words = ROWS[name].missed
    is_complex = ROWS[name].make().field == "complex"
    cell = built(name, len(matrix) // (2 if is_complex else 1))
    before = numpy(cell.recurrent_matrix())
    for change in (cell.parametrization.assign, cell.parametrization.initialize):
        with pytest.raises(ValueError, match=f"`matrix` must be one that.*{words}"):
            change(matrix)
    np.testing.assert_array_equal(numpy(cell.recurrent_matrix()), before)


REACHED = {
    "either determinant": [np.diag([1.0, 1.0, sign]) for sign in (1.0, -1.0)],
    "eigenvalue -1": [-np.eye(4), np.diag([1.0, -1.0, -1.0, 1.0])],
    "a permutation": [np.eye(5)[[1, 2, 0, 4, 3]]],
}


EACH_ORTHOGONAL = [
    name
    for name, row in PARAMETRIZATIONS.items()
    if row.missed is None and row.make().field == "real"
]


@each_of(EACH_ORTHOGONAL)
@pytest.mark.parametrize("matrices", REACHED.values(), ids=REACHED)
def test_l4_every_orthogonal_matrix_is_reached(name, matrices):
    for matrix in matrices:
        cell = built(name, len(matrix))
        cell.parametrization.assign(matrix)
        found = numpy(cell.recurrent_matrix())
        np.testing.assert_allclose(found, matrix, rtol=0, atol=4 * len(matrix) * EPS)


def test_l4_a_short_step_does_not_cross_to_the_other_determinant():
    cell = built("projection", 4)
    kernel = cell.recurrent_kernel
    sign = np.linalg.det(numpy(kernel))
    rng = np.random.default_rng(0)
    for _ in range(20):
        kernel.assign(numpy(kernel) + 0.05 * rng.normal(size=(4, 4)))
        kernel.assign(kernel.constraint(kernel))
    assert np.linalg.det(numpy(kernel)) == pytest.approx(sign, rel=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("reflections", [1, 2, 4, 7])
def test_l4_householder_reaches_what_differs_by_its_rank(n, reflections):
    m = min(reflections, n)
    cell = ku.UnitaryRNNCell(n, parametrization=parametrizations.Householder(m))
    cell.build((None, 2))
    for seed in range(5):
        # A product of reflections along any vectors, times the signs that the map has.
        vectors = normal(m, n, seed=seed)
        D = np.diag([-1.0] * m + [1.0] * (n - m))
        D[-1, -1] *= (-1.0) ** seed
        matrix = D
        for v in vectors:
            matrix = (np.eye(n) - 2.0 * np.outer(v, v) / (v @ v)) @ matrix
        cell.parametrization.assign(matrix)
        found = numpy(cell.recurrent_matrix())
        np.testing.assert_allclose(found, matrix, rtol=0, atol=4 * n * EPS)


@pytest.mark.once
def test_l4_householder_starts_from_the_nearest_matrix_that_it_reaches():
    n, m = 6, 2
    start = built("projection", n, seed=3)
    R = numpy(start.recurrent_matrix()).astype("float64")
    cell = ku.UnitaryRNNCell(n, parametrization=parametrizations.Householder(m))
    cell.recurrent_initializer = keras.initializers.Orthogonal(seed=3)
    cell.build((None, 2))
    found = numpy(cell.recurrent_matrix())
    # By the theorem of Eckart and Young: R - D without its smallest singular values.
    D = np.diag([-1.0] * m + [1.0] * (n - m))
    D[-1, -1] = np.linalg.det(R)
    U, S, Vt = np.linalg.svd(R - D)
    nearest = D + (U[:, :m] * S[:m]) @ Vt[:m]
    np.testing.assert_allclose(found, nearest, rtol=0, atol=4 * n * EPS)
    assert S[m] > 0.1, "the premise: the initial matrix is missed"


@pytest.mark.once
@pytest.mark.parametrize("determinant", [1, -1])
def test_l4_householder_has_its_determinant_for_ever(determinant):
    make = parametrizations.Householder
    for m in (1, 2, 5):
        cell = ku.UnitaryRNNCell(5, parametrization=make(m, determinant))
        for seed in range(3):
            cell.recurrent_initializer = keras.initializers.Orthogonal(seed=seed)
            if not cell.built:
                cell.build((None, 2))
            cell.recurrent_vectors.assign(normal(5, m, seed=seed))
            found = np.linalg.det(numpy(cell.recurrent_matrix()))
            assert found == pytest.approx(determinant, rel=1e-5)


@pytest.mark.once
def test_householder_refuses_what_it_cannot_be():
    make = parametrizations.Householder
    for value in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="`reflections` must be a positive int"):
            make(reflections=value)
    for value in (0, 2, 1.0, True, "1"):
        with pytest.raises(ValueError, match="`determinant` must be 1, -1 or None"):
            make(determinant=value)
    cell = ku.UnitaryRNNCell(3, parametrization=make(reflections=4))
    with pytest.raises(ValueError, match=r"`reflections` must be at most 3.*=4"):
        cell.build((None, 2))


@pytest.mark.once
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_householder_takes_vectors_of_any_size(size):
    cell = ku.UnitaryRNNCell(4, parametrization=parametrizations.Householder(2))
    cell.build((None, 2))
    vectors = normal(4, 2)
    expected = []
    for scale in (1.0, size):
        cell.recurrent_vectors.assign(scale * vectors)
        expected.append(numpy(cell.recurrent_matrix()))
    # Zero stands for the unit vectors, which give the identity.
    expected[0] = expected[0] if size else np.diag([1.0, 1.0, 1.0, expected[1][3, 3]])
    np.testing.assert_allclose(expected[1], expected[0], rtol=0, atol=16 * EPS)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_l4_exponential_keeps_the_determinant_that_was_set(sign):
    cell = ku.UnitaryRNNCell(4, parametrization="exponential")
    cell.build((None, 2))
    cell.parametrization.assign(np.diag([1.0, 1.0, 1.0, sign]))
    for seed in range(5):
        cell.recurrent_skew.assign(10.0 * normal(4, 4, seed=seed))
        determinant = np.linalg.det(numpy(cell.recurrent_matrix()))
        assert determinant == pytest.approx(sign, rel=1e-5)


@pytest.mark.parametrize("signs", [0, 1, 2])
def test_l4_cayley_has_the_determinant_of_its_signs_for_ever(signs):
    cell = ku.UnitaryRNNCell(4, parametrization=parametrizations.Cayley(signs))
    cell.build((None, 2))
    for seed in range(5):
        cell.recurrent_skew.assign(10.0 * normal(4, 4, seed=seed))
        determinant = np.linalg.det(numpy(cell.recurrent_matrix()))
        assert determinant == pytest.approx((-1.0) ** signs, rel=1e-5)


def test_cayley_is_the_formula_of_its_docstring():
    cell = ku.UnitaryRNNCell(5, parametrization=parametrizations.Cayley(2))
    cell.build((None, 2))
    a = normal(5, 5, seed=1)
    cell.recurrent_skew.assign(a)
    A = np.tril(a) - np.tril(a).T
    D = np.diag([1.0, 1.0, 1.0, -1.0, -1.0])
    expected = np.linalg.inv(np.eye(5) + A) @ (np.eye(5) - A) @ D
    np.testing.assert_allclose(
        numpy(cell.recurrent_matrix()), expected, rtol=0, atol=20 * EPS
    )


def test_cayley_refuses_signs_that_no_state_has():
    make = parametrizations.Cayley
    for value in (-1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=r"`negative_ones` must be None or an int"):
            make(negative_ones=value)
    cell = ku.UnitaryRNNCell(3, parametrization=make(negative_ones=4))
    with pytest.raises(ValueError, match=r"`negative_ones` must be at most 3"):
        cell.build((None, 2))
    with pytest.raises(ValueError, match=r"must be None where rebase_every=2\..*=1\."):
        make(negative_ones=1, rebase_every=2)


@pytest.mark.parametrize("signs", [0, 1, 2, 3])
@pytest.mark.parametrize("start", [np.eye(3), -np.eye(3), np.eye(3)[[1, 0, 2]]])
def test_cayley_turns_columns_of_a_start_that_its_signs_miss(signs, start):
    cell = ku.UnitaryRNNCell(3, parametrization=parametrizations.Cayley(signs))
    cell.recurrent_initializer = lambda shape, dtype: ops.convert_to_tensor(
        start, dtype
    )
    cell.build((None, 2))
    found = numpy(cell.recurrent_matrix())
    # Each column is one of the start, or its negative.
    np.testing.assert_allclose(np.abs(found), np.abs(start), rtol=0, atol=16 * EPS)
    assert np.linalg.det(found) == pytest.approx((-1.0) ** signs, rel=1e-5)


@each_of(name for name, row in ROWS.items() if not row.starts_elsewhere)
def test_the_initial_matrix_is_that_of_the_initializer(name):
    sign = -1.0 if "sign" in name else 1.0
    cell = CELLS[name](4)
    cell.recurrent_initializer = keras.initializers.Identity()
    cell.build((None, 2))
    norm = getattr(cell, "max_norm", 1.0)
    if isinstance(cell.parametrization, parametrizations.BoundedSVD):
        norm *= 0.999  # an infinite number gives all of it
    expected = norm * np.diag([*np.ones(cell.width - 1), sign])
    np.testing.assert_allclose(
        numpy(cell.recurrent_matrix()), expected, rtol=0, atol=16 * EPS
    )


@each_of(name for name in ONCE_EACH if not ROWS[name].has_surrogate)
def test_l5_gradients_are_finite_and_those_of_differences(name):
    with precision("float64"):
        cell = built(name, 4)
        model = keras.Sequential([keras.Input((4, 2)), keras.layers.RNN(cell)])
        # Keras casts data to float32.
        x = normal(2, 4, 2).astype("float32")
        y = normal(2, cell.width, seed=1).astype("float32")
        paths = [variable.path for variable in recurrent_variables(cell)]
        found = gradients.of_error(model, x, y)
        for variable, gradient in zip(model.trainable_variables, found, strict=True):
            assert np.all(np.isfinite(gradient))
            if variable.path in paths:
                paths.remove(variable.path)
                # Of central differences: step² and eps / step.
                expected = differences(model, variable, x, y)
                expected = ROWS[name].sees(to_numpy(variable), expected)
                np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
        assert not paths


def differences(model, variable, x, y, step=1e-6):
    """The same by central differences, entry by entry."""
    start, run = to_numpy(variable), _backend.inference(model)
    found = np.zeros_like(start)
    for index in np.ndindex(start.shape):
        losses = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved[index] += sign * step
            variable.assign(moved)
            losses.append(np.mean((to_numpy(run(x)) - y) ** 2))
        found[index] = (losses[0] - losses[1]) / (2.0 * step)
    variable.assign(start)
    return found


@ALL
def test_l6_config_and_file_round_trips_are_bit_equal(name, tmp_path):
    cell = CELLS[name](5 if ROWS[name].exists(5) else 4)
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.RNN(cell)])
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    copy = loaded.layers[0].cell
    assert type(copy.parametrization) is type(cell.parametrization)
    assert copy.parametrization.get_config() == cell.parametrization.get_config()
    np.testing.assert_array_equal(
        numpy(copy.recurrent_matrix()), numpy(cell.recurrent_matrix())
    )


@pytest.mark.once
@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_a_cell_refuses_a_map_that_cannot_hold_its_set(name):
    row = PARAMETRIZATIONS[name]
    if "contractive" in row.sets:
        return
    kind = type(row.make()).__name__
    options = r" with .*'tangent': True.*" if "gradients" in name else ""
    expected = "`parametrization` must be one that holds contractive"
    expected += f".*{kind}{options}, which"
    for make in (ku.ContractiveRNNCell, ku.ContractiveRNN):
        if "contractive" in row.make().sets:
            make(3, max_norm=0.9, parametrization=row.make())
            continue
        with pytest.raises(ValueError, match=expected):
            make(3, row.activation, max_norm=0.9, parametrization=row.make())


def test_get_takes_names_instances_and_configs():
    get, projection = ku.parametrizations.get, ku.parametrizations.Projection("svd")
    assert get("projection").method == "auto"
    assert get(projection).method == "svd"
    assert get(projection) is not projection
    config = keras.saving.serialize_keras_object(projection)
    assert get(config).method == "svd"


def test_get_refuses_what_it_does_not_know():
    with pytest.raises(
        ValueError, match=r'one of "projection", "cayley", .*"\. Received: .*\'qr\''
    ):
        ku.parametrizations.get("qr")
    with pytest.raises(TypeError, match="must be a string or a Parametrization"):
        ku.parametrizations.get(3)


def test_refuses_other_methods():
    with pytest.raises(ValueError, match=r"`method` must be one of"):
        ku.parametrizations.Projection(method="qr")


@each_of(PARAMETRIZATIONS)
def test_a_parametrization_without_a_cell_says_so(name):
    alone = PARAMETRIZATIONS[name].make()
    reads = (
        alone.matrix,
        alone.prepare,
        lambda: alone.assign(np.eye(2)),
        lambda: alone.initialize(np.eye(2)),
    )
    for read in reads:
        with pytest.raises(ValueError, match=r"belong to a built cell.*a copy"):
            read()

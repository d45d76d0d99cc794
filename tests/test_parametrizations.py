"""The laws of `parametrizations.base`, over every parametrization."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import linalg

SIZES = [1, 2, 17, *[pytest.param(n, marks=pytest.mark.once) for n in (3, 8)]]
# One row per parametrization and set: how to make a cell that uses it.
CELLS = {
    "projection": lambda n: ku.UnitaryRNNCell(n, parametrization="projection"),
    "projection by svd": lambda n: ku.UnitaryRNNCell(
        n, parametrization=ku.parametrizations.Projection(method="svd")
    ),
    "contractive projection": lambda n: ku.ContractiveRNNCell(n, max_norm=0.7),
}
ALL = pytest.mark.parametrize("name", CELLS)
EPS = linalg.EPSILON["float32"]


def built(name, n):
    cell = CELLS[name](n)
    cell.build((None, 2))
    return cell


def recurrent_variables(cell):
    """What `parametrization.build` created."""
    others = {"kernel", "bias", "initial_state"}
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


@ALL
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_l1_on_the_set_whatever_a_step_leaves(name, n, scale):
    cell = built(name, n)
    rng = np.random.default_rng(n)
    for variable in recurrent_variables(cell):
        variable.assign(scale * rng.normal(size=variable.shape))
        if variable.constraint is not None:  # what an optimizer does after its step
            variable.assign(variable.constraint(variable))
    assert excess(cell) <= 1.0


@ALL
@pytest.mark.parametrize("n", SIZES)
def test_l2_apply_is_a_product_with_the_matrix(name, n):
    cell = built(name, n)
    h = np.random.default_rng(0).normal(size=(5, n)).astype("float32")
    p = cell.parametrization
    expected = h.astype("float64") @ numpy(p.matrix())
    # A dot product of n terms, each rounded.
    np.testing.assert_allclose(
        numpy(p.apply(ops.convert_to_tensor(h), p.prepare())),
        expected,
        rtol=0,
        atol=n * 8 * EPS,
    )
    np.testing.assert_array_equal(numpy(cell.recurrent_matrix()), numpy(p.matrix()))


@ALL
@pytest.mark.parametrize("n", SIZES)
def test_l3_assign_sets_the_matrix_or_says_why_not(name, n):
    cell = built(name, n)
    q = numpy(built(name, n).recurrent_matrix())
    cell.parametrization.assign(q)
    np.testing.assert_array_equal(numpy(cell.recurrent_matrix()), q)
    with pytest.raises(
        ValueError, match=r"`matrix` must be on the set of \w+Projection"
    ):
        cell.parametrization.assign(1.01 * q)
    with pytest.raises(ValueError, match=r"`matrix\.shape` must be \("):
        cell.parametrization.assign(np.eye(n + 1))
    with pytest.raises(ValueError, match="`matrix` must be finite"):
        cell.parametrization.assign(np.nan * q)


def test_l4_the_projection_reaches_both_determinants():
    for sign in (1.0, -1.0):
        cell = built("projection", 3)
        cell.parametrization.assign(np.diag([1.0, 1.0, sign]))
        assert np.linalg.det(numpy(cell.recurrent_matrix())) == pytest.approx(sign)


def test_l4_a_short_step_does_not_cross_to_the_other_determinant():
    cell = built("projection", 4)
    kernel = cell.recurrent_kernel
    sign = np.linalg.det(numpy(kernel))
    rng = np.random.default_rng(0)
    for _ in range(20):
        kernel.assign(numpy(kernel) + 0.05 * rng.normal(size=(4, 4)))
        kernel.assign(kernel.constraint(kernel))
    assert np.linalg.det(numpy(kernel)) == pytest.approx(sign, rel=1e-5)


@ALL
def test_l6_config_and_file_round_trips_are_bit_equal(name, tmp_path):
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.RNN(CELLS[name](5))])
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    cell, copy = model.layers[0].cell, loaded.layers[0].cell
    assert copy.parametrization.get_config() == cell.parametrization.get_config()
    np.testing.assert_array_equal(
        numpy(copy.recurrent_matrix()), numpy(cell.recurrent_matrix())
    )


def test_get_takes_names_instances_and_configs():
    get, projection = ku.parametrizations.get, ku.parametrizations.Projection("svd")
    assert get("projection").method == "auto"
    assert get(projection).method == "svd"
    assert get(projection) is not projection
    config = keras.saving.serialize_keras_object(projection)
    assert get(config).method == "svd"


def test_get_refuses_what_it_does_not_know():
    with pytest.raises(
        ValueError, match=r'one of "projection", "cayley". Received: .*\'qr\''
    ):
        ku.parametrizations.get("qr")
    with pytest.raises(TypeError, match="must be a string or a Parametrization"):
        ku.parametrizations.get(3)


def test_refuses_other_methods():
    with pytest.raises(ValueError, match=r"`method` must be one of"):
        ku.parametrizations.Projection(method="qr")


def test_a_parametrization_without_a_cell_says_so():
    projection = ku.parametrizations.Projection()
    reads = (
        projection.matrix,
        projection.prepare,
        lambda: projection.assign(np.eye(2)),
    )
    for read in reads:
        with pytest.raises(ValueError, match=r"belong to a built cell.*a copy"):
            read()

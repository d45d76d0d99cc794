"""The diagnostics against matrices whose answer is known."""

import math

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.diagnostics import (
    determinant_sign,
    eigen_angles,
    spectral_norm,
    unitarity_error,
)

EACH = (unitarity_error, spectral_norm, eigen_angles, determinant_sign)


@pytest.mark.parametrize("convert", [np.asarray, keras.ops.convert_to_tensor])
def test_known_matrices(convert):
    rotation = [[0.6, -0.8], [0.8, 0.6]]
    assert unitarity_error(convert(np.asarray(rotation))) < 1e-7
    assert unitarity_error(convert(np.diag([1.0, 0.5]))) == 0.75
    assert spectral_norm(convert(np.diag([-3.0, 0.5]))) == 3.0


def test_tall_and_wide_matrices_are_measured_on_their_short_side():
    tall = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0]
    assert unitarity_error(tall) < 1e-14
    assert unitarity_error(tall.T) < 1e-14


def test_a_batch_gives_its_worst():
    batch = np.stack([np.eye(2), np.diag([2.0, 1.0])])
    assert unitarity_error(batch) == 3.0
    assert spectral_norm(batch) == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_gives_nan(bad):
    matrix = np.array([[1.0, bad], [0.0, 1.0]])
    assert math.isnan(unitarity_error(matrix))
    assert math.isnan(spectral_norm(matrix))


def rotation(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def test_eigen_angles_are_those_of_the_eigenvalues():
    matrix = np.zeros((5, 5))
    matrix[:2, :2], matrix[2:4, 2:4], matrix[4, 4] = rotation(0.3), rotation(3.0), -1
    np.testing.assert_allclose(
        eigen_angles(matrix), [-3.0, -0.3, 0.3, 3.0, np.pi], rtol=0, atol=1e-14
    )
    # A pair of eigenvalues -1: NumPy has one of them at an angle of -π.
    np.testing.assert_array_equal(eigen_angles(rotation(np.pi)), [np.pi, np.pi])
    batch = np.stack([rotation(0.5), np.eye(2)])
    np.testing.assert_allclose(eigen_angles(batch), [[-0.5, 0.5], [0, 0]], atol=1e-14)
    assert np.all(np.isnan(eigen_angles([[np.nan, 0.0], [0.0, 1.0]])))


def test_determinant_sign_tells_rotations_from_reflections():
    assert determinant_sign(rotation(2.0)) == 1.0
    assert determinant_sign(np.diag([1.0, -1.0])) == -1.0
    assert determinant_sign(np.zeros((2, 2))) == 0.0
    assert math.isnan(determinant_sign([[np.nan, 0.0], [0.0, 1.0]]))
    batch = np.stack([np.eye(2), np.diag([1.0, -1.0])])
    np.testing.assert_array_equal(determinant_sign(batch), [1.0, -1.0])


def test_only_square_matrices_have_eigenvalues_and_a_determinant():
    for measure in (eigen_angles, determinant_sign):
        with pytest.raises(
            ValueError, match=r"`target\.shape` must be \(\.\.\., n, n\)"
        ):
            measure(np.ones((2, 3)))


def test_of_a_model_each_gives_a_dict_by_the_names_of_its_layers():
    inner = keras.Sequential(
        [
            keras.Input((4, 2)),
            keras.layers.Bidirectional(
                ku.UnitaryRNN(3, name="one", return_sequences=True), name="both"
            ),
        ],
        name="inner",
    )
    cells = [ku.UnitaryRNNCell(2, name="lower"), ku.ContractiveRNNCell(3, name="upper")]
    model = keras.Sequential(
        [
            keras.Input((5, 4, 2)),
            keras.layers.TimeDistributed(inner, name="each"),
            keras.layers.Reshape((20, 6)),
            keras.layers.RNN(cells, name="stack"),
            keras.layers.Dense(2),
        ]
    )
    names = [f"each/inner/both/{way}_one" for way in ("forward", "backward")]
    names += [f"stack/{cell.name}" for cell in cells]
    for measure in EACH:
        found = measure(model)
        assert list(found) == names
        np.testing.assert_array_equal(found["stack/upper"], measure(cells[1]))
    with pytest.raises(ValueError, match=r"`target` must be .*in which no layer has"):
        spectral_norm(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))


def test_takes_a_cell_and_a_layer():
    layer = ku.ContractiveRNN(3, max_norm=0.5)
    layer.build((None, None, 2))
    assert spectral_norm(layer) == spectral_norm(layer.cell)
    assert spectral_norm(layer) == pytest.approx(0.5, rel=1e-6)


def test_takes_keras_rnn_over_a_cell_and_refuses_other_layers():
    rnn = keras.layers.RNN(ku.UnitaryRNNCell(3))
    rnn.build((None, None, 2))
    assert unitarity_error(rnn) <= 1e-6
    with pytest.raises(TypeError, match=r"`target` must be a matrix of .*layer"):
        spectral_norm(keras.layers.Dense(3))


class LooksLikeACell:
    """Has what is read of a cell, and is none."""

    cell = "a cell"
    recurrent_matrix = 3


class GivesText(keras.layers.Layer):
    """A layer of the user's whose matrix is none."""

    def recurrent_matrix(self):
        return "a matrix"


NO_MATRIX = {
    "text": "abc",
    "none": None,
    "dict": {"kernel": 1.0},
    "ragged": [[1.0, 2.0], [3.0]],
    "complex": np.eye(2) * 1j,
    "date": np.zeros((2, 2), "datetime64[D]"),
    "duration": np.zeros((2, 2), "timedelta64[s]"),
    "objects": np.array([[1, "a"], [2, 3]], dtype=object),
    "texts": np.array([["1", "2"], ["3", "4"]]),
    "masked": np.ma.masked_array(np.eye(2), mask=np.eye(2) > 0),
    "class": ku.UnitaryRNN,
    "look-alike": LooksLikeACell(),
}
MAKERS = {
    **{name: lambda value=value: value for name, value in NO_MATRIX.items()},
    "symbolic": lambda: keras.Input((2, 2)),
    "symbolic-of-known-shape": lambda: keras.KerasTensor((2, 2)),
    "gives-text": GivesText,
    "nested": lambda: nested(),
}


def nested():
    """Rows of different lengths in one tensor, where the backend has that."""
    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)])
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.ragged.constant([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]])
    return [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", MAKERS)
def test_refuses_what_is_no_matrix(name):
    message = r"(?s)`target` must be a matrix of real numbers, or .*Pass the matrix"
    for measure in EACH:
        with pytest.raises(TypeError, match=message):
            measure(MAKERS[name]())
    cell = ku.UnitaryRNNCell(2)
    cell.build((None, 2))
    with pytest.raises(TypeError, match="`matrix` must be a matrix of real numbers"):
        cell.parametrization.assign(MAKERS[name]())


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0), (0, 3, 3)])
def test_refuses_what_has_no_entries_or_axes(shape):
    for measure in EACH:
        with pytest.raises(ValueError, match="must be a matrix of real numbers"):
            measure(np.ones(shape))


def test_refuses_what_is_beyond_a_double():
    for measure in EACH:
        with pytest.raises(ValueError, match="beyond the largest double"):
            measure([[10**400, 1], [1, 1]])


def test_refuses_a_vector_and_an_unbuilt_layer():
    with pytest.raises(ValueError, match=r"`target` must be a matrix"):
        unitarity_error(np.ones(3))
    with pytest.raises(ValueError, match="must be built"):
        spectral_norm(ku.UnitaryRNN(3))


@pytest.mark.parametrize("convert", [np.asarray, keras.ops.convert_to_tensor])
def test_refuses_complex_matrices(convert):
    matrix = convert(np.eye(2, dtype="complex64"))
    for diagnostic in (unitarity_error, spectral_norm):
        with pytest.raises(
            TypeError, match="`target` must be a matrix of real numbers"
        ):
            diagnostic(matrix)


def test_says_infinite_where_squares_overflow():
    assert unitarity_error(np.full((2, 2), 1e300)) == np.inf

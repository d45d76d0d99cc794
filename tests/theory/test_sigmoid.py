"""Theorem 3's example, and the eigenvalues that set it apart."""

from typing import Any

import keras
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

import keras_urnn as ku
from keras_urnn.theory import linearization, sigmoid_example
from tests.helpers import to_numpy
from tests.theory.cells import Array, cell_of, orthogonal


def unitary(n: int) -> Any:
    generator = np.random.default_rng(n)
    return cell_of(
        orthogonal(n),
        generator.normal(size=(2, n)),
        generator.normal(size=n),
        make=ku.UnitaryRNNCell,
        activation="sigmoid",
    )


def test_the_example_is_the_recursion_of_its_docstring() -> None:
    x = np.random.default_rng(0).normal(size=(1, 20, 1)).astype("float32")
    outputs = keras.layers.RNN(sigmoid_example(), return_sequences=True)(x)
    h, states = 0.0, []
    for t in range(20):
        h = expit(0.5 * h + x[0, t, 0])
        states.append(h)
    # Numbers below 1, rounded to float32 at each step.
    np.testing.assert_allclose(to_numpy(outputs)[0, :, 0], states, rtol=0, atol=1e-6)


@pytest.mark.parametrize("x", [-20.0, -1.0, 0.0, 3.0])
def test_its_eigenvalue_is_half_its_slope_at_every_input(x: float) -> None:
    near = linearization(sigmoid_example(), [x])
    h = brentq(lambda h: expit(0.5 * h + x) - h, 0.0, 1.0, xtol=1e-15, rtol=1e-15)
    # The solver stops within 1e-15 of the root.
    np.testing.assert_allclose(near.state, [h], rtol=0, atol=4e-15)
    np.testing.assert_allclose(near.eigenvalues, 0.5 * near.slopes, rtol=1e-15, atol=0)


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_a_unitary_rnn_has_the_product_of_its_slopes(n: int) -> None:
    for x in np.random.default_rng(1).normal(size=(5, 2)):
        near = linearization(unitary(n), x)
        moduli = np.abs(near.eigenvalues)
        # float32 weights: |det R| is 1 to some n 1e-7.
        product = np.prod(moduli / near.slopes)
        np.testing.assert_allclose(product, 1.0, rtol=0, atol=1e-5)
        assert moduli.max() <= near.slopes.max() * (1.0 + 1e-5)
        assert moduli.min() >= near.slopes.min() * (1.0 - 1e-5)


def test_slopes_and_eigenvalues_are_those_of_small_changes() -> None:
    cell = unitary(3)
    K, R, b = map(to_numpy, (cell.kernel, cell.recurrent_kernel, cell.bias))
    x = np.array([0.3, -0.7])

    def step(h: Array) -> Array:
        return expit(h @ R + x @ K + b)

    near = linearization(cell, x)
    # A fixed point, to rounding of numbers below 1.
    np.testing.assert_allclose(step(near.state), near.state, rtol=0, atol=1e-15)
    size = 1e-5
    jacobian = [
        (step(near.state + size * e) - step(near.state - size * e)) / (2 * size)
        for e in np.eye(3)
    ]
    # Central differences: an error of size² and of rounding over size.
    np.testing.assert_allclose(jacobian, R * near.slopes, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        np.sort_complex(near.eigenvalues),
        np.sort_complex(np.linalg.eigvals(np.array(jacobian))),
        rtol=0,
        atol=1e-8,
    )


def test_copies_in_a_unitary_rnn_count_as_the_proof_says() -> None:
    # Units 2 and 3 are copies: U swaps with them, and so do inputs and biases.
    generator = np.random.default_rng(3)
    sizes, M = np.array([1.0, 1.0, 2.0]), orthogonal(3, 4)
    e = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 1.0]])
    lengths = np.sqrt(sizes)
    relation = np.array([0.0, 0.0, 1.0, -1.0])
    U = (e.T / lengths) @ M @ (e / lengths[:, None])
    U -= np.outer(relation, relation) / 2.0
    np.testing.assert_allclose(U.T @ U, np.eye(4), rtol=0, atol=1e-15)
    # Relations come from relations (step 4).
    assert abs(U @ relation + relation).max() < 1e-15
    K, b = generator.normal(size=(1, 3)), generator.normal(size=3)
    # What a unit of class c sees of the classes: the rows of R are sums over copies.
    R = (lengths[:, None] / lengths) * M
    x = generator.normal(size=(50, 1))
    s, h = np.zeros(4), np.zeros(3)
    for inputs in x:
        s = expit(s @ U + inputs @ K @ e + b @ e)
        h = expit(h @ R + inputs @ K + b)
        np.testing.assert_allclose(s, h @ e, rtol=0, atol=1e-13)
    # Step 5, for any number of classes: |c| is the sum of R² |c|² / |c'|. With one
    # class alone R² = 1, which w = 0.5 is not.
    np.testing.assert_allclose(
        (R**2 * sizes**2 / sizes[:, None]).sum(axis=0), sizes, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("make", "x", "match"),
    [
        (lambda: cell_of(np.eye(2)), [0.0, 0.0], "'relu'.*slope"),
        (sigmoid_example, [0.0, 1.0], r"shape \(2,\)"),
        (sigmoid_example, [[0.0]], r"shape \(1, 1\)"),
        (sigmoid_example, [np.nan], "NaN"),
        (sigmoid_example, [1j], "complex128"),
        (lambda: ku.ContractiveRNNCell(1, "sigmoid"), [0.0], "must be built"),
        (lambda: keras.layers.GRUCell(1), [0.0], "gated"),
        (
            lambda: cell_of(4.5 * np.eye(2), activation="sigmoid"),
            [0.0, 0.0],
            "spectral norm 4.5",
        ),
    ],
)
def test_bad_input_is_refused(make: Any, x: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        linearization(make(), x)


@pytest.mark.parametrize("below", [1e-3, 1e-9, 1e-14])
def test_a_norm_next_to_4_takes_no_longer(below: float) -> None:
    # The fixed point is 1/2, where the slope is 1/4: next to a bifurcation.
    R = (4.0 - below) * np.array([[1.0, 0.0], [0.0, -1.0]])
    cell = cell_of(R, bias=-R.sum(axis=0) / 2.0, activation="sigmoid", dtype="float64")
    near = linearization(cell, [0.0, 0.0])
    np.testing.assert_allclose(near.state, 0.5, rtol=1e-15)
    near = linearization(cell, [0.1, -0.3])
    h, driven = near.state, near.state @ R + [0.1, -0.3] - R.sum(axis=0) / 2.0
    # One rounding of sums of a few terms of size 4.
    np.testing.assert_allclose(h, 1.0 / (1.0 + np.exp(-driven)), rtol=4e-15)

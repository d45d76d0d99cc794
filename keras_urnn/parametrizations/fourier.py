"""A product of phases, Fourier transforms and reflections: the uRNN's map."""

from functools import partial
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import cos_and_sin, matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding
from keras_urnn.linalg.directions import directions
from keras_urnn.linalg.fourier_product import (
    Factors,
    multiplied,
    multiplied_back,
    permutation,
)
from keras_urnn.parametrizations.base import (
    Array,
    Parametrization,
    checked_start,
    initializers,
)

# From so many complex units on, a step by Fourier transforms is the cheaper one: see
# the docstring of `Fourier`. If it is too low, steps are slower than with the matrix.
STRUCTURED_FROM = 384


@register
class Fourier(Parametrization):
    """Computes a unitary matrix from Fourier transforms and 7n numbers: the uRNN.

    Choose it for wide layers of complex states: its weights and the cost of its step
    grow about as the number of units. For all unitary matrices choose
    `Cayley(field="complex")` or `Projection(field="complex")`.

    The paper's `W` acts on columns, and

        W = D₃ R₂ F⁻¹ D₂ Π R₁ F D₁

    with phases `D_k = diag(exp(iθ_k))`, the unitary discrete Fourier transform
    `F_jk = exp(-2πi jk / n) / √n`, reflections `R_k = I - 2 v_k v_kᴴ / ‖v_k‖²` and a
    fixed permutation, `(Π z)_j = z_π(j)`. The states of a cell are rows: `R = Wᵀ`, or

        R = D₁ F R₁ᵀ Πᵀ D₂ F⁻¹ R₂ᵀ D₃,    R_kᵀ = I - 2 v̄_k v_kᵀ / ‖v_k‖²

    Reached are the matrices of this form only, which for 6 units and more are a set of
    dimension 7n - 7 in the n² dimensions of U(n). There is no formula for the weights
    of a matrix: `assign` and `initialize` take the one that the cell has already, and
    refuse all others. Set the weights themselves, `cell.recurrent_phases` with `θ` of
    shape `(3, n)` and `cell.recurrent_vectors` with `v` as `[Re | Im]` of shape
    `(2, 2n)`. A vector of zeros stands for the first unit vector, and has the gradient
    0. Parameters: 7n.

    The weights start from five rows of complex numbers, not from a matrix:
    `recurrent_initializer` is asked for `[Re | Im]` of shape `(5, 2n)`, so that they
    follow its seed. The directions of the first three rows' numbers are the phases.
    The others, at the length `√(2n)` of normal numbers, are the vectors. From
    `"orthogonal"` or normal ones the phases are uniform in [-π, π] and the vectors
    in all directions.

    Cost: O(n log n) a step for 384 units or more; below that O(n² log n) a sequence
    and O(n²) a step, with the matrix. With a batch of 128 a training step then takes
    0.8 of the time with the matrix at 384 units, 0.6 at 512 and 0.3 at 1,024, on
    PyTorch; 0.9, 0.6 and 0.35 on JAX (on one core of a CPU). Transforms of a prime
    number of units take up to twice as long.

    A `recurrent_regularizer` acts on the phases and on the vectors, of which only the
    directions matter.

    Args:
        seed: integer in [0, 2³²). Draws the permutation, the one of
            `numpy.random.RandomState(seed).permutation(units)`, in which NumPy never
            changes a number. Defaults to `0`.

    Raises:
        ValueError: for what is no seed; in `assign` and `initialize` for a matrix that
            the weights don't give already, of another shape or form, and in `assign`
            for one off the set.
        TypeError: in `assign`, for what is no array of numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8, "modrelu", parametrization="fourier")
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 16)
        ```

    Reference:
        - [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464)
        - [Wisdom et al., 2016](https://arxiv.org/abs/1611.00035), what it misses: they
          count all 7n weights as dimensions
    """

    sets = ("unitary",)
    field = "complex"
    systems = "uRNN"
    reaches = "a set of dimension 7n - 7 in U(n), from 6 units on"
    parameters = "7n"
    cost = "O(n² log n) a sequence, O(n²) a step; O(n log n) a step in a wide layer"
    paper = "[Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464)"

    def __init__(self, seed: int = 0) -> None:
        self.seed = _check_seed(seed)

    def build(self, cell: Any) -> None:
        self._cell = cell
        self._permutation = permutation(self.seed, cell.units)
        dtype, shape = _working_dtype(cell), (5, cell.width)
        start = partial(checked_start, cell.recurrent_initializer, shape, dtype)
        phases, vectors = initializers(2, start, _weights_of)
        options = {"regularizer": cell.recurrent_regularizer, "autocast": False}
        cell.recurrent_phases = cell.add_weight(
            shape=(3, cell.units),
            name="recurrent_phases",
            initializer=phases,
            **options,
        )
        cell.recurrent_vectors = cell.add_weight(
            shape=(2, cell.width),
            name="recurrent_vectors",
            initializer=vectors,
            **options,
        )

    def is_structured(self) -> bool:
        return bool(self.cell.units >= STRUCTURED_FROM)

    def prepare(self) -> Any:
        """`[cos θ | sin θ]` and unit vectors; `R`, where a product with it is cheap."""
        factors = self._factors()
        return factors if self.is_structured() else self._product(factors)

    def apply(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, prepared)
        return multiplied(h, prepared, self._permutation)

    def apply_transposed(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, ops.transpose(prepared))
        return multiplied_back(h, prepared, self._permutation)

    def matrix(self) -> Tensor:
        dtype = self.cell.variable_dtype
        return ops.cast(self._product(self._factors()), dtype)

    def _factors(self) -> Factors:
        cell, dtype = self.cell, _working_dtype(self.cell)
        angles = ops.cast(cell.recurrent_phases, dtype)
        phases = ops.concatenate(cos_and_sin(angles), axis=-1)
        first = ops.eye(1, cell.width, dtype=dtype)
        vectors = ops.cast(cell.recurrent_vectors, dtype)
        return phases, directions(vectors, axis=-1, of_zero=first)

    def _product(self, factors: Factors) -> Tensor:
        """`R`: all factors applied to the unit matrix, `[I | 0]`."""
        eye = ops.eye(self.cell.units, self.cell.width, dtype=factors[0].dtype)
        return embedding(multiplied(eye, factors, self._permutation))

    def set_matrix(self, matrix: Array) -> None:
        """Nothing is to set: `obstruction` lets the present matrix pass only."""

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        own = np.asarray(ops.convert_to_numpy(self.matrix()), "float64")
        distance = np.max(np.abs(own - matrix))
        if distance <= 4.0 * len(own) * linalg.EPSILON[dtype]:
            return None
        return (
            f"a matrix with entries {distance:.2g} away from those of its weights, for "
            "which there is no formula: set `cell.recurrent_phases` and "
            "`cell.recurrent_vectors`"
        )

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def _working_dtype(cell: Any) -> str:
    return "float64" if cell.variable_dtype == "float64" else "float32"


def _weights_of(rows: Array) -> tuple[Array, Array]:
    """The phases and the vectors of five rows `[Re | Im]`, as they were drawn."""
    re, im = np.split(rows[:3], 2, axis=-1)
    norms = np.linalg.norm(rows[3:], axis=-1, keepdims=True)
    units = rows[3:] / np.where(norms == 0.0, 1.0, norms)
    return np.arctan2(im, re), np.sqrt(rows.shape[-1]) * units


def _check_seed(value: Any) -> int:
    if not _checks.is_integer(value) or not 0 <= value < 2**32:
        advice = "It draws the permutation, the same one wherever a file is loaded."
        raise _checks.error("seed", "an integer in [0, 2**32)", value, advice)
    return int(value)

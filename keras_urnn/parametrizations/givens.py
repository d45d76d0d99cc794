"""Products of layers of Givens rotations: the EUNN's map."""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import cos_and_sin, matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.rotation_layers import product, turned, turned_back
from keras_urnn.parametrizations.base import Array, Parametrization
from keras_urnn.parametrizations.rotations import (
    Decomposition,
    Layer,
    butterflies,
    completely_decomposed,
    decomposed,
    neighbours,
)
from keras_urnn.parametrizations.signed_weights import add_signed_weights

# From so many states for each layer on, a step by layers is the cheaper one: see the
# docstring of `Givens`. If it is too low, steps are slower than with the matrix.
WIDTH_PER_LAYER = 256


@register
class Givens(Parametrization):
    """Computes an orthogonal matrix as layers of rotations of pairs of states: EUNN.

    Few layers have few weights, and a step that costs less than one with a dense
    matrix. Choose `Cayley` or `Projection` for all of the orthogonal matrices.

    For angles `θ`, one for each pair of states, and a diagonal `D` of signs ±1,

        R = G_1 G_2 ... G_L D

    where the layer `G` maps the states `a` and `b` of each of its pairs to

        (h G)_a = h_a cos θ - h_b sin θ,    (h G)_b = h_a sin θ + h_b cos θ

    - `"tunable"`: `L = capacity` layers on neighbours, the pairs (0, 1), (2, 3), ...
      and (1, 2), (3, 4), ... in turn. A state without a partner stays as it is. With
      `n` layers, which have n(n-1)/2 angles, every orthogonal matrix is reached; with
      fewer, none that moves a number on by more than `L` states.
    - `"fft"`: `L = ⌈log₂ n⌉` layers. A layer pairs the states whose numbers differ in
      one binary digit, the highest digit first: 0 and 4, 1 and 5, ..., then 0 and 2,
      and so on. For `n` that is no power of two, a state whose partner would be beyond
      the last one stays as it is. Reached are the products of this form only.

    `D` is not trained: it is chosen when a matrix is set (the initial one, or one that
    is assigned), and saved with the weights. The determinant is that of `D`.

    An initial matrix that the layers don't give is replaced: its entries `(l, a)` and
    `(l, b)` are a point in the plane, and the direction of that point is the angle of
    the pair `(a, b)` of layer `l`. For a random orthogonal matrix these angles are
    uniform in [-π, π]. They follow the seed of the initializer. The determinant is that
    of the initial matrix.

    `assign` finds the angles of each matrix that is such a product with `"fft"`, with
    `n` layers and with up to 3. With 4 to `n / 2` layers it may miss those with angles
    that are 0, and in float32 more than some 8 layers, because the entries that tell
    the angles are products of `L` sines.
    Cost: O(n²L) a sequence and O(n²) a step; O(nL) a step for layers of `256 L` units
    or more, where that is the cheaper one.
    With two layers and a batch of 128 a training step then takes 0.6 of the time with a
    dense matrix at 512 units, and 0.3 at 1,024, on PyTorch; 0.7 and 0.3 on JAX (on one
    core of a CPU). Parameters: about nL/2.

    A `recurrent_regularizer` acts on the angles.

    Args:
        capacity: positive integer `L`, at most the number of units, or None for as many
            layers as units. Only with the layout `"tunable"`. Defaults to `None`.
        layout: string, `"tunable"` or `"fft"`. Which states are paired. Defaults to
            `"tunable"`.

    Raises:
        ValueError: for another layout, for a capacity with `"fft"`, one that is not a
            positive integer, and when a cell is built for one over its units; in
            `assign` and `initialize` for a matrix that the layers don't give, and in
            `assign` for one off the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        few = keras_urnn.parametrizations.Givens(capacity=2)
        layer = keras_urnn.UnitaryRNN(8, parametrization=few)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Jing et al., 2017](https://arxiv.org/abs/1612.05231), section 4
        - [Clements et al., 2016](https://arxiv.org/abs/1603.08788)
    """

    sets = ("unitary",)
    systems = "EUNN, EURNN"
    reaches = "O(n) with n layers, a part of it with fewer"
    parameters = "about nL/2 with L layers"
    cost = "O(n²L) a sequence, O(n²) a step; O(nL) a step for few in a wide layer"
    paper = "[Jing et al., 2017](https://arxiv.org/abs/1612.05231)"

    def __init__(self, capacity: int | None = None, layout: str = "tunable") -> None:
        self.layout = _check_layout(layout)
        self.capacity = _check_capacity(capacity, self.layout)

    def build(self, cell: Any) -> None:
        self._layers = self._layers_of(cell.width)
        self._cell = cell
        shape = (sum(len(layer.first) for layer in self._layers),)
        add_signed_weights(cell, "recurrent_angles", shape, self._raw_start)

    def is_structured(self) -> bool:
        """Whether there are few layers for the width: the class says how few."""
        return bool(self.cell.width >= WIDTH_PER_LAYER * len(self._layers))

    def prepare(self) -> Any:
        """The factors of all layers and `D`; the matrix, where that is cheaper."""
        factors = self._factors()
        if not self.is_structured():
            return self._product(factors)
        *of_layers, signs = factors
        rows = zip(*map(ops.unstack, of_layers), strict=True)
        return (*(factor for row in rows for factor in row), signs)

    def apply(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, prepared)
        *factors, signs = prepared
        for k, layer in enumerate(self._layers):
            h = turned(h, layer.stride, *factors[3 * k : 3 * k + 3])
        return h * signs

    def apply_transposed(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, ops.transpose(prepared))
        *factors, signs = prepared
        h = h * signs
        for k, layer in reversed(list(enumerate(self._layers))):
            h = turned_back(h, layer.stride, *factors[3 * k : 3 * k + 3])
        return h

    def matrix(self) -> Tensor:
        structured = self.is_structured()
        R = self._product(self._factors()) if structured else self.prepare()
        return ops.cast(R, self.cell.variable_dtype)

    def _factors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Those of all layers, of shape `(L, n)`, as `turned` takes them; and `D`."""
        cell = self.cell
        dtype = "float64" if cell.variable_dtype == "float64" else "float32"
        angles = ops.cast(cell.recurrent_angles, dtype)
        cos, sin = cos_and_sin(angles)
        first, second = _places(self._layers, cell.width)
        one, zero = ops.ones((1,), dtype), ops.zeros((1,), dtype)
        return (
            ops.take(ops.concatenate([cos, one]), np.minimum(first, second)),
            ops.take(ops.concatenate([-sin, zero]), first),
            ops.take(ops.concatenate([sin, zero]), second),
            ops.cast(cell.recurrent_signs, dtype),
        )

    def _product(self, factors: Any) -> Tensor:
        """`R`: all layers applied to the unit matrix."""
        *of_layers, signs = factors
        if self.layout == "tunable":
            return product(*of_layers) * signs
        R = ops.eye(self.cell.width, dtype=signs.dtype)
        for layer, *row in zip(self._layers, *map(ops.unstack, of_layers), strict=True):
            R = turned(R, layer.stride, *row)
        return R * signs

    def set_matrix(self, matrix: Array) -> None:
        found = self._decomposed(matrix)
        self.cell.recurrent_angles.assign(found.angles)
        self.cell.recurrent_signs.assign(found.signs)

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        if self.capacity is not None and self.capacity > len(matrix):
            return f"a matrix of {len(matrix)} states, with its {self.capacity} layers"
        found = self._decomposed(matrix)
        if _is_reached(found, dtype):
            return None
        return (
            f"a matrix at distance {found.distance:.2g} from the nearest product of "
            f"{len(self._layers_of(len(matrix)))} layers that was found, with capacity="
            f"{self.capacity} and layout={self.layout!r}"
        )

    def _layers_of(self, width: int) -> list[Layer]:
        """The layers of a cell of some width, or raise."""
        if self.layout == "fft":
            return butterflies(width)
        _check_at_most(self.capacity, width)
        return neighbours(width, width if self.capacity is None else self.capacity)

    def _decomposed(self, matrix: Array) -> Decomposition:
        layers = self._layers_of(len(matrix))
        if self.layout == "tunable" and len(layers) == len(matrix):
            return completely_decomposed(matrix)
        return decomposed(matrix, layers)

    def _raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The angles and signs of the initial matrix, or of what replaces it."""
        found = self._decomposed(matrix)
        if _is_reached(found, self.cell.variable_dtype):
            return found.angles, found.signs
        angles = [
            np.arctan2(row[layer.first + layer.stride], row[layer.first])
            for row, layer in zip(matrix, self._layers, strict=False)
        ]
        signs = np.ones(len(matrix))
        signs[-1] = np.linalg.slogdet(matrix)[0]
        return np.concatenate(angles), signs

    def get_config(self) -> dict[str, Any]:
        return {"capacity": self.capacity, "layout": self.layout}


def _is_reached(found: Decomposition, dtype: str) -> bool:
    # Half of what law L3 allows: the other half is for the angles rounded to `dtype`.
    return found.distance <= 2.0 * len(found.signs) * linalg.EPSILON[dtype]


def _places(layers: list[Layer], n: int) -> tuple[Array, Array]:
    """Which angle each state has as the first of a pair, and which as the second.

    Of shape `(L, n)`. The number of all angles stands for none.
    """
    count = sum(len(layer.first) for layer in layers)
    first = np.full((len(layers), n), count)
    second, start = first.copy(), 0
    for k, (stride, a) in enumerate(layers):
        angles = np.arange(start, start + len(a))
        first[k, a] = second[k, a + stride] = angles
        start += len(a)
    return first, second


def _check_layout(value: Any) -> str:
    advice = "It is which states are rotated together."
    return _checks.one_of("layout", value, ("tunable", "fft"), advice)


def _check_capacity(value: Any, layout: str) -> int | None:
    if value is None:
        return None
    if layout == "fft":
        advice = "The number of its layers is the logarithm of the number of states."
        raise _checks.error("capacity", 'None with layout="fft"', value, advice)
    advice = "It is the number of layers; None takes one for each state."
    return _checks.positive_integer("capacity", value, advice)


def _check_at_most(capacity: int | None, width: int) -> None:
    if capacity is not None and capacity > width:
        expected = f"at most {width}, the number of states"
        advice = "So many layers are enough for every orthogonal matrix."
        raise _checks.error("capacity", expected, capacity, advice)

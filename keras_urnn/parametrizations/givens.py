"""Products of layers of Givens rotations, real or complex: the EUNN's map."""

from typing import Any

from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import matmul
from keras_urnn._serialization import register
from keras_urnn.constraints import FIELDS
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import whole
from keras_urnn.linalg.rotation_layers import (
    in_parts,
    joined,
    product,
    turned,
    turned_back,
)
from keras_urnn.parametrizations import complex_givens, real_givens
from keras_urnn.parametrizations.base import Array, Parametrization
from keras_urnn.parametrizations.rotations import Layer, butterflies, neighbours

# From so many units for each layer on, a step by layers is the cheaper one: see the
# docstring of `Givens`. If it is too low, steps are slower than with the matrix.
UNITS_PER_LAYER = 256


@register
class Givens(Parametrization):
    """Computes a unitary matrix as layers of rotations of pairs of states: EUNN.

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

    With `field="complex"` each pair has a phase `φ`, too:

        (h G)_a = u cos θ - h_b sin θ,    (h G)_b = u sin θ + h_b cos θ

    with `u = exp(iφ) h_a`, and `D = diag(exp(iω))` has trained phases. With `n` layers
    every unitary matrix is reached. (The paper turns by `φ` after the rotation. There
    the phases of the last layer and those of `D` say the same twice, and most unitary
    matrices are missed.) For an initial matrix `A + iB` that is replaced, the
    directions in `A` are the angles `θ`, those in `B` the phases `φ`, and `ω` are the
    phases of the last row. From `256 L` complex units on layers step by layers, too:
    in 0.5 of the time at 512 units and 0.25 at 1,024 on PyTorch, 0.6 and 0.3 on JAX,
    measured likewise; at 256 there is no gain yet. Parameters: about nL + n.

    A `recurrent_regularizer` acts on the angles, and on the phases `φ`.

    Args:
        capacity: positive integer `L`, at most the number of units, or None for as many
            layers as units. Only with the layout `"tunable"`. Defaults to `None`.
        layout: string, `"tunable"` or `"fft"`. Which states are paired. Defaults to
            `"tunable"`.
        field: string. `"real"`, or `"complex"` for a cell of complex states. Defaults
            to `"real"`.

    Raises:
        ValueError: for another layout or field, for a capacity with `"fft"`, one that
            is not a positive integer, and when a cell is built for one over its units;
            in `assign` and `initialize` for a matrix that the layers don't give, and in
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
    systems = 'EUNN, EURNN with `field="complex"`'
    reaches = "O(n), U(n) with n layers, a part of it with fewer"
    parameters = "about nL/2 with L layers; nL + n if complex"
    cost = "O(n²L) a sequence, O(n²) a step; O(nL) a step for few in a wide layer"
    paper = "[Jing et al., 2017](https://arxiv.org/abs/1612.05231)"

    def __init__(
        self,
        capacity: int | None = None,
        layout: str = "tunable",
        field: str = "real",
    ) -> None:
        self.layout = _check_layout(layout)
        self.capacity = _check_capacity(capacity, self.layout)
        advice = "It is that of the states of the cell."
        self.field = _checks.one_of("field", field, FIELDS, advice)
        self._of_field = complex_givens if self.field == "complex" else real_givens

    def build(self, cell: Any) -> None:
        self._layers = self._layers_of(cell.units)
        self._cell = cell
        rotations = sum(len(layer.first) for layer in self._layers)
        self._of_field.add_weights(cell, rotations, self._raw_start)

    def is_structured(self) -> bool:
        """Whether there are few layers for the width: the class says how few."""
        return bool(self.cell.units >= UNITS_PER_LAYER * len(self._layers))

    def prepare(self) -> Any:
        """The factors of all layers and `D`; the matrix, where that is cheaper."""
        of_layers, end = self._factors()
        if not self.is_structured():
            return self._product(of_layers, end)
        rows = zip(*map(ops.unstack, of_layers), strict=True)
        return (*(factor for row in rows for factor in row), *end)

    def apply(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, prepared)
        layers, end = self._by_layers(prepared)
        parts = in_parts(h, self.field)
        for stride, factors in layers:
            parts = turned(parts, stride, *factors)
        return joined(self._of_field.ended(parts, *end))

    def apply_transposed(self, h: Tensor, prepared: Any) -> Tensor:
        if not isinstance(prepared, tuple):
            return matmul(h, ops.transpose(prepared))
        layers, end = self._by_layers(prepared)
        parts = self._of_field.ended_back(in_parts(h, self.field), *end)
        for stride, factors in reversed(layers):
            parts = turned_back(parts, stride, *factors)
        return joined(parts)

    def matrix(self) -> Tensor:
        R = self._product(*self._factors()) if self.is_structured() else self.prepare()
        return ops.cast(R, self.cell.variable_dtype)

    def _factors(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Those of all layers, of shape `(L, units)`, and those of `D`."""
        factors = self._of_field.factors(self.cell, self._layers)
        count = self._of_field.FACTORS
        return factors[:count], factors[count:]

    def _by_layers(self, prepared: Any) -> tuple[list[tuple[int, Any]], Any]:
        """The stride and the factors of each layer, and the factors of `D`."""
        count = self._of_field.FACTORS
        starts = [count * k for k in range(len(self._layers))]
        layers = [
            (layer.stride, prepared[start : start + count])
            for layer, start in zip(self._layers, starts, strict=True)
        ]
        return layers, prepared[count * len(layers) :]

    def _product(self, of_layers: Any, end: Any) -> Tensor:
        """`R`: all layers applied to the unit matrix."""
        if self.layout == "tunable":
            R = in_parts(product(*of_layers), self.field)
        else:
            cell = self.cell
            eye = ops.eye(cell.units, cell.width, dtype=of_layers[0].dtype)
            R = in_parts(eye, self.field)
            rows = zip(*map(ops.unstack, of_layers), strict=True)
            for layer, row in zip(self._layers, rows, strict=True):
                R = turned(R, layer.stride, *row)
        return whole(joined(self._of_field.ended(R, *end)), self.field)

    def set_matrix(self, matrix: Array) -> None:
        angles, diagonal, _ = self._decomposed(matrix)
        self._of_field.set_weights(self.cell, angles, diagonal)

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        units = self._units_of(matrix)
        if self.capacity is not None and self.capacity > units:
            return f"a matrix of {units} states, with its {self.capacity} layers"
        distance = self._decomposed(matrix).distance
        if _is_reached(distance, len(matrix), dtype):
            return None
        return (
            f"a matrix at distance {distance:.2g} from the nearest product of "
            f"{len(self._layers_of(units))} layers that was found, with capacity="
            f"{self.capacity} and layout={self.layout!r}"
        )

    def _units_of(self, matrix: Array) -> int:
        return len(matrix) // (2 if self.field == "complex" else 1)

    def _layers_of(self, units: int) -> list[Layer]:
        """The layers of a cell of so many units, or raise."""
        if self.layout == "fft":
            return butterflies(units)
        _check_at_most(self.capacity, units)
        return neighbours(units, units if self.capacity is None else self.capacity)

    def _decomposed(self, matrix: Array) -> Any:
        units = self._units_of(matrix)
        layers = self._layers_of(units)
        is_complete = self.layout == "tunable" and len(layers) == units
        return self._of_field.found_in(matrix, layers, is_complete)

    def _raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The weights of the initial matrix, or of what replaces it."""
        angles, diagonal, distance = self._decomposed(matrix)
        if _is_reached(distance, len(matrix), self.cell.variable_dtype):
            return angles, diagonal
        return self._of_field.instead_of(matrix, self._layers)

    def get_config(self) -> dict[str, Any]:
        return {
            "capacity": self.capacity,
            "layout": self.layout,
            "field": self.field,
        }


def _is_reached(distance: float, width: int, dtype: str) -> bool:
    # Half of what law L3 allows: the other half is for the angles rounded to `dtype`.
    return distance <= 2.0 * width * linalg.EPSILON[dtype]


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

"""What a parametrization of the recurrent matrix must do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from keras import ops

from keras_urnn import _checks, _numbers, linalg
from keras_urnn._backend import matmul
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding, nearest_parts, stored, whole

Array = npt.NDArray[Any]


class Parametrization(ABC):
    """Maps a cell's raw weights to its recurrent matrix `R`.

    A cell creates its variables through `build`, which may read the cell's `units`,
    `recurrent_initializer`, `recurrent_regularizer` and `recurrent_projection` (the
    constraint whose set `R` must be on). It computes `prepare()` once per sequence and
    steps with `apply`. One instance serves one cell.

    A subclass says in `sets` which sets it can hold ("unitary", "contractive"), in
    `field` which numbers the state consists of ("real", "complex"), and implements
    `build`, `prepare`, `apply`, `matrix` and `set_matrix`; `obstruction` where it
    misses matrices of its set; `is_structured` and `apply_transposed` where a step by
    `apply` is cheaper than a product with the matrix. Weights are made with
    `autocast=False`, and the map is computed in float32 at least, whatever the dtype
    policy.

    What a reader chooses by, it says in five strings, of which `docs/choosing.md` makes
    its table: `systems` of the literature that it gives, `reaches` (which matrices),
    `parameters` (how many are trained), `cost`, and the `paper`, a link in Markdown.

    Laws, tested over every parametrization, size and weight scale (`eps` is that of the
    weights' dtype, `n` the width):

    - L1. `R` is on the set for any raw weights a training step can leave:
      `max|RᵀR - I| ≤ 4 n eps`, or `‖R‖ ≤ max_norm (1 + 4 n eps)`.
    - L2. `apply(h, prepare()) == h @ matrix()`, and `apply_transposed(h, prepare())`
      is `h @ matrix()ᵀ`.
    - L3. After `assign(Q)`, `matrix()` is `Q` to `4 n eps`; outside the map's image
      `assign` raises a `ValueError` that names the obstruction.
    - L4. The claim of coverage in the docstring has a test that reaches it and one that
      shows what is missed.
    - L5. Gradients are finite and equal to finite differences in float64.
    - L6. A round trip through the config and a `.keras` file gives a bit-equal matrix.
    """

    sets: tuple[str, ...]  # an option may rule one of them out
    systems: ClassVar[str]
    reaches: ClassVar[str]
    parameters: ClassVar[str]
    cost: ClassVar[str]
    paper: ClassVar[str]
    field = "real"
    _cell: Any = None

    @abstractmethod
    def build(self, cell: Any) -> None:
        """Create the recurrent weights of `cell` and keep a reference to it."""

    def before_training_step(self) -> None:  # noqa: B027, nothing to do for most
        """What `UnitaryRNN` calls once for the sequences of a training step.

        A map that moves weights of its own, which no optimizer trains, does it here.
        """

    @abstractmethod
    def prepare(self) -> Any:
        """The tensors that depend on weights only, to compute once per sequence.

        A tensor, or a tuple of tensors; the latter if the map is structured.
        """

    @abstractmethod
    def apply(self, h: Tensor, prepared: Any) -> Tensor:
        """One step, `h @ R`, for `h` of shape `(batch, width)`."""

    def is_structured(self) -> bool:
        """Whether `UnitaryRNN` steps by `apply`, or by products with `matrix()`.

        Both give the same numbers to rounding: choose by cost, at the width of the
        cell. Under `keras.layers.RNN`, and where the recurrence is not fused, a step is
        `apply` in any case.
        """
        return False

    def apply_transposed(self, h: Tensor, prepared: Any) -> Tensor:
        """`h @ Rᵀ`, a step of the backward pass of a structured map."""
        eye = ops.eye(h.shape[-1], dtype=h.dtype)
        return matmul(h, ops.transpose(self.apply(eye, prepared)))

    @abstractmethod
    def matrix(self) -> Tensor:
        """`R`, of shape `(width, width)`: `apply` to the identity."""

    @abstractmethod
    def set_matrix(self, matrix: Array) -> None:
        """Set the weights so that `R` is a matrix that `assign` has checked."""

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        """Why no weights of a dtype give this matrix of the set; None where some do."""
        return None

    def assign(self, matrix: Any) -> None:
        """Set the weights so that `R` is `matrix`, or raise saying why it can't be.

        Args:
            matrix: array of shape `(width, width)` on the set, to `4 n eps`. For
                complex states `[[A, B], [-B, A]]`, or an array of complex numbers of
                shape `(units, units)`.

        Raises:
            ValueError: for a matrix of another shape or form, off the set or outside
                the image of the map, and before a cell is built.
            TypeError: for what is no array of real numbers.
        """
        value = self._checked(matrix)
        constraint = self.cell.recurrent_projection("auto")
        distance = np.linalg.norm(value - _nearest(value, constraint, self.field))
        epsilon = linalg.EPSILON[self.cell.variable_dtype]
        if not distance <= 4.0 * len(value) * epsilon:
            raise ValueError(
                f"`matrix` must be on the set of {type(constraint).__name__}. "
                f"Received: a matrix at distance {distance:.3g} from it. Project it "
                "first, or call `initialize`, which does."
            )
        self._set_where_reached(value)

    def initialize(self, matrix: Any) -> float:
        """Set the weights so that `R` is the nearest matrix of the set to `matrix`.

        Args:
            matrix: array as for `assign`, on the set or not.

        Returns:
            The distance between the two in the Frobenius norm, a `float`.

        Raises:
            ValueError: for a matrix of another shape or form or with entries that are
                not finite, where the map can't give the nearest one, and before a cell
                is built.
            TypeError: for what is no array of real numbers.
        """
        value = self._checked(matrix)
        constraint = self.cell.recurrent_projection("auto")
        nearest = _nearest(value, constraint, self.field)
        self._set_where_reached(nearest)
        return float(np.linalg.norm(nearest - value))

    @property
    def cell(self) -> Any:
        """The built cell whose weights these are, or raise."""
        if self._cell is None:
            raise ValueError(
                "A parametrization must belong to a built cell to have a matrix. "
                "Received: one without a cell. A cell takes a copy of the one that it "
                "is given: use `cell.parametrization`."
            )
        return self._cell

    def _set_where_reached(self, value: Array) -> None:
        """Set a matrix of the set, or raise where the map can't give it."""
        words = self.obstruction(value, self.cell.variable_dtype)
        if words is not None:
            expected = f"one that {type(self).__name__} can give"
            advice = "Choose another parametrization, or other options of this one."
            raise _checks.error("matrix", expected, words, advice)
        self.set_matrix(value)

    def _checked(self, matrix: Any) -> Array:
        width, advice = self.cell.width, "Pass the recurrent matrix itself."
        if self.field == "complex":
            matrix = _real_form(matrix)
        expected = "a matrix of real numbers"
        value = _numbers.real_array("matrix", matrix, expected, advice)
        if value.shape != (width, width):
            expected = str((width, width))
            raise _checks.error("matrix.shape", expected, value.shape, advice)
        if not np.all(np.isfinite(value)):
            advice = "What it comes from has diverged."
            raise _checks.error("matrix", "finite", "NaN or Inf in it", advice)
        if self.field == "complex":
            return _checked_embedding(value, self.cell.variable_dtype)
        return value

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new, unbuilt instance."""
        return cls(**config)


def initial_matrix(cell: Any, constraint: Any) -> Tensor:
    """The matrix that a cell's `recurrent_initializer` draws, projected.

    For complex states it draws `[A | B]` of shape `(units, width)`. If its distribution
    stays the same under orthogonal maps from the right, as that of an `Orthogonal` or
    normal one, then the nearest unitary matrix to `A + iB` has the Haar measure.
    In float32 at least: there is no QR or SVD below, which initializers may need.
    """
    shape = (cell.units, cell.width)
    dtype = "float64" if cell.variable_dtype == "float64" else "float32"
    start = constraint(checked_start(cell.recurrent_initializer, shape, dtype))
    return whole(start, cell.field)


def initializers(
    count: int, start: Callable[[], Tensor], weights: Callable[[Array], Sequence[Array]]
) -> list[Any]:
    """Initializers of `count` weights that give one initial matrix together.

    Args:
        count: integer.
        start: draws the matrix, as `initial_matrix` does. It is called once, but for
            what Keras does to infer shapes.
        weights: takes the matrix in float64 and returns the arrays of the weights.
    """
    drawn: list[Array] = []

    def initializer(shape: Any, dtype: str, which: int) -> Tensor:
        matrix = None if drawn else _numbers_in(start())
        if matrix is not None:
            drawn.extend(weights(matrix))
        # NaN while shapes are inferred: if it were ever kept, it would be seen.
        value = drawn[which] if drawn else np.full(shape, np.nan)
        return ops.convert_to_tensor(value, dtype)

    return [partial(initializer, which=which) for which in range(count)]


def _numbers_in(tensor: Tensor) -> Array | None:
    """A tensor in NumPy; `None` while shapes are inferred, and it holds no numbers."""
    try:
        return np.asarray(ops.convert_to_numpy(tensor), "float64")
    except (TypeError, NotImplementedError):
        return None


def _nearest(value: Array, constraint: Any, field: str) -> Array:
    nearest = constraint(ops.convert_to_tensor(stored(value, field)))
    return np.asarray(whole(np.asarray(ops.convert_to_numpy(nearest)), field))


def _real_form(matrix: Any) -> Any:
    """The embedding of an array of complex numbers; others as they are."""
    if "complex" not in str(getattr(matrix, "dtype", "")):
        return matrix
    array = np.asarray(ops.convert_to_numpy(matrix))
    return embedding(np.concatenate([array.real, array.imag], axis=-1))


def _checked_embedding(value: Array, dtype: str) -> Array:
    """The nearest embedding of a complex matrix, or raise if there is none near."""
    nearest = embedding(nearest_parts(value))
    largest = max(1.0, np.max(np.abs(value)))
    rounding = 4.0 * len(value) * linalg.EPSILON[dtype] * largest
    distance = np.linalg.norm(value - nearest)
    if not distance <= rounding:
        expected = "of the form [[A, B], [-B, A]], which stands for A + iB"
        found = f"a matrix at distance {distance:.3g} from that form"
        advice = "Pass an array of complex numbers, of shape (units, units)."
        raise _checks.error("matrix", expected, found, advice)
    return nearest


def checked_start(initializer: Any, shape: tuple[int, ...], dtype: str) -> Tensor:
    """The matrix that an initializer returns for this shape, or raise."""
    try:
        start = initializer(shape, dtype=dtype)
        found: Any = tuple(start.shape)
    except RuntimeError as cause:  # as PyTorch raises where shapes don't fit
        start, found = None, str(cause)
    if found != tuple(shape):
        expected = f"an initializer that returns the shape {tuple(shape)}"
        advice = "It starts the recurrent matrix."
        raise _checks.error("recurrent_initializer", expected, found, advice)
    return start

"""The numbers of one cell, in float64: what theorem 1 and its proofs are about."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.matrices.dilation import norm_tolerance
from keras_urnn.equivalence.ranges.activations import (
    activation_range,
    flat_activation,
)
from keras_urnn.equivalence.ranges.cells import OUR_CELLS
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    REAL_LINE,
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    arithmetic_dtype,
    product_error,
    to_float64,
)


@dataclass(frozen=True, eq=False)
class Recurrence:
    """The numbers of one cell: `h_t = φ((h_{t-1} - centre) @ R + x_t @ K + b)`.

    With a scale `d` they are those of

        h_t = φ(((h_{t-1} - centre)∘d) @ R + (x_t @ K + b)∘d) / d,

    and the scaled states `h∘d` are what is bounded.

    Attributes:
        kernel: float64 array of shape `(features, n)`, `K`.
        recurrent_matrix: float64 array of shape `(n, n)`, `R`.
        bias: float64 array of shape `(n,)`, `b`; zeros where the cell has none.
        initial_state: float64 array of shape `(n,)`, the state at rest: the centre,
            or what was learned.
        dtype: string. The dtype that the cell computes in.
        stored_dtype: string. The dtype its weights are stored in.
        activation: callable, `φ`. Defaults to `keras.activations.relu`.
        scale: float64 array of shape `(n,)`, `d`, or `None` for ones. Defaults to
            `None`.
        resting_state: float64 array of shape `(n,)`, the centre, or `None` for zeros.
            Defaults to `None`.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array
    initial_state: Array
    dtype: str
    stored_dtype: str
    activation: Any = keras.activations.relu
    scale: Array | None = None
    resting_state: Array | None = None

    @property
    def units(self) -> int:
        """The number of states, `n`."""
        return len(self.recurrent_matrix)

    @property
    def d(self) -> Array:
        """The scale, written out."""
        return np.ones(self.units) if self.scale is None else self.scale

    @property
    def centre(self) -> Array:
        """The state that the step is centred on, written out."""
        rest = self.resting_state
        return np.zeros(self.units) if rest is None else rest

    @property
    def sent_by_centre(self) -> Array:
        """`(centre∘d) @ R`, which each step subtracts."""
        sent: Array = (self.centre * self.d) @ self.recurrent_matrix
        return sent

    @property
    def affine_bias(self) -> Array:
        """The bias of the same step written with `h` in place of `h - centre`."""
        return self.bias - self.sent_by_centre / self.d

    @property
    def product_error(self) -> float:
        """Relative rounding error of `((h - centre)∘d) @ R`, per `|h - centre|∘d`."""
        return centred_product_error(self.dtype, self.centre)

    @property
    def rest(self) -> Interval:
        """The state at rest, as an interval."""
        return Interval.of(self.initial_state, self.initial_state)

    @cached_property
    def norm(self) -> float:
        """The spectral norm of `R`."""
        return float(np.linalg.norm(self.recurrent_matrix, 2))

    @property
    def tolerance(self) -> float:
        """How far from 1 rounding may have put the norm."""
        return norm_tolerance(self.units, MACHINE_EPSILON[self.stored_dtype])

    @property
    def is_contractive(self) -> bool:
        """Whether the norm is below 1, and not only by rounding."""
        return self.norm < 1.0 - self.tolerance

    @property
    def flat(self) -> FlatActivation | None:
        """What is known of `φ`, if it is constant on a half-line."""
        return flat_activation(self.activation)

    @property
    def growth(self) -> float:
        """The factor by which a step can multiply an earlier rounding error.

        It is the norm times the slope of `φ`. The slope is taken as 1 where `φ` has no
        half-line: a recurrence with such a `φ` is copied and never converted.
        """
        return self.norm * (self.flat.slope if self.flat else 1.0)

    @property
    def is_bounded(self) -> bool:
        """Whether the states are bounded for ever: by the norm, or by `φ` itself."""
        bounded = bool(np.all(np.isfinite(self.image(REAL_LINE).largest)))
        return bounded or (self.flat is not None and self.is_contractive)

    def image(self, z: Interval) -> Interval:
        """The range of `φ` on `z` as computed; the real line where it isn't known."""
        found = activation_range(self.activation, z, self.dtype)
        return REAL_LINE if found is None else found


def centred_product_error(dtype: str, centre: Array) -> float:
    """The error of the product and one rounding of `h - centre`; `h - 0` has none."""
    difference = STORAGE_ROUNDOFF[dtype] if np.any(centre) else 0.0
    return product_error(dtype, len(centre)) + difference


def recurrence_of(cell: Any) -> Recurrence:
    """Read the weights of a built cell out, in float64."""
    ours = type(cell) in OUR_CELLS
    matrix = to_float64(cell.recurrent_matrix() if ours else cell.recurrent_kernel)
    zeros = np.zeros(len(matrix))
    centre = _resting_state(cell) if ours else None
    learned = cell.learned_initial_state if ours else None
    rest = zeros if centre is None else centre
    return Recurrence(
        kernel=to_float64(cell.kernel),
        recurrent_matrix=matrix,
        bias=zeros if cell.bias is None else to_float64(cell.bias),
        initial_state=rest if learned is None else to_float64(learned),
        dtype=cell.compute_dtype if ours else arithmetic_dtype(cell),
        stored_dtype=cell.variable_dtype,
        activation=cell.activation,
        scale=np.asarray(cell.state_scale) if ours and cell.state_scale else None,
        resting_state=centre,
    )


def _resting_state(cell: Any) -> Array | None:
    """The centre of one of our cells, as it computes with it."""
    if cell.resting_state is None:
        return None
    return to_float64(keras.ops.cast(cell.resting_state, cell.compute_dtype))

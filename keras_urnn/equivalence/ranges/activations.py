"""The table of activations: one row holds all that is known of an activation.

A new activation of Keras is one row of `ACTIVATIONS` here; if its derivative can be
read from the state that it gave, the fused recurrence can use it after a second row in
`DERIVATIVES` of `keras_urnn.recurrence.derivatives`, which knows nothing of this one.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.activation_ranges import (
    Function,
    RangeRule,
    between,
    curved,
    dipping,
    exact,
    rounding,
)
from keras_urnn.equivalence.ranges.affine_pieces import Pieces
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import STORAGE_ROUNDOFF, Interval
from keras_urnn.equivalence.ranges.relu_layers import (
    relu_half_line,
    relu_range,
)


@dataclass(frozen=True)
class Activation:
    """What is known of an activation `φ`; by default, nothing.

    Attributes:
        range: function of an `Interval` and a compute dtype. The range of `φ` on the
            interval as computed; `None` where it is not known. Defaults to `None`.
        value: function. `φ` in NumPy, for activations whose computation rounds
            nothing; `None` for others, which the backend evaluates. Defaults to `None`.
        derivative: function. `φ'` in NumPy, for the same activations. Defaults to
            `None`.
        half_line: `FlatActivation`. The half-line on which `φ` is constant, and how
            fast it grows; `None` where there is no such half-line. Defaults to `None`.
        pieces: `Pieces`. The affine pieces of `φ`; `None` where it has others, or where
            nothing asks for them. Defaults to `None`.
        nearest: strings. The names of the activations with a half-line that are most
            like `φ`. Defaults to `("relu",)`.
        elementwise: boolean. Whether it does the same to each state. Defaults to
            `True`.
    """

    range: RangeRule | None = None
    value: Function | None = None
    derivative: Function | None = None
    half_line: FlatActivation | None = None
    pieces: Pieces | None = None
    nearest: tuple[str, ...] = ("relu",)
    elementwise: bool = True


def _exact(
    value: Function, pieces: Pieces, half_line: FlatActivation | None = None
) -> Activation:
    return Activation(exact(value), value, pieces.slope, half_line, pieces)


_K = keras.activations
ACTIVATIONS: dict[Any, Activation] = {
    _K.linear: _exact(lambda z: z, Pieces.of([], [1.0], [0.0])),
    _K.relu: _exact(
        lambda z: np.maximum(z, 0.0),
        Pieces.of([0.0], [0.0, 1.0], [0.0, 0.0]),
        FlatActivation(-1, 0.0, homogeneous=True),
    ),
    _K.relu6: _exact(
        lambda z: np.clip(z, 0.0, 6.0),
        Pieces.of([0.0, 6.0], [0.0, 1.0, 0.0], [0.0, 0.0, 6.0]),
        FlatActivation(-1, 0.0),
    ),
    _K.hard_tanh: _exact(
        lambda z: np.clip(z, -1.0, 1.0),
        Pieces.of([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
        FlatActivation(-1, -1.0, value=-1.0),
    ),
    _K.leaky_relu: Activation(
        rounding(lambda z: np.maximum(z, 0.2 * z)),
        pieces=Pieces.of([0.0], [0.2, 1.0], [0.0, 0.0]),
    ),
    # (z + 3) / 6 between -3 and 3
    _K.hard_sigmoid: Activation(
        rounding(lambda z: np.clip(z + 3.0, 0.0, 6.0) / 6.0),
        half_line=FlatActivation(-1, -3.0, excess=0.5, slope=1.0 / 6.0),
        pieces=Pieces.of([-3.0, 3.0], [0.0, 1.0 / 6.0, 0.0], [0.0, 0.5, 1.0]),
    ),
    # (z + 1) / 2 between -1 and 1
    _K.sparse_sigmoid: Activation(
        rounding(lambda z: np.clip(0.5 * (z + 1.0), 0.0, 1.0)),
        half_line=FlatActivation(-1, -1.0, excess=0.5, slope=0.5),
        pieces=Pieces.of([-1.0, 1.0], [0.0, 0.5, 0.0], [0.0, 0.5, 1.0]),
    ),
    # (z + 1)² / 4 between -1 and 1
    _K.sparse_plus: Activation(
        rounding(lambda z: np.where(z < 1.0, 0.25 * np.maximum(z + 1.0, 0.0) ** 2, z)),
        half_line=FlatActivation(-1, -1.0, excess=0.25),
    ),
    # z hard_sigmoid(z): it falls to -3/8, and is steepest just below 3
    _K.hard_silu: Activation(
        dipping(-0.376), half_line=FlatActivation(-1, -3.0, slope=1.5)
    ),
    # The lowest values of these three are rounded down in the third digit.
    _K.silu: Activation(dipping(-0.279), nearest=("hard_silu",)),
    _K.gelu: Activation(dipping(-0.171)),
    _K.mish: Activation(dipping(-0.309)),
    _K.tanh: Activation(curved(_K.tanh), nearest=("hard_tanh",)),
    _K.softsign: Activation(curved(_K.softsign), nearest=("hard_tanh",)),
    _K.sigmoid: Activation(
        curved(_K.sigmoid), nearest=("hard_sigmoid", "sparse_sigmoid")
    ),
    _K.softplus: Activation(curved(_K.softplus), nearest=("relu", "sparse_plus")),
    _K.squareplus: Activation(curved(_K.squareplus), nearest=("relu", "sparse_plus")),
    _K.elu: Activation(curved(_K.elu)),
    _K.selu: Activation(curved(_K.selu)),
    _K.celu: Activation(curved(_K.celu)),
    _K.log_sigmoid: Activation(curved(_K.log_sigmoid)),
    _K.exponential: Activation(curved(_K.exponential)),
    _K.softmax: Activation(between(0.0, 1.0)),
    _K.hard_shrink: Activation(),
    _K.soft_shrink: Activation(),
    _K.tanh_shrink: Activation(),
    _K.threshold: Activation(),
    _K.sparsemax: Activation(),
    _K.log_softmax: Activation(),
    # It halves the state, so that no order of the entries is free.
    _K.glu: Activation(elementwise=False),
}
_UNKNOWN = Activation()


def known(activation: Any) -> Activation:
    """The row of an activation; one that knows nothing where it is not in the table."""
    return ACTIVATIONS.get(activation, _UNKNOWN)


def activation_range(activation: Any, x: Interval, dtype: str) -> Interval | None:
    """The range of `activation` on `x` as computed in `dtype`, if it is known."""
    if type(activation) is keras.layers.ReLU:
        return relu_range(activation, x, dtype)
    rule = known(activation).range
    return None if rule is None else rule(x, dtype)


def evaluation_error(activation: Any, dtype: str) -> float:
    """Bound how far rounding carries `φ(z)`, relative to `1 + |φ(z)|`."""
    rounds = known(activation).value is None
    return 16.0 * STORAGE_ROUNDOFF[dtype] if rounds else 0.0


def flat_activation(activation: Any) -> FlatActivation | None:
    """The half-line of an activation; `None` where it is constant on none.

    Args:
        activation: one of Keras' functions, or a `keras.layers.ReLU`.
    """
    if type(activation) is keras.layers.ReLU:
        return relu_half_line(activation)
    return known(activation).half_line

"""The numbers of one cell, checked: what the theorems are about."""

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, visible_units
from keras_urnn.equivalence.ranges.intervals import MACHINE_EPSILON
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import in_scale

Array = NDArray[np.float64]


class System(NamedTuple):
    """`h_t = φ(h_{t-1} @ R + x_t @ K + b)`, `y_t = h_t @ C`, in float64.

    Attributes:
        kernel: array of shape `(features, n)`, `K`.
        recurrent_matrix: array of shape `(n, n)`, `R`.
        bias: array of shape `(n,)`, `b`; what a `resting_state` takes off is in it.
        initial_state: array of shape `(n,)`.
        readout: array of shape `(n, outputs)`, `C`.
        epsilon: float. Machine epsilon of the weights as they are stored.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array
    initial_state: Array
    readout: Array
    epsilon: float

    @property
    def units(self) -> int:
        """The number of states, `n`."""
        return len(self.recurrent_matrix)


def system_of(cell: Any, readout: ArrayLike | None) -> System:
    """Read a built cell out, or raise."""
    check_cell(cell)
    found = recurrence_of(cell)
    if found.scale is not None:
        check_activation(cell, "relu", "For others a `state_scale` has no equivalent.")
        found = in_scale(found, np.ones(found.units))
    weights = (
        found.kernel,
        found.recurrent_matrix,
        found.affine_bias,
        found.initial_state,
    )
    if not all(np.all(np.isfinite(weight)) for weight in weights):
        advice = "Training has diverged; lower the learning rate or clip gradients."
        received = f"{cell.name}: NaN or Inf in its weights"
        raise _checks.error("cell", "of finite weights", received, advice)
    visible = np.eye(found.units)[:, : visible_units(cell)]
    return System(
        *weights,
        readout=visible if readout is None else _checked_readout(readout, found.units),
        epsilon=_stored_epsilon(cell),
    )


def check_cell(cell: Any) -> None:
    """Raise unless `cell` is a built cell of one affine map and one activation."""
    if type(cell) not in SIMPLE_CELLS:
        advice = (
            "Of a layer pass `layer.cell`; the theorems say nothing of gated cells."
        )
        expected = (
            "a ContractiveRNNCell, a UnitaryRNNCell or a keras.layers.SimpleRNNCell"
        )
        raise _checks.error("cell", expected, cell, advice)
    if not cell.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise _checks.error("cell", "built", f"{cell.name}: no weights", advice)
    if getattr(cell, "field", "real") == "complex":
        advice = "The theorems are about states that are real numbers."
        raise _checks.error("cell", "of real states", f"{cell.name}: complex", advice)
    if getattr(cell, "skip", None) is not None:
        advice = "The theorems are about states that are all inside of the activation."
        found = f"{cell.name}: skip={cell.skip}"
        raise _checks.error("cell", "a cell without a skip", found, advice)


def check_activation(cell: Any, activation: str, advice: str) -> None:
    """Raise unless the cell has this Keras activation."""
    if cell.activation is not keras.activations.get(activation):
        name = getattr(cell.activation, "__name__", cell.activation)
        expected = f"a cell with `activation='{activation}'`"
        raise _checks.error("cell", expected, f"activation={name!r}", advice)


def _checked_readout(readout: ArrayLike, units: int) -> Array:
    expected = f"None or an array of shape ({units}, outputs)"
    advice = "It is the paper's C, transposed: the outputs are `h @ readout`."
    array = _numbers.real_numbers("readout", readout, expected, advice)
    if array.ndim != 2 or len(array) != units or array.shape[1] == 0:
        found = f"an array of shape {array.shape}"
        raise _checks.error("readout", expected, found, advice)
    return array


def _stored_epsilon(cell: Any) -> float:
    # JAX stores float64 variables in float32 unless it is asked for double precision.
    stored = keras.ops.convert_to_numpy(cell.kernel).dtype.name
    names = (cell.variable_dtype, stored)
    return max(MACHINE_EPSILON[name] for name in names if name in MACHINE_EPSILON)

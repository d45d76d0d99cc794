"""OPLU, which sorts pairs of units."""

from typing import Any, Self

from keras import ops

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.activations.base import CellActivation
from keras_urnn.linalg import Tensor


@register
class OPLU(CellActivation):
    """Sorts pairs of neighbouring units: an activation that keeps every norm.

    Without it a unitary RNN keeps the norm of what goes through its matrix only. It has
    no weights, and its Jacobian is a permutation: the norm of a gradient is kept, too.

        φ(z)[2i] = max(z[2i], z[2i+1]),    φ(z)[2i+1] = min(z[2i], z[2i+1])

    Where the two are equal, the gradient is that of the identity. A `UnitaryRNN` with
    it runs Keras' own loop: which of the two was larger can't be read from the state.

    Args:
        **kwargs: `name` and `dtype`, as for every Keras layer.

    Raises:
        ValueError: for an odd number of units, and in a cell of complex states.

    Example:
        ```python
        cell = keras_urnn.UnitaryRNNCell(8, activation="oplu")
        keras_urnn.activations.OPLU()(np.array([[1.0, 2.0]]))  # shape (1, 2)
        ```

    Reference:
        - [Chernodub and Nowicki, 2016](https://arxiv.org/abs/1604.02313)
    """

    def for_cell(self, field: str, units: int, dtype: Any) -> Self:
        if field == "real":
            _check_pairs("units", units)
        return super().for_cell(field, units, dtype)

    def build(self, input_shape: Any) -> None:
        _check_pairs("input_shape[-1]", input_shape[-1])

    def call(self, z: Tensor) -> Tensor:
        a, b = z[..., 0::2], z[..., 1::2]
        in_order = a >= b
        sorted_pairs = ops.where(in_order, a, b), ops.where(in_order, b, a)
        return ops.reshape(ops.stack(sorted_pairs, axis=-1), ops.shape(z))


def _check_pairs(argument: str, units: int) -> None:
    if units % 2:
        advice = 'Add a unit, or choose another activation, as "modrelu".'
        expected = "even for the activation OPLU, which takes pairs of units"
        raise _checks.error(argument, expected, units, advice)

"""modReLU, of real and of complex numbers."""

from typing import Any, Self

import keras
from keras import ops

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.activations.base import CellActivation
from keras_urnn.linalg import Tensor


@register
class ModReLU(CellActivation):
    """Shortens or lengthens each number by a trained bias, and keeps its direction.

    The activation of the unitary RNNs with complex states: it commutes with a change
    of phase. As an activation of a cell (`activation="modrelu"`) it has one bias for
    each unit. A complex unit is a pair of entries of a tensor `[Re | Im]`.

        φ(z) = z / |z| · relu(|z| + b)

    For real numbers that is `sign(z) · relu(|z| + b)`. At `z = 0` the value is 0, and
    so are the gradients. With the bias 0, where training starts, it is the identity; a
    negative bias switches numbers off whose modulus is at most `-b`. The modulus is
    computed in at least float32. A complex number whose square underflows (a modulus
    below 1e-23 in float32) counts as 0.

    The fused recurrence of `UnitaryRNN` takes it: `z` can be read from `φ(z)`.

    Args:
        field: string or None. `"real"`, or `"complex"` for inputs `[Re | Im]` of an
            even width. None takes the field of the cell that it is given to, and real
            numbers without a cell. Defaults to `None`.
        bias_initializer: initializer of the bias. Defaults to `"zeros"`.
        bias_regularizer: regularizer of the bias. Defaults to `None`.
        bias_constraint: constraint of the bias. Defaults to `None`.
        **kwargs: `name`, `dtype` and `trainable`, as for every Keras layer. The copy
            that a cell makes has the dtype of the cell.

    Raises:
        ValueError: for another field, or one that is not the field of the cell; and
            for complex inputs of an odd width.

    Example:
        ```python
        modrelu = keras_urnn.activations.ModReLU(field="complex")
        h = modrelu(keras.random.normal((2, 6)))  # shape (2, 6)
        cell = keras_urnn.UnitaryRNNCell(3, activation="modrelu")
        ```

    Reference:
        - [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464), eq. (8)
    """

    fields = ("real", "complex")

    def __init__(
        self,
        field: str | None = None,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if field is not None:
            advice = "None takes that of the cell."
            field = _checks.one_of("field", field, self.fields, advice)
        self.field = field
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def for_cell(self, field: str, units: int, dtype: Any) -> Self:
        if self.field not in (None, field):
            expected = f"a ModReLU of {field} numbers, as the states of the cell are"
            found = f"ModReLU(field={self.field!r})"
            advice = "Leave its `field` out: the cell chooses it."
            raise _checks.error("activation", expected, found, advice)
        copy = super().for_cell(field, units, dtype)
        copy.field = field
        return copy

    def build(self, input_shape: Any) -> None:
        width, advice = input_shape[-1], "The inputs are `[Re | Im]`."
        if self.field == "complex" and width % 2:
            expected = "even, as the numbers are complex"
            raise _checks.error("input_shape[-1]", expected, width, advice)
        self.bias = self.add_weight(
            shape=(width // 2 if self.field == "complex" else width,),
            name="bias",
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def call(self, z: Tensor) -> Tensor:
        function = complex_modrelu if self.field == "complex" else real_modrelu
        return function(z, ops.convert_to_tensor(self.bias))

    def get_config(self) -> dict[str, Any]:
        own = {
            "field": self.field,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
        return {**super().get_config(), **own}


def real_modrelu(z: Tensor, bias: Tensor) -> Tensor:
    """`sign(z) · relu(|z| + b)`."""
    return ops.sign(z) * ops.relu(ops.abs(z) + bias)


def complex_modrelu(z: Tensor, bias: Tensor) -> Tensor:
    """`z / |z| · relu(|z| + b)` for `z` as `[Re | Im]`, as `z · relu(1 + b / |z|)`."""
    pairs = pairs_of(z)
    square = squared_modulus(pairs)
    is_zero = square <= 0.0
    zero, one = ops.zeros_like(square), ops.ones_like(square)
    # The gradient of the root at 0 is not finite, and would reach `z` in spite of the
    # second `where`. Not `ops.sqrt`, which takes float64 to float32 on JAX.
    inverse = ops.where(is_zero, zero, ops.rsqrt(ops.where(is_zero, one, square)))
    bias = ops.cast(bias, square.dtype)
    scale = ops.relu(ops.where(is_zero, zero, one) + bias * inverse)
    return ops.reshape(pairs * ops.cast(scale, z.dtype), ops.shape(z))


def pairs_of(z: Tensor) -> Tensor:
    """`[Re | Im]` with both parts along an axis of their own, the last but one."""
    return ops.reshape(z, (*ops.shape(z)[:-1], 2, z.shape[-1] // 2))


def squared_modulus(pairs: Tensor) -> Tensor:
    """`|z|²`, in float32 at least: squares leave the range of float16 from 256 on.

    The axis of the parts stays, with size 1.
    """
    given = keras.backend.standardize_dtype(pairs.dtype)
    pairs = ops.cast(pairs, "float64" if given == "float64" else "float32")
    return sum_of_parts(pairs * pairs)


def sum_of_parts(pairs: Tensor) -> Tensor:
    """The sum over the axis of the parts, which stays: faster than `ops.sum`."""
    return pairs[..., :1, :] + pairs[..., 1:, :]

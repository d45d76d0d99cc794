"""The convex skip: a step between the turned state and the activation."""

import math
from numbers import Real
from typing import Any, Self

import keras
from keras import ops

from keras_urnn import _checks
from keras_urnn._backend import matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding
from keras_urnn.parametrizations.skew import working_dtype


@register
class Skip:
    """Takes the state past the activation, and a part `β` of the activation to it.

    The argument `skip` of the cells and layers; a number there stands for `Skip` of
    that number. A state then goes through the matrix `R` alone, and no activation stops
    a part of it or of its gradient at each step: for the longest sequences of real
    numbers, as pixels are. The step is

        h_t = (1-β)·h_{t-1} R + β·φ(h_{t-1} V + x_t K + b),    0 < β < 1

    with a matrix `V` that may be any. If `R` is orthogonal or contractive, the state is
    bounded for each `φ` that is: if no entry of `φ` is larger than `m`, then

        ‖h_t‖₂ ≤ max(‖h_0‖₂, √width · m)

    for all times and weights, to rounding. `(1-β)^t` of a state comes through `R` after
    `t` steps, so that `β` is best about one over the number of steps to remember, or
    less. Recurrent dropout drops states before `V` only. The fused recurrence of
    `UnitaryRNN` takes a skip, with activations that have no weights.

    Args:
        beta: number in (0, 1). The part `β` of the activation; where it is trained, the
            one to start from.
        trainable: boolean. Whether `β` is trained. It is the sigmoid of the weight
            `cell.skip_logit` then, and so stays in (0, 1) after any optimizer step.
            (Weight decay pulls it to 1/2; no regularizer acts on it.) Defaults to
            `False`.
        dense: boolean. Whether the activation sees the state through a dense matrix
            `V`, the weight `cell.skip_kernel`, or sees the input only. Without it the
            state is a linear filter of `φ(x_t K + b)`. A contractive cell takes no
            `V`, which would undo what its matrix promises. Defaults to `True`.
        kernel_initializer: initializer of `V`, for complex states of `[Re | Im]`.
            Defaults to `"glorot_uniform"`.

    Raises:
        ValueError: for a number outside (0, 1), and an initializer that isn't known.
        TypeError: for flags that are no booleans.

    Example:
        ```python
        skip = keras_urnn.Skip(0.02, trainable=True)
        layer = keras_urnn.UnitaryRNN(8, "tanh", skip=skip)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Ceni, 2025](https://doi.org/10.1109/TNNLS.2025.3538924), a fixed orthogonal
          matrix and `β`; here both may be trained
    """

    def __init__(
        self,
        beta: float,
        trainable: bool = False,
        dense: bool = True,
        kernel_initializer: Any = "glorot_uniform",
    ) -> None:
        self.beta = _checked_beta("beta", beta)
        advice = "It is whether `beta` is trained."
        self.trainable = _checks.boolean("trainable", trainable, advice)
        advice = "It is whether the activation sees the state."
        self.dense = _checks.boolean("dense", dense, advice)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def __repr__(self) -> str:
        return f"Skip({self.beta}, trainable={self.trainable}, dense={self.dense})"

    def build(self, cell: Any) -> None:
        """Create the weights of a cell that it needs."""
        cell.skip_logit = cell.skip_kernel = None
        if self.trainable:
            logit = math.log(self.beta) - math.log1p(-self.beta)
            cell.skip_logit = cell.add_weight(
                shape=(),
                name="skip_logit",
                initializer=keras.initializers.Constant(logit),
                autocast=False,
            )
        if self.dense:
            cell.skip_kernel = cell.add_weight(
                shape=(cell.units, cell.width),
                name="skip_kernel",
                initializer=self.kernel_initializer,
            )

    def prepare(self, cell: Any) -> tuple[Tensor, ...]:
        """`β`, and `V` if there is one: what a step needs of the weights."""
        dtype = working_dtype(cell)
        if cell.skip_logit is None:
            beta = ops.convert_to_tensor(self.beta, dtype)
        else:
            beta = ops.sigmoid(ops.cast(cell.skip_logit, dtype))
        if cell.skip_kernel is None:
            return (beta,)
        kernel = ops.convert_to_tensor(cell.skip_kernel)
        return beta, embedding(kernel) if cell.field == "complex" else kernel

    def step(
        self, cell: Any, turned: Tensor, seen: Tensor, z: Tensor, prepared: Any
    ) -> Tensor:
        """The next state, from `h R`, the `h` that `V` takes, and `x K + b`."""
        beta, *kernel = prepared
        if kernel:
            z = z + matmul(seen, kernel[0])
        # Not with `1 - β`: half precision would round it to another time of memory.
        return turned + beta * (cell.activation(z) - turned)

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {
            "beta": self.beta,
            "trainable": self.trainable,
            "dense": self.dense,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new instance."""
        return cls(**config)


def skip_of(identifier: Any) -> Skip | None:
    """The skip of a cell: None, or from a number, an instance or its config."""
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier is None or isinstance(identifier, Skip):
        return identifier
    if not isinstance(identifier, Real) or isinstance(identifier, bool):
        expected = "None, a number in (0, 1) or a `keras_urnn.Skip`"
        advice = "It is the part of the activation in the next state."
        raise _checks.type_error("skip", expected, identifier, advice)
    return Skip(_checked_beta("skip", identifier))


def _checked_beta(argument: str, value: Any) -> float:
    """The part of the activation as a `float`, or raise."""
    if not _checks.is_number(value) or not 0.0 < float(value) < 1.0:
        advice = (
            "It is the part of the activation in the next state: with 0 no input would "
            "enter, and 1 leaves no skip."
        )
        raise _checks.error(argument, "a number in (0, 1)", value, advice)
    return float(value)

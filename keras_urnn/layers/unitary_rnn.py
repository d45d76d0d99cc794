"""The unitary RNN: its cell and its layer."""

from typing import Any

import keras

from keras_urnn._serialization import register
from keras_urnn.constraints import UnitaryProjection
from keras_urnn.layers.arguments import EVERY, OF_CELLS, OF_LAYERS, UNITARY, described
from keras_urnn.layers.cell import StructuredRNNCell
from keras_urnn.layers.layer import StructuredRNN
from keras_urnn.layers.signatures import given


@register
@described(EVERY, UNITARY, OF_CELLS)
class UnitaryRNNCell(StructuredRNNCell):
    """One step of an RNN whose recurrent matrix is orthogonal.

    The recurrence neither grows nor shrinks the state or the gradient through `R`, for
    any number of steps. Choose `ContractiveRNNCell` where the state should forget.
    Under `keras.layers.RNN` it is like `keras.layers.SimpleRNNCell`; `UnitaryRNN` is
    the same as a layer.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    RᵀR = R Rᵀ = I

    in row vectors, `R` being the transpose of the paper's `W`, `K` of its `F`.
    With a `resting_state` `c` it takes `h_{t-1} - c` in place of `h_{t-1}`; a `skip`
    (`keras_urnn.Skip`) takes the state past `φ`.
    Cost: O(units²) a step, and O(units³) once per optimizer step.

    The arguments are described in `keras_urnn/layers/arguments.py`.

    Call arguments:

    - `sequence`: tensor of shape `(batch, features)`.
    - `states`: list of one tensor of shape `(batch, units)`, or two with
      `output_units`.
    - `training`: boolean. Whether to apply dropout.
    - `prepared`: what `prepared()` returns, the recurrent map in the dtype of the step.
      A layer computes it once per sequence; None computes it in the step.

    Raises:
        ValueError: for an argument outside its range, or any `recurrent_constraint`;
            in a call, for data of other shapes than those that the weights are for.
        TypeError: for a parametrization of another type; in a call, for data that are
            no real numbers.

    Example:
        ```python
        layer = keras.layers.RNN(keras_urnn.UnitaryRNNCell(8))
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 2
    """

    recurrent_set = "unitary"

    def __init__(
        self,
        units: int,
        activation: Any = "relu",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        *,
        parametrization: Any = "projection",
        output_units: int | None = None,
        learn_initial_state: bool = False,
        resting_state: Any = None,
        state_scale: Any = None,
        skip: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**given(locals()))

    def recurrent_projection(self, method: str) -> keras.constraints.Constraint:
        return UnitaryProjection(method, self.field)


@register
@described(EVERY, UNITARY, OF_LAYERS)
class UnitaryRNN(StructuredRNN):
    """An RNN whose recurrent matrix is orthogonal.

    `keras.layers.SimpleRNN` with a recurrent kernel that stays orthogonal after every
    optimizer step, so that neither the state nor the gradient through `R` grows or
    shrinks over time: for long sequences. Choose `ContractiveRNN` where the state
    should forget.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    RᵀR = R Rᵀ = I

    in row vectors, `R` being the transpose of the paper's `W`, `K` of its `F`.
    With a `resting_state` `c` it takes `h_{t-1} - c` in place of `h_{t-1}`; a `skip`
    (`keras_urnn.Skip`) takes the state past `φ`.
    Cost: O(units²) a step, and O(units³) once per optimizer step.

    The arguments are described in `keras_urnn/layers/arguments.py`.

    Call arguments:

    - `sequences`: tensor of shape `(batch, time, features)`.
    - `initial_state`: tensor of shape `(batch, units)`, or a list of the states. With
      `output_units` a single tensor of that width will do; the rest starts as it
      would without.
    - `mask`: boolean tensor of shape `(batch, time)`; False skips a step.
    - `training`: boolean. Whether to apply dropout.

    Raises:
        ValueError: for an argument outside its range, or any `recurrent_constraint`;
            in a call, for data of other shapes than those that the weights are for.
        TypeError: for a parametrization of another type; in a call, for data that are
            no real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8, return_sequences=True)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 10, 8)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 2
    """

    cell_class = UnitaryRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "relu",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        *,
        parametrization: Any = "projection",
        output_units: int | None = None,
        learn_initial_state: bool = False,
        resting_state: Any = None,
        state_scale: Any = None,
        skip: Any = None,
        checkpoint_every: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**given(locals()))

"""The contractive RNN: its cell and its layer."""

from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.constraints import ContractiveProjection
from keras_urnn.layers.arguments import (
    CONTRACTIVE,
    EVERY,
    OF_CELLS,
    OF_LAYERS,
    described,
)
from keras_urnn.layers.cell import StructuredRNNCell
from keras_urnn.layers.layer import StructuredRNN, of_cell
from keras_urnn.layers.signatures import given


@register
@described(EVERY, CONTRACTIVE, OF_CELLS)
class ContractiveRNNCell(StructuredRNNCell):
    """One step of an RNN whose recurrent matrix has spectral norm at most `max_norm`.

    Its state forgets: two runs on the same input approach each other at least as fast
    as `max_norm**t`. A ReLU one is exactly equivalent to a unitary RNN of at most twice
    its size, which `keras_urnn.to_unitary` builds. Choose `UnitaryRNNCell` to keep the
    norm of the state instead. Under `keras.layers.RNN` it is like
    `keras.layers.SimpleRNNCell`; `ContractiveRNN` is the same as a layer.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    ‖R‖₂ ≤ max_norm

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
        layer = keras.layers.RNN(keras_urnn.ContractiveRNNCell(8))
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 2
    """

    recurrent_set = "contractive"

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
        max_norm: float = 0.999,
        parametrization: Any = "projection",
        output_units: int | None = None,
        learn_initial_state: bool = False,
        resting_state: Any = None,
        state_scale: Any = None,
        skip: Any = None,
        **kwargs: Any,
    ) -> None:
        arguments = given(locals())
        max_norm = _checks.max_norm(arguments.pop("max_norm"))
        super().__init__(**arguments)
        self.max_norm = max_norm

    def recurrent_projection(self, method: str) -> keras.constraints.Constraint:
        return ContractiveProjection(self.max_norm, method, self.field)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_norm": self.max_norm}


@register
@described(EVERY, CONTRACTIVE, OF_LAYERS)
class ContractiveRNN(StructuredRNN):
    """An RNN whose recurrent matrix has spectral norm at most `max_norm`.

    `keras.layers.SimpleRNN` with a recurrent kernel that stays contractive after every
    optimizer step: gradients through the recurrence never grow, and the state forgets.
    A ReLU one is exactly equivalent to a unitary RNN of at most twice its size
    (`keras_urnn.to_unitary`). Choose `UnitaryRNN` for the longest memory.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    ‖R‖₂ ≤ max_norm

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
        layer = keras_urnn.ContractiveRNN(8, return_sequences=True)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 10, 8)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 2
    """

    cell_class = ContractiveRNNCell
    max_norm = of_cell("max_norm")

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
        max_norm: float = 0.999,
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

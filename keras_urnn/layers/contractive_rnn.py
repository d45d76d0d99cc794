"""The contractive RNN: its cell and its layer."""

from operator import attrgetter
from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.constraints import ContractiveProjection
from keras_urnn.layers.cell import StructuredRNNCell
from keras_urnn.layers.layer import StructuredRNN


@register
class ContractiveRNNCell(StructuredRNNCell):
    """One step of an RNN whose recurrent matrix has spectral norm at most `max_norm`.

    Its state forgets: two runs on the same input approach each other at least as fast
    as `max_norm**t`. A ReLU one is exactly equivalent to a unitary RNN of at most twice
    its size, which `keras_urnn.to_unitary` builds. Choose `UnitaryRNNCell` to keep the
    norm of the state instead. Under `keras.layers.RNN` it is like
    `keras.layers.SimpleRNNCell`; `ContractiveRNN` is the same as a layer.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    ‖R‖₂ ≤ max_norm

    in row vectors, `R` being the transpose of the paper's `W`, `K` of its `F`.
    With a `resting_state` `c` it takes `h_{t-1} - c` in place of `h_{t-1}`.
    Cost: O(units²) a step, and O(units³) once per optimizer step.

    Args:
        units: positive integer, at most 65,536. The number of states, and of outputs.
        activation: string, callable or None. Any Keras activation, or None for the
            identity. `"relu"` is what `keras_urnn.to_unitary` converts. Defaults to
            `"relu"`.
        use_bias: boolean. Whether the step has a bias. Defaults to `True`.
        kernel_initializer: initializer of the input kernel `K`. Defaults to
            `"glorot_uniform"`.
        recurrent_initializer: initializer of the recurrent matrix. What it gives is
            projected; `"orthogonal"` draws from the Haar measure. Defaults to
            `"orthogonal"`.
        bias_initializer: initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: regularizer of the input kernel. Defaults to `None`.
        recurrent_regularizer: regularizer of the recurrent kernel. Defaults to `None`.
        bias_regularizer: regularizer of the bias. Defaults to `None`.
        kernel_constraint: constraint of the input kernel. Defaults to `None`.
        recurrent_constraint: must be None; it is here for the order of the arguments.
            Defaults to `None`.
        bias_constraint: constraint of the bias. Defaults to `None`.
        dropout: number in [0, 1). The fraction of the inputs to drop in training.
            Defaults to `0.0`.
        recurrent_dropout: number in [0, 1). The fraction of the states to drop in
            training, the same at each step; one that is dropped counts as at rest.
            Defaults to `0.0`.
        seed: integer or None. Seeds the dropout masks. Defaults to `None`.
        max_norm: number in (0, 1]. The largest spectral norm of the recurrent matrix.
            Below 1 the step is a contraction. Defaults to `0.999`.
        parametrization: string or `keras_urnn.parametrizations.Parametrization`. How
            the recurrent matrix is kept contractive. Defaults to `"projection"`.
        output_units: integer or None. Output only the first so many states, and hold
            the state as two tensors of widths `[output_units, units - output_units]`.
            Converted layers use it. Defaults to `None`.
        learn_initial_state: boolean. Whether to train the state to start from (at first
            `resting_state`). Defaults to `False`.
        resting_state: sequence of `units` numbers, or None. The state to start from, or
            to learn from, and the centre of the step: with `c` it is
            `h_t = φ(x_t @ K + b + (h_{t-1} - c) @ R)`, so that a state at `c` sends
            nothing to the others. Zero if None. Converted layers use it. Defaults to
            `None`.
        state_scale: sequence of `units` positive numbers, or None. With a scale `d`
            the step is `h_t = φ((x_t @ K + b)∘d + ((h_{t-1} - c)∘d) @ R) / d`: for
            ReLU the same as a step with `diag(d) @ R @ diag(1/d)`, which may be
            expansive. Converted layers use it. Defaults to `None`.
        **kwargs: `name`, `dtype` and `trainable`, as for every Keras layer.

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
        **kwargs: Any,
    ) -> None:
        max_norm = _checks.max_norm(max_norm)
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            parametrization=parametrization,
            output_units=output_units,
            learn_initial_state=learn_initial_state,
            resting_state=resting_state,
            state_scale=state_scale,
            **kwargs,
        )
        self.max_norm = max_norm

    def recurrent_projection(self, method: str) -> keras.constraints.Constraint:
        return ContractiveProjection(self.max_norm, method)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_norm": self.max_norm}


@register
class ContractiveRNN(StructuredRNN):
    """An RNN whose recurrent matrix has spectral norm at most `max_norm`.

    `keras.layers.SimpleRNN` with a recurrent kernel that stays contractive after every
    optimizer step: gradients through the recurrence never grow, and the state forgets.
    A ReLU one is exactly equivalent to a unitary RNN of at most twice its size
    (`keras_urnn.to_unitary`). Choose `UnitaryRNN` for the longest memory.

        h_t = φ(h_{t-1} @ R + x_t @ K + b),    ‖R‖₂ ≤ max_norm

    in row vectors, `R` being the transpose of the paper's `W`, `K` of its `F`.
    With a `resting_state` `c` it takes `h_{t-1} - c` in place of `h_{t-1}`.
    Cost: O(units²) a step, and O(units³) once per optimizer step.

    Args:
        units: positive integer, at most 65,536. The number of states, and of outputs.
        activation: string, callable or None. Any Keras activation, or None for the
            identity. `"relu"` is what `keras_urnn.to_unitary` converts. Defaults to
            `"relu"`.
        use_bias: boolean. Whether the step has a bias. Defaults to `True`.
        kernel_initializer: initializer of the input kernel `K`. Defaults to
            `"glorot_uniform"`.
        recurrent_initializer: initializer of the recurrent matrix. What it gives is
            projected; `"orthogonal"` draws from the Haar measure. Defaults to
            `"orthogonal"`.
        bias_initializer: initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: regularizer of the input kernel. Defaults to `None`.
        recurrent_regularizer: regularizer of the recurrent kernel. Defaults to `None`.
        bias_regularizer: regularizer of the bias. Defaults to `None`.
        activity_regularizer: regularizer of the outputs. Defaults to `None`.
        kernel_constraint: constraint of the input kernel. Defaults to `None`.
        recurrent_constraint: must be None; it is here for the order of the arguments.
            Defaults to `None`.
        bias_constraint: constraint of the bias. Defaults to `None`.
        dropout: number in [0, 1). The fraction of the inputs to drop in training.
            Defaults to `0.0`.
        recurrent_dropout: number in [0, 1). The fraction of the states to drop in
            training, the same at each step; one that is dropped counts as at rest.
            Defaults to `0.0`.
        return_sequences: boolean. Whether to return the outputs of all steps, or the
            last. Defaults to `False`.
        return_state: boolean. Whether to return the last state too; with
            `output_units`, which splits it, two tensors. Defaults to `False`.
        go_backwards: boolean. Whether to run from the last step to the first. Defaults
            to `False`.
        stateful: boolean. Whether each batch starts where the last one ended; needs a
            fixed batch size. Defaults to `False`.
        unroll: boolean. Whether to unroll the loop: faster for very short sequences.
            Defaults to `False`.
        seed: integer or None. Seeds the dropout masks. Defaults to `None`.
        max_norm: number in (0, 1]. The largest spectral norm of the recurrent matrix.
            Below 1 the step is a contraction. Defaults to `0.999`.
        parametrization: string or `keras_urnn.parametrizations.Parametrization`. How
            the recurrent matrix is kept contractive. Defaults to `"projection"`.
        output_units: integer or None. Output only the first so many states, and hold
            the state as two tensors of widths `[output_units, units - output_units]`.
            Converted layers use it. Defaults to `None`.
        learn_initial_state: boolean. Whether to train the state to start from (at first
            `resting_state`). With `stateful=True` it is not trained, as the state
            carried over takes its place; `reset_state` takes it up, also after loading
            weights. Defaults to `False`.
        resting_state: sequence of `units` numbers, or None. The state to start from, or
            to learn from, and the centre of the step: with `c` it is
            `h_t = φ(x_t @ K + b + (h_{t-1} - c) @ R)`, so that a state at `c` sends
            nothing to the others. Zero if None. Converted layers use it. Defaults to
            `None`.
        state_scale: sequence of `units` positive numbers, or None. With a scale `d`
            the step is `h_t = φ((x_t @ K + b)∘d + ((h_{t-1} - c)∘d) @ R) / d`: for
            ReLU the same as a step with `diag(d) @ R @ diag(1/d)`, which may be
            expansive. Converted layers use it. Defaults to `None`.
        checkpoint_every: integer or None. Keep every so many-th state for the backward
            pass, and compute the others once more: less memory for long sequences,
            for some more time. Defaults to `None`, which keeps all.
        **kwargs: `zero_output_for_mask`, `name`, `dtype` and `trainable`, as for
            `keras.layers.SimpleRNN`.

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

    max_norm = property(attrgetter("cell.max_norm"))

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
        checkpoint_every: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = ContractiveRNNCell(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            max_norm=max_norm,
            parametrization=parametrization,
            output_units=output_units,
            learn_initial_state=learn_initial_state,
            resting_state=resting_state,
            state_scale=state_scale,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="contractive_rnn_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            checkpoint_every=checkpoint_every,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )

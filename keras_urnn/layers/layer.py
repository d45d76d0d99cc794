"""What the unitary and the contractive layer share: `keras.layers.RNN` over a cell."""

from operator import attrgetter
from typing import Any, ClassVar, Self

import keras

from keras_urnn import _checks
from keras_urnn.layers import fusing, plain_loop, shapes, warm_start
from keras_urnn.layers.cell import StructuredRNNCell
from keras_urnn.layers.initial_state import completed_start
from keras_urnn.layers.masked_outputs import shown_outputs
from keras_urnn.layers.signatures import argument_names
from keras_urnn.linalg import Tensor

_FLAGS = {
    "return_sequences": "It is whether to return all outputs, or the last.",
    "return_state": "It is whether to return the last state, too.",
    "go_backwards": "It is whether to run from the last step to the first.",
    "stateful": "It is whether a batch starts where the one before it ended.",
    "unroll": "It is whether to write the loop out.",
    "zero_output_for_mask": "It is whether a masked step outputs zeros.",
}


def of_cell(name: str) -> property:
    """An attribute of a layer that is its cell's."""
    return property(attrgetter(f"cell.{name}"), doc=f"The `{name}` of the cell.")


class StructuredRNN(keras.layers.RNN):
    """A `keras.layers.RNN` over one of this library's cells, with a flat config.

    Abstract: `UnitaryRNN` and `ContractiveRNN` name the class of the cell, which gets
    the arguments that its signature names. Beyond `RNN` it restores the cell's own
    initial state in `reset_state`, and takes the one `initial_state` that a `SimpleRNN`
    of `output_units` would take.
    """

    cell_class: ClassVar[type[StructuredRNNCell]]

    units = of_cell("units")
    activation = of_cell("activation")
    use_bias = of_cell("use_bias")
    kernel_initializer = of_cell("kernel_initializer")
    recurrent_initializer = of_cell("recurrent_initializer")
    bias_initializer = of_cell("bias_initializer")
    kernel_regularizer = of_cell("kernel_regularizer")
    recurrent_regularizer = of_cell("recurrent_regularizer")
    bias_regularizer = of_cell("bias_regularizer")
    kernel_constraint = of_cell("kernel_constraint")
    recurrent_constraint = of_cell("recurrent_constraint")
    bias_constraint = of_cell("bias_constraint")
    dropout = of_cell("dropout")
    recurrent_dropout = of_cell("recurrent_dropout")
    parametrization = of_cell("parametrization")
    output_units = of_cell("output_units")
    learn_initial_state = of_cell("learn_initial_state")
    resting_state = of_cell("resting_state")
    state_scale = of_cell("state_scale")
    skip = of_cell("skip")

    def __init__(
        self, *, activity_regularizer: Any, checkpoint_every: int | None, **kwargs: Any
    ) -> None:
        own = {name: kwargs.pop(name) for name in argument_names(self.cell_class)}
        cell = self.cell_class(
            **own,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name=f"{self.cell_class.recurrent_set}_rnn_cell",
        )
        for name, advice in _FLAGS.items():
            kwargs[name] = _checks.boolean(name, kwargs.get(name, False), advice)
        super().__init__(cell, **kwargs)
        self.activity_regularizer = keras.regularizers.get(activity_regularizer)
        self.input_spec = [keras.layers.InputSpec(ndim=3)]
        self.checkpoint_every = _check_checkpoint(checkpoint_every, self)

    @property
    def uses_fused_recurrence(self) -> bool:
        """Whether all steps are one operation with a gradient of its own.

        `plain_recurrence_reason` says why where they are not. The numbers are the same
        to rounding.
        """
        return self.plain_recurrence_reason is None

    @property
    def plain_recurrence_reason(self) -> str | None:
        """Why the layer runs Keras' own loop over its cell; None where it doesn't."""
        return fusing.obstacle(self)

    def recurrent_matrix(self) -> Tensor:
        """The matrix `R` of the step, of shape `(width, width)`."""
        return self.cell.recurrent_matrix()

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        features = shapes.check_build(sequences_shape, 3, self.name)
        super().build(sequences_shape, initial_state_shape)
        if self.cell.kernel.shape[0] != features:
            raise ValueError(
                f"'{self.name}' must be built once, for one number of features. "
                f"Received: {features}, after {self.cell.kernel.shape[0]}. Make "
                "another layer for other data."
            )
        # So that a model that is being put together is refused, too.
        self.input_spec = [keras.layers.InputSpec(ndim=3, axes={-1: features})]

    def build_from_config(self, config: dict[str, Any]) -> None:
        names = ("sequences_shape", "initial_state_shape")
        shapes.check_build_config(config, names, self.name)
        super().build_from_config(config)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        shapes.check_training(training)
        sequences = shapes.fitted_sequences(self, sequences)
        if mask is not None:
            mask = shapes.fitted_mask(self, mask, sequences)
        if initial_state is not None:
            initial_state = completed_start(self, initial_state, sequences)
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: Any,
        mask: Tensor | None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Any]:
        if training:
            self.cell.parametrization.before_training_step()
        runs = fusing if self.uses_fused_recurrence else plain_loop
        last, outputs, states = runs.inner_loop(
            self, sequences, initial_state, mask, training
        )
        if mask is not None:
            last, outputs = shown_outputs(self, mask, last, outputs)
        return last, outputs, states

    def reset_state(self) -> None:
        """Put a stateful layer back at its initial state: zeros, given or learned."""
        if self.states is None:
            return
        batch_size = self.states[0].shape[0]
        for state, rest in zip(
            self.states, self.get_initial_state(batch_size), strict=True
        ):
            state.assign(rest)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        cell = self.cell.get_config()
        config |= {name: cell[name] for name in argument_names(self.cell_class)}
        config["checkpoint_every"] = self.checkpoint_every
        config["activity_regularizer"] = keras.regularizers.serialize(
            self.activity_regularizer
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    @classmethod
    def from_simple_rnn(cls, layer: keras.layers.SimpleRNN, **arguments: Any) -> Self:
        """A layer of this class with the weights of a `SimpleRNN`: a warm start.

        The recurrent kernel is projected to the nearest matrix on the set at once, and
        a warning says how far it was moved if it was; the other weights are kept. A
        `recurrent_constraint` of `layer` is replaced by the projection.

        Args:
            layer: built `keras.layers.SimpleRNN`. It is left as it is.
            **arguments: arguments of this class that should differ from `layer`'s.

        Returns:
            A built layer of this class.

        Raises:
            TypeError: when `layer` is something else.
            ValueError: when it is not built, its weights are not finite, or its bias
                would be dropped.
        """
        return warm_start.from_simple_rnn(cls, layer, arguments)


def _check_checkpoint(value: Any, layer: StructuredRNN) -> int | None:
    if value is None:
        return None
    advice = (
        "Every so many states one is kept for the backward pass, and the others are "
        "computed again; leave it at None to keep all."
    )
    every = _checks.positive_integer("checkpoint_every", value, advice)
    reason = fusing.obstacle(layer)
    if reason is not None:
        raise _checks.error(
            "checkpoint_every", f"None where {reason}", value, "Keras' loop keeps all."
        )
    return every

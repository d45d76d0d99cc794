"""What the unitary and the contractive layer share: `keras.layers.RNN` over a cell."""

import warnings
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks
from keras_urnn.layers import fusing, shapes
from keras_urnn.layers.cell import CELL_ARGUMENTS, StructuredRNNCell
from keras_urnn.linalg import Tensor

_FLAGS = {
    "return_sequences": "It is whether to return all outputs, or the last.",
    "return_state": "It is whether to return the last state, too.",
    "go_backwards": "It is whether to run from the last step to the first.",
    "stateful": "It is whether a batch starts where the one before it ended.",
    "unroll": "It is whether to write the loop out.",
    "zero_output_for_mask": "It is whether a masked step outputs zeros.",
}


class StructuredRNN(keras.layers.RNN):
    """A `keras.layers.RNN` over one of this library's cells, with a flat config.

    Abstract: `UnitaryRNN` and `ContractiveRNN` make the cell. Beyond `RNN` it restores
    the cell's own initial state in `reset_state`, and takes the one `initial_state`
    that a `SimpleRNN` of `output_units` would take.
    """

    units = property(attrgetter("cell.units"))
    activation = property(attrgetter("cell.activation"))
    use_bias = property(attrgetter("cell.use_bias"))
    kernel_initializer = property(attrgetter("cell.kernel_initializer"))
    recurrent_initializer = property(attrgetter("cell.recurrent_initializer"))
    bias_initializer = property(attrgetter("cell.bias_initializer"))
    kernel_regularizer = property(attrgetter("cell.kernel_regularizer"))
    recurrent_regularizer = property(attrgetter("cell.recurrent_regularizer"))
    bias_regularizer = property(attrgetter("cell.bias_regularizer"))
    kernel_constraint = property(attrgetter("cell.kernel_constraint"))
    recurrent_constraint = property(attrgetter("cell.recurrent_constraint"))
    bias_constraint = property(attrgetter("cell.bias_constraint"))
    dropout = property(attrgetter("cell.dropout"))
    recurrent_dropout = property(attrgetter("cell.recurrent_dropout"))
    parametrization = property(attrgetter("cell.parametrization"))
    output_units = property(attrgetter("cell.output_units"))
    learn_initial_state = property(attrgetter("cell.learn_initial_state"))
    resting_state = property(attrgetter("cell.resting_state"))
    state_scale = property(attrgetter("cell.state_scale"))

    def __init__(
        self,
        cell: StructuredRNNCell,
        checkpoint_every: int | None = None,
        **kwargs: Any,
    ) -> None:
        activity_regularizer = kwargs.pop("activity_regularizer", None)
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
            initial_state = self._fill(initial_state, sequences)
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
        loop = fusing.inner_loop if self.uses_fused_recurrence else _plain_loop
        found = loop(self, sequences, initial_state, mask, training)
        last, outputs, states = found
        if mask is None:
            return last, outputs, states
        # Backends differ in what a masked step outputs: JAX the state before the
        # first real step, where there is no output to repeat, and the last output
        # in spite of `zero_output_for_mask` when unrolled.
        shown = ops.flip(mask, axis=1) if self.go_backwards else mask
        if not self.zero_output_for_mask:
            shown = ops.cumsum(ops.cast(shown, "int32"), axis=1) > 0
        if self.return_sequences:
            outputs = ops.where(shown[..., None], outputs, 0.0)
        return ops.where(shown[:, -1:], last, 0.0), outputs, states

    def _fill(self, initial_state: Any, sequences: Tensor) -> list[Tensor]:
        """Complete a single state of width `output_units` by the rest of the start."""
        several = isinstance(initial_state, (list, tuple))
        states = initial_state if several else [initial_state]
        given = shapes.fitted_states(self, states, sequences)
        widths = [state.shape[-1] for state in given]
        if self.output_units is not None and widths == [self.output_units]:
            _, rest = self.get_initial_state(ops.shape(given[0])[0])
            return [given[0], ops.cast(rest, given[0].dtype)]
        if widths != self.state_size:
            or_first = ", or the first of them" if self.output_units else ""
            raise ValueError(
                f"`initial_state` of '{self.name}' must hold states of widths "
                f"{self.state_size}{or_first}. Received: widths {widths}. The last "
                "axis of a state is its width."
            )
        return given

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
        config |= {name: cell[name] for name in CELL_ARGUMENTS if name in cell}
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
        if not isinstance(layer, keras.layers.SimpleRNN):
            raise TypeError(
                "`layer` must be a `keras.layers.SimpleRNN`. Received: "
                f"layer={layer!r}. Other layers have other weights."
            )
        if not layer.built:
            raise ValueError(
                f"`layer` must be built. Received: {layer.name!r} without weights. "
                "Call it on data, or `build` it with an input shape."
            )
        config = layer.get_config()
        config |= {"seed": layer.cell.seed, "recurrent_constraint": None, **arguments}
        _check_warm_start(layer, config)
        new = cls(**config)
        batch_size = layer.states[0].shape[0] if layer.stateful else None
        new.build((batch_size, None, layer.cell.kernel.shape[0]))
        new.cell.kernel.assign(layer.cell.kernel)
        if layer.cell.bias is not None:
            new.cell.bias.assign(layer.cell.bias)
        kernel = ops.convert_to_numpy(layer.cell.recurrent_kernel)
        moved = new.cell.parametrization.initialize(kernel)
        if moved > 0.0:
            warnings.warn(
                f"{new.name}: the recurrent kernel was moved by {moved:.3g} in the "
                f"Frobenius norm (its own is {np.linalg.norm(kernel):.3g}), to the "
                "nearest matrix on the set; the outputs differ from the original's "
                "until trained further.",
                stacklevel=2,
            )
        return new


def _plain_loop(
    layer: Any, sequences: Tensor, initial_state: Any, mask: Any, training: bool
) -> tuple[Tensor, Tensor, Any]:
    """Keras' loop over the cell, whose recurrent map is computed once before it."""
    if not fusing.has_own_step(layer.cell):
        # Keras passes `training` only to cells that are layers.
        step = partial(layer.cell, prepared=layer.cell.prepared(), training=training)
        layer = _WithStep(layer, step)
    return keras.layers.RNN.inner_loop(
        layer, sequences, initial_state, mask, training=training
    )


class _WithStep:
    """A layer as Keras' loop sees it, with another function as its cell."""

    def __init__(self, layer: StructuredRNN, step: Callable[..., Any]) -> None:
        self._layer = layer
        self.cell = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


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


def _check_warm_start(layer: keras.layers.SimpleRNN, config: dict[str, Any]) -> None:
    if layer.cell.bias is not None and not config["use_bias"]:
        advice = "Leaving a trained bias out changes the function."
        raise _checks.error(
            "use_bias", "True, as in `layer`", config["use_bias"], advice
        )
    if config["units"] != layer.units:
        advice = "The weights are those of so many states."
        expected = f"{layer.units}, as in `layer`"
        raise _checks.error("units", expected, config["units"], advice)
    if not all(np.all(np.isfinite(weight)) for weight in layer.cell.get_weights()):
        advice = "Its training has diverged; start from an earlier state of it."
        raise _checks.error("layer", "of finite weights", layer.name, advice)

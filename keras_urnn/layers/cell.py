"""The step that the unitary and the contractive cell share."""

from typing import Any, ClassVar

import keras
from keras import ops

from keras_urnn import parametrizations
from keras_urnn._backend import matmul
from keras_urnn.activations import cells as activations
from keras_urnn.activations.base import CellActivation
from keras_urnn.layers import cell_checks, shapes
from keras_urnn.layers.complex_inputs import is_complex, real_product, twice
from keras_urnn.layers.signatures import argument_names
from keras_urnn.layers.skip import skip_of
from keras_urnn.linalg import Tensor


class StructuredRNNCell(keras.layers.SimpleRNNCell):
    """A `SimpleRNNCell` whose recurrent matrix comes from a parametrization.

    Abstract: `UnitaryRNNCell` and `ContractiveRNNCell` say which set the matrix is on.
    It subclasses `SimpleRNNCell` for Keras' dropout masks, and replaces the rest.
    """

    recurrent_set: ClassVar[str]

    def __init__(
        self,
        units: int,
        *,
        parametrization: Any,
        output_units: int | None,
        learn_initial_state: bool,
        resting_state: Any,
        state_scale: Any,
        skip: Any,
        **kwargs: Any,
    ) -> None:
        units = cell_checks.units(units)
        activation = kwargs.pop("activation")
        kwargs = cell_checks.of_simple_rnn(kwargs, type(self))
        super().__init__(units, **kwargs)
        cell_checks.check_policy(self.dtype_policy, kwargs.get("dtype"))
        self.parametrization = parametrizations.get(parametrization)
        cell_checks.check_held(self.parametrization, type(self))
        # It needs the field and the dtype, and Keras knows none of ours by name.
        self.activation = activations.of_cell(
            activation, self.field, units, self.dtype_policy
        )
        self.output_units = cell_checks.output_units(output_units, self.width)
        self.learn_initial_state = cell_checks.learn_initial_state(learn_initial_state)
        self.resting_state = cell_checks.resting_state(resting_state, self.width)
        self.state_scale = cell_checks.state_scale(state_scale, self.width)
        self.skip = skip_of(skip)
        cell_checks.check_skip(self)
        m = self.output_units
        # Two states with `output_units`, so that the output is `states[0]`: Keras on
        # JAX takes `states[0]` for the previous output at a masked step.
        self.state_size: Any = self.width if m is None else [m, self.width - m]
        self.output_size = self.width if m is None else m

    @property
    def field(self) -> str:
        """The numbers that the state consists of: `"real"` or `"complex"`."""
        return self.parametrization.field

    @property
    def width(self) -> int:
        """The number of real entries of the state: two for a complex number.

        A complex state is the row `[Re | Im]`.
        """
        return int(self.units) * (2 if self.field == "complex" else 1)

    def recurrent_projection(self, method: str) -> keras.constraints.Constraint:
        """The constraint whose set the recurrent matrix must be on."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        features = shapes.check_build(input_shape, 2, self.name)
        self.kernel = self.add_weight(
            shape=(features, self.width),
            name="kernel",
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.parametrization.build(self)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.width,),
                name="bias",
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        if self.skip is not None:
            self.skip.build(self)
        self.learned_initial_state = None
        if self.learn_initial_state:
            self.learned_initial_state = self.add_weight(
                shape=(self.width,),
                name="initial_state",
                initializer=keras.initializers.Constant(self._resting()),
            )
        if isinstance(self.activation, CellActivation):
            self.activation.build((None, self.width))

    def build_from_config(self, config: dict[str, Any]) -> None:
        shapes.check_build_config(config, ("input_shape",), self.name)
        super().build_from_config(config)

    def prepared(self) -> Any:
        """What a step needs of the recurrent map, in the dtype of the step.

        With a skip it is a pair, of that and of what the skip needs. A layer computes
        it once per sequence, and passes it to the step.
        """
        tensors = self.parametrization.prepare()
        if self.skip is not None:
            tensors = (tensors, self.skip.prepare(self))
        return keras.tree.map_structure(
            lambda tensor: ops.cast(tensor, self.compute_dtype), tensors
        )

    def call(
        self,
        sequence: Tensor,
        states: Any,
        training: bool = False,
        prepared: Any = None,
    ) -> tuple[Tensor, Any]:
        shapes.check_step(self, sequence, states)
        shapes.check_training(training)
        h = self.join_states(states)
        sequence, kernel = real_product(sequence, ops.convert_to_tensor(self.kernel))
        input_mask = self.get_dropout_mask(sequence)
        state_mask = self.get_recurrent_dropout_mask(h)
        if training and input_mask is not None:
            sequence = sequence * input_mask
        # h_t = φ(x_t K + b + (h_{t-1} - c) R), or with a scale d
        # h_t = φ((x_t K + b)∘d + ((h_{t-1} - c)∘d) R) / d
        # or with a skip h_t = (1-β) h_{t-1} R + β φ(h_{t-1} V + x_t K + b)
        if self.resting_state is not None:
            h = h - ops.convert_to_tensor(self.resting_state, self.compute_dtype)
        whole = h
        if training and state_mask is not None:
            h = h * state_mask
        x = ops.cast(sequence, self.compute_dtype)
        z = matmul(x, kernel)
        if self.bias is not None:
            z = ops.add(z, self.bias)
        if self.state_scale is not None:
            d = ops.convert_to_tensor(self.state_scale, dtype=self.compute_dtype)
            z, h = z * d, h * d
        prepared = self.prepared() if prepared is None else prepared
        if self.skip is None:
            z = z + self.parametrization.apply(h, prepared)
            h = z if self.activation is None else self.activation(z)
        else:
            turned = self.parametrization.apply(whole, prepared[0])
            h = self.skip.step(self, turned, h, z, prepared[1])
        if self.state_scale is not None:
            h = h / d

        new_states = self.split_state(h)
        if not isinstance(states, (list, tuple)):
            return new_states[0], h
        return new_states[0], new_states

    def recurrent_matrix(self) -> Tensor:
        """The matrix `R` of the step, of shape `(width, width)`.

        Raises:
            ValueError: before the cell is built.
        """
        if not self.built:
            raise ValueError(
                f"`{self.name}` must be built to have a recurrent matrix. Received: "
                "built=False. Call it on data, or `build` it with an input shape."
            )
        return self.parametrization.matrix()

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        """The states at rest: zeros, what was given or learned. A list of tensors."""
        shapes.check_batch_size(batch_size, self.name)
        state = ops.convert_to_tensor(self._resting(), dtype=self.compute_dtype)
        if self.learn_initial_state:
            if not self.built:
                raise ValueError(
                    f"`{self.name}` must be built to have a learned initial state. "
                    "Received: built=False. Call it on data, or `build` it first."
                )
            state = ops.cast(self.learned_initial_state, self.compute_dtype)
        return self.split_state(
            ops.zeros((batch_size, self.width), state.dtype) + state
        )

    def _resting(self) -> list[float]:
        return self.resting_state or [0.0] * self.width

    def get_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        # Keras asks for it with the inputs, the step with `[Re | Im]` of complex ones.
        # Both parts of a number are dropped, or neither.
        if is_complex(step_input):
            return super().get_dropout_mask(ops.real(step_input))
        features = self.kernel.shape[0]
        if step_input.shape[-1] == features:
            return super().get_dropout_mask(step_input)
        mask = super().get_dropout_mask(step_input[..., :features])
        return None if mask is None else twice(mask)

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        # Keras asks for it with the first state, which `output_units` narrows; the
        # mask has to cover both, and both parts of a complex number alike.
        if step_input.shape[-1] != self.units:
            full = (ops.shape(step_input)[0], self.units)
            step_input = ops.ones(full, dtype=step_input.dtype)
        mask = super().get_recurrent_dropout_mask(step_input)
        both_parts = mask is not None and self.field == "complex"
        return twice(mask) if both_parts else mask

    def join_states(self, states: Any) -> Tensor:
        """One tensor of shape `(batch, width)` from the states of the cell."""
        if not isinstance(states, (list, tuple)):
            return states
        return states[0] if len(states) == 1 else ops.concatenate(states, axis=-1)

    def split_state(self, h: Tensor) -> list[Tensor]:
        """The states of the cell from one tensor of shape `(..., width)`."""
        m = self.output_units
        return [h] if m is None else [h[..., :m], h[..., m:]]

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in argument_names(StructuredRNNCell)}
        return {**super().get_config(), **keras.saving.serialize_keras_object(own)}

"""The step that the unitary and the contractive cell share."""

from typing import Any, ClassVar, Final

import keras
from keras import ops

from keras_urnn import _checks, parametrizations
from keras_urnn._backend import matmul
from keras_urnn.layers import shapes
from keras_urnn.linalg import Tensor

# A recurrent matrix of more takes over 17 GB in float32, and a decomposition days.
MOST_UNITS: Final = 2**16

# The arguments of the cells' `__init__` that their layers pass on.
CELL_ARGUMENTS: Final = (
    "units",
    "activation",
    "use_bias",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
    "dropout",
    "recurrent_dropout",
    "seed",
    "max_norm",
    "parametrization",
    "output_units",
    "learn_initial_state",
    "resting_state",
    "state_scale",
)


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
        **kwargs: Any,
    ) -> None:
        units = _checks.positive_integer(
            "units", units, "It is the number of states.", MOST_UNITS
        )
        for name in ("dropout", "recurrent_dropout"):
            kwargs[name] = _checks.rate(name, kwargs[name])
        advice = "It is whether the step has a bias."
        kwargs["use_bias"] = _checks.boolean("use_bias", kwargs["use_bias"], advice)
        _refuse_constraint(kwargs["recurrent_constraint"], type(self).__name__)
        _check_seed(kwargs["seed"])
        super().__init__(units, **kwargs)
        _check_policy(self.dtype_policy, kwargs.get("dtype"))
        self.parametrization = parametrizations.get(parametrization)
        check_held(self.parametrization, type(self))
        self.output_units = _check_output_units(output_units, self.width)
        advice = "It is whether the state to start from is a weight."
        self.learn_initial_state = _checks.boolean(
            "learn_initial_state", learn_initial_state, advice
        )
        self.resting_state = _check_resting_state(resting_state, self.width)
        self.state_scale = _check_state_scale(state_scale, self.width)
        if self.output_units is not None:
            # Two states, so that the output is `states[0]`: Keras on JAX takes
            # `states[0]` for the previous output at a masked step.
            self.state_size = [self.output_units, self.width - self.output_units]
            self.output_size = self.output_units

    @property
    def field(self) -> str:
        """The numbers that the state consists of: `"real"`."""
        return self.parametrization.field

    @property
    def width(self) -> int:
        """The number of real entries of the state: two for a complex number."""
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
        self.learned_initial_state = None
        if self.learn_initial_state:
            self.learned_initial_state = self.add_weight(
                shape=(self.width,),
                name="initial_state",
                initializer=keras.initializers.Constant(self._resting()),
            )

    def build_from_config(self, config: dict[str, Any]) -> None:
        shapes.check_build_config(config, ("input_shape",), self.name)
        super().build_from_config(config)

    def prepared(self) -> Any:
        """What a step needs of the recurrent map, in the dtype of the step.

        A layer computes it once per sequence, and passes it to the step.
        """
        return keras.tree.map_structure(
            lambda tensor: ops.cast(tensor, self.compute_dtype),
            self.parametrization.prepare(),
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
        input_mask = self.get_dropout_mask(sequence)
        state_mask = self.get_recurrent_dropout_mask(h)
        if training and input_mask is not None:
            sequence = sequence * input_mask
        # h_t = φ(x_t K + b + (h_{t-1} - c) R), or with a scale d
        # h_t = φ((x_t K + b)∘d + ((h_{t-1} - c)∘d) R) / d
        if self.resting_state is not None:
            h = h - ops.convert_to_tensor(self.resting_state, self.compute_dtype)
        if training and state_mask is not None:
            h = h * state_mask
        x = ops.cast(sequence, self.compute_dtype)
        z = matmul(x, ops.convert_to_tensor(self.kernel))
        if self.bias is not None:
            z = ops.add(z, self.bias)
        if self.state_scale is not None:
            d = ops.convert_to_tensor(self.state_scale, dtype=self.compute_dtype)
            z, h = z * d, h * d
        prepared = self.prepared() if prepared is None else prepared
        z = z + self.parametrization.apply(h, prepared)
        h = z if self.activation is None else self.activation(z)
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

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        # Keras asks for it with the first state, which `output_units` narrows; the
        # mask has to cover both.
        if step_input.shape[-1] != self.width:
            full = (ops.shape(step_input)[0], self.width)
            step_input = ops.ones(full, dtype=step_input.dtype)
        return super().get_recurrent_dropout_mask(step_input)

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
        return {
            **super().get_config(),
            "parametrization": keras.saving.serialize_keras_object(
                self.parametrization
            ),
            "output_units": self.output_units,
            "learn_initial_state": self.learn_initial_state,
            "resting_state": self.resting_state,
            "state_scale": self.state_scale,
        }


def _check_seed(seed: Any) -> None:
    """Refuse what is no seed on each backend: JAX has none below 0."""
    if _checks.is_integer(seed) and not 0 <= seed < 2**31:
        expected, advice = "an integer in [0, 2**31)", "It seeds the masks of dropout."
        raise _checks.error("seed", expected, seed, advice)


def _check_policy(policy: Any, dtype: Any) -> None:
    """Refuse a `dtype` that Keras has made no policy of, and would fail on later."""
    kinds = (keras.dtype_policies.DTypePolicy, keras.dtype_policies.DTypePolicyMap)
    if not isinstance(policy, kinds):
        advice = 'Pass a name, "float32" or "mixed_bfloat16" say, or a policy.'
        raise _checks.error("dtype", "a dtype or a dtype policy", dtype, advice)


def check_held(parametrization: Any, cell: type[StructuredRNNCell]) -> None:
    """Refuse a parametrization that can't keep the matrix on the set of a cell."""
    name, kind = type(parametrization).__name__, cell.__name__
    if cell.recurrent_set not in parametrization.sets:
        expected = f"one that holds {cell.recurrent_set} matrices, as {kind} does"
        found = f"{name}, which holds {' and '.join(parametrization.sets)} ones"
        advice = 'Choose "projection", or another cell.'
        raise _checks.error("parametrization", expected, found, advice)
    if parametrization.field != "real":
        expected, found = "of real numbers", f"{name} of {parametrization.field} ones"
        advice = f"{kind} has no complex states yet."
        raise _checks.error("parametrization", expected, found, advice)


def _refuse_constraint(recurrent_constraint: Any, cell: str) -> None:
    if recurrent_constraint is not None:
        advice = (
            f"It would replace the projection that makes a `{cell}` what it is. Leave "
            "it out; choose the set by the class and how it is kept by "
            "`parametrization`."
        )
        raise _checks.error(
            "recurrent_constraint", "None", recurrent_constraint, advice
        )


def _check_output_units(output_units: int | None, width: int) -> int | None:
    if output_units is None:
        return None
    if not _checks.is_integer(output_units) or not 1 <= output_units < width:
        advice = (
            f"The first `output_units` of the {width} states are the output; leave it "
            "at None to output all of them."
        )
        expected = f"None or an integer in [1, {width - 1}]"
        raise _checks.error("output_units", expected, output_units, advice)
    return int(output_units)


def _check_resting_state(value: Any, width: int) -> list[float] | None:
    if value is None:
        return None
    advice = (
        "It is the state to start from, and the centre of the step; leave it at None "
        "for zero."
    )
    return _checks.numbers("resting_state", value, width, advice)


def _check_state_scale(value: Any, width: int) -> list[float] | None:
    if value is None:
        return None
    advice = "It is the positive number that each state is multiplied by in the step."
    scale = _checks.numbers("state_scale", value, width, advice)
    if min(scale) <= 0.0:
        raise _checks.error("state_scale", "positive", value, advice)
    return scale

"""Refuse targets that can't be converted, with the reason and a way out."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.ranges.activations import (
    ACTIVATIONS,
    flat_activation,
    known,
)
from keras_urnn.equivalence.ranges.intervals import LARGEST, Array, to_float64
from keras_urnn.equivalence.ranges.reachable_states import Recurrence
from keras_urnn.equivalence.ranges.recurrent import (
    SIMPLE_CELLS,
    recurrence_of,
)
from keras_urnn.equivalence.ranges.rescaled_states import (
    LARGEST_EXPONENT,
    admissible,
    exponent_range,
)
from keras_urnn.layers.contractive_rnn import ContractiveRNNCell

# No sequence is longer.
LONGEST_HORIZON = 2**63 - 1

_AT_NORM_1 = (
    "At norm 1 the states may grow without bound: give the largest number of steps as "
    "`horizon`, {retrain}, or use an activation of bounded range, as 'relu6' or "
    "'hard_tanh'."
)


class NotCoveredError(ValueError):
    """Raised for a target that theorem 1 doesn't cover, or that can't be rebuilt."""


def refusal(expected: str, name: str, found: str, advice: str) -> NotCoveredError:
    """The error for a target of this name in which `found` was found."""
    return NotCoveredError(
        _checks.message("target", expected, f"{name}: {found}", advice)
    )


def checked_horizon(horizon: Any) -> int | None:
    """Return `horizon` where it is `None` or a positive integer, or raise."""
    if horizon is None:
        return None
    advice = (
        "It is the largest number of steps between two resets of the state; None is "
        "for any number of steps."
    )
    return _checks.positive_integer("horizon", horizon, advice, LONGEST_HORIZON)


def check_layer(argument: str, target: Any) -> None:
    """Raise unless `target` is a layer of Keras, as cells and models are."""
    if not isinstance(target, keras.Layer):
        advice = "Two networks are compared; data for them are drawn by themselves."
        expected = "a recurrent cell or layer, or a model"
        raise _checks.type_error(argument, expected, target, advice)


def check_cell(cell: Any, name: str) -> None:
    """Raise unless `cell` is built, and one of those that can be converted."""
    if type(cell) not in SIMPLE_CELLS:
        advice = (
            "Gated cells (LSTM, GRU) and subclasses compute something else, which "
            "theorem 1 says nothing about."
        )
        expected = "made of ContractiveRNNCell or keras.layers.SimpleRNNCell"
        raise refusal(expected, name, type(cell).__name__, advice)
    check_learned(cell, name)


def check_learned(cell: Any, name: str) -> None:
    """Raise unless `cell` is built, and its weights are finite."""
    check_built(cell, name)
    check_precision(cell.weights, name)
    if not all(np.all(np.isfinite(to_float64(w))) for w in cell.weights):
        advice = "Training has diverged; lower the learning rate or clip gradients."
        raise refusal("of finite weights", name, "NaN or Inf in its weights", advice)


def check_built(cell: Any, name: str) -> None:
    """Raise unless `cell` is built."""
    if not cell.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise refusal("built", name, "no weights", advice)


def check_precision(weights: Sequence[Any], name: str) -> None:
    """Raise where weights of dtype float64 are not stored in it."""
    for weight in (weight for weight in weights if weight.dtype == "float64"):
        stored = keras.ops.convert_to_numpy(weight).dtype
        if stored != np.float64:
            advice = (
                "JAX computes in float32 unless asked otherwise: start Python with "
                "JAX_ENABLE_X64=1."
            )
            found = f"weights of dtype float64 that are stored in {stored}"
            raise refusal("of the precision it says", name, found, advice)


def check_convertible(cell: Any, name: str, horizon: int | None) -> Recurrence:
    """Return the recurrence, in scales in which theorem 1 holds for it, or raise."""
    if cell.recurrent_dropout > 0.0:
        advice = (
            "Dropping states changes what the added ones see, and the masks have no "
            "counterpart for them; set `recurrent_dropout=0`."
        )
        raise refusal(
            "without recurrent dropout", name, "recurrent_dropout > 0", advice
        )
    _check_activation(cell, name)
    recurrence = admissible(recurrence_of(cell), horizon)
    if isinstance(recurrence, Obstruction):
        raise _no_scaling(cell, recurrence_of(cell), recurrence, name, horizon)
    _check_scale(recurrence, name)
    _check_norm(cell, recurrence, name, horizon)
    return recurrence


def check_biases(biases: Array, dtype: str, name: str) -> None:
    """Raise where a bias is too large a number for the compute dtype."""
    # The first of the largest in size, NaN if there is one.
    extreme = float(biases[np.argmax(np.abs(biases))]) if biases.size else 0.0
    # Written so that NaN fails.
    if not abs(extreme) <= LARGEST[dtype]:
        advice = (
            "Give a smaller number of steps as `horizon` (or, with a norm below 1, no "
            "`horizon`), a tighter `input_bound`, a smaller norm, or compute in "
            "mixed_bfloat16, float32 or float64."
        )
        expected = (
            f"small enough for {dtype}, whose largest number is {LARGEST[dtype]:g}"
        )
        found = f"an added state needs the bias {extreme:g}"
        raise refusal(expected, name, found, advice)


def _check_activation(cell: Any, name: str) -> None:
    activation = cell.activation
    found = f"activation {_described(activation)}"
    if flat_activation(activation) is None:
        expected = "a recurrence whose activation is constant on a half-line"
        raise refusal(expected, name, found, _way_out(activation))
    is_layer = isinstance(activation, keras.Layer)
    if is_layer and activation.compute_dtype != cell.compute_dtype:
        advice = "It rounds what the cell computes; make both of one dtype."
        expected = f"a recurrence whose activation computes in {cell.compute_dtype}"
        received = f"{found} in {activation.compute_dtype}"
        raise refusal(expected, name, received, advice)


def _described(activation: Any) -> str:
    if isinstance(activation, keras.layers.ReLU):
        names = ("max_value", "negative_slope", "threshold")
        values = (f"{name}={getattr(activation, name)}" for name in names)
        return f"ReLU({', '.join(values)})"
    return str(getattr(activation, "__name__", activation))


def _way_out(activation: Any) -> str:
    if isinstance(activation, partial) or activation is keras.activations.threshold:
        return (
            "Keras can't save a function whose arguments are bound, so that neither "
            "the original nor its conversion could be saved. For a ReLU with an upper "
            "end or a threshold pass a layer: "
            "`activation=keras.layers.ReLU(max_value=..., threshold=...)`."
        )
    if activation not in ACTIVATIONS and not isinstance(activation, keras.layers.ReLU):
        return (
            "Whether this function is constant on a half-line, and where, isn't known "
            "here. Use the activation of Keras that computes the same, or "
            "`keras.layers.ReLU(max_value=..., threshold=...)`, if there is one."
        )
    nearest = " or ".join(f"'{name}'" for name in known(activation).nearest)
    return (
        "An activation that is constant on no half-line can't hold the added states "
        "still: by theorem 3 there is a contractive RNN with sigmoid activations that "
        "no unitary RNN of any finite size matches. Retrain with "
        f"`activation={nearest}`, the nearest that is, and convert that, or train a "
        "`UnitaryRNN` with this activation from the start."
    )


def _retrain(cell: Any) -> str:
    """Advice on how to get a norm below 1."""
    if type(cell) is not ContractiveRNNCell:
        return "train a `ContractiveRNN`"
    return f"train it with a `max_norm` below 1 (it has {cell.max_norm:g})"


def _project(cell: Any) -> str:
    """Advice on how to get a norm of at most 1."""
    if type(cell) is not ContractiveRNNCell:
        return (
            "Train a `ContractiveRNN`, or use `ContractiveProjection` as "
            "`recurrent_constraint`."
        )
    return (
        "Its weights were set and not projected since; assign "
        "`cell.recurrent_kernel.constraint(cell.recurrent_kernel)` to its "
        "`recurrent_kernel`, or train a step."
    )


def _no_scaling(
    cell: Any, recurrence: Recurrence, found: Obstruction, name: str, horizon: Any
) -> ValueError:
    at_norm_1 = recurrence.norm <= 1.0 + recurrence.tolerance
    advice = (
        _AT_NORM_1.format(retrain=_retrain(cell))
        if horizon is None and at_norm_1
        else f"A `horizon` helps at norm 1, not above. {_project(cell)}"
    )
    received = (
        f"its recurrent matrix has spectral norm {recurrence.norm:.6g}, and no "
        f"diagonal scaling was found that makes it small enough: {found.reason}"
    )
    return refusal("of spectral norm below 1, scaled or not", name, received, advice)


def _check_scale(recurrence: Recurrence, name: str) -> None:
    """Raise where the scaled states could leave the range of the compute dtype."""
    needed, largest = exponent_range(recurrence), LARGEST_EXPONENT[recurrence.dtype]
    if needed > largest:
        advice = "Compute in a dtype of larger range (float64 at best), or retrain."
        expected = f"scalable within 2**±{largest}, for {recurrence.dtype}"
        received = f"it needs scales up to 2**±{needed} to be contractive"
        raise refusal(expected, name, received, advice)


def _check_norm(
    cell: Any, recurrence: Recurrence, name: str, horizon: int | None
) -> None:
    found = f"its recurrent matrix has spectral norm {recurrence.norm:.6g}"
    if recurrence.norm > 1.0 + recurrence.tolerance:
        advice = (
            "A matrix of norm above 1 is no corner of an orthogonal one, with any "
            f"horizon. {_project(cell)}"
        )
        raise refusal("of spectral norm below 1", name, found, advice)
    if horizon is None and not recurrence.is_bounded:
        advice = _AT_NORM_1.format(retrain=_retrain(cell))
        raise refusal("of spectral norm below 1", name, found, advice)

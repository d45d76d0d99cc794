"""What can't be converted: the reason, and the way out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.intervals import LARGEST, Array
from keras_urnn.equivalence.reachable import Recurrence
from keras_urnn.equivalence.recurrent_ranges import (
    OUR_CELLS,
    SIMPLE_CELLS,
    recurrence_of,
)

# Constant on a half-line, so that a conversion exists, but not yet here.
_FLAT_SOMEWHERE = (
    keras.activations.relu6,
    keras.activations.hard_sigmoid,
    keras.activations.hard_tanh,
    keras.activations.hard_silu,
    keras.activations.sparse_sigmoid,
    keras.activations.sparse_plus,
    keras.activations.threshold,
)


def refusal(expected: str, name: str, found: str, advice: str) -> ValueError:
    """The error for a target of this name in which `found` was found."""
    return _checks.error("target", expected, f"{name}: {found}", advice)


def checked_horizon(horizon: Any) -> int | None:
    """Return `horizon` where it is `None` or a positive integer, or raise."""
    if horizon is None:
        return None
    advice = "It is the largest number of steps between two resets of the state."
    return _checks.positive_integer("horizon", horizon, advice)


def check_cell(cell: Any, name: str) -> None:
    """Raise unless `cell` is built, and one of those that can be converted."""
    if type(cell) not in SIMPLE_CELLS:
        advice = (
            "Gated cells (LSTM, GRU) and subclasses compute something else, which "
            "theorem 1 says nothing about."
        )
        expected = "made of ContractiveRNNCell or keras.layers.SimpleRNNCell"
        raise refusal(expected, name, type(cell).__name__, advice)
    if not cell.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise refusal("built", name, "no weights", advice)
    check_precision(cell.weights, name)
    if not all(np.all(np.isfinite(w)) for w in _weights(cell)):
        advice = "Training has diverged; lower the learning rate or clip gradients."
        raise refusal("of finite weights", name, "NaN or Inf in its weights", advice)


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


def check_convertible(cell: Any, name: str, horizon: int | None) -> None:
    """Raise unless theorem 1 holds for a built cell."""
    if cell.recurrent_dropout > 0.0:
        advice = (
            "Dropping states changes what the added ones see, and the masks have no "
            "counterpart for them; set `recurrent_dropout=0`."
        )
        raise refusal(
            "without recurrent dropout", name, "recurrent_dropout > 0", advice
        )
    if type(cell) in OUR_CELLS and cell.state_scale is not None:
        advice = "A later version will convert it; until then train without a scale."
        raise refusal("without a state scale", name, "a `state_scale`", advice)
    if cell.activation is not keras.activations.relu:
        _refuse_activation(cell.activation, name)
    _check_norm(recurrence_of(cell), name, horizon)


def check_biases(biases: Array, dtype: str, name: str) -> None:
    """Raise where a bias is too large a number for the compute dtype."""
    lowest = float(biases.min(initial=0.0))
    # Written so that NaN fails.
    if not -lowest <= LARGEST[dtype]:
        advice = (
            "Give a smaller number of steps as `horizon` (or, with a norm below 1, no "
            "`horizon`), a tighter `input_bound`, a smaller norm, or compute in "
            "mixed_bfloat16, float32 or float64."
        )
        expected = (
            f"small enough for {dtype}, whose largest number is {LARGEST[dtype]:g}"
        )
        found = f"an added state needs the bias {lowest:g}"
        raise refusal(expected, name, found, advice)


def _weights(cell: Any) -> Sequence[Array]:
    found = recurrence_of(cell)
    return found.kernel, found.recurrent_matrix, found.bias, found.initial_state


def _refuse_activation(activation: Any, name: str) -> None:
    found = f"activation {getattr(activation, '__name__', activation)}"
    if activation in _FLAT_SOMEWHERE:
        advice = (
            "It is constant on a half-line, so that a conversion exists, but this "
            "version converts ReLU only; retrain with `activation='relu'`."
        )
    else:
        advice = (
            "An activation that is constant on no half-line can't switch the added "
            "states off: by theorem 3 there is a contractive RNN with sigmoid "
            "activations that no unitary RNN of any finite size matches. Retrain with "
            "`activation='relu'` and convert that, or train a `UnitaryRNN` with this "
            "activation from the start."
        )
    raise refusal("a ReLU recurrence", name, found, advice)


def _check_norm(recurrence: Recurrence, name: str, horizon: int | None) -> None:
    found = f"its recurrent matrix has spectral norm {recurrence.norm:.6g}"
    if recurrence.norm > 1.0 + recurrence.tolerance:
        advice = (
            "A matrix of norm above 1 is no corner of an orthogonal one, whatever the "
            "horizon. Train a `ContractiveRNN`, or use `ContractiveProjection` as "
            "`recurrent_constraint`."
        )
        raise refusal("of spectral norm below 1", name, found, advice)
    if horizon is None and not recurrence.is_contractive:
        advice = (
            "At norm 1 the states may grow without bound: give the largest number of "
            "steps as `horizon`, or train a `ContractiveRNN`."
        )
        raise refusal("of spectral norm below 1", name, found, advice)

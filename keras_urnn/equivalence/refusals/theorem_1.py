"""Refuse cells that the hypotheses of theorem 1 do not hold for."""

from typing import Any

import numpy as np

from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.ranges.intervals import LARGEST, Array
from keras_urnn.equivalence.ranges.recurrence import Recurrence, recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import (
    LARGEST_EXPONENT,
    admissible,
    exponent_range,
)
from keras_urnn.equivalence.refusals.activations import check_activation
from keras_urnn.equivalence.refusals.targets import refusal
from keras_urnn.layers.contractive_rnn import ContractiveRNNCell

_AT_NORM_1 = (
    "At norm 1 the states may grow without bound: give the largest number of steps as "
    "`horizon`, {retrain}, or use an activation of bounded range, as 'relu6' or "
    "'hard_tanh'."
)


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
    check_activation(cell, name)
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

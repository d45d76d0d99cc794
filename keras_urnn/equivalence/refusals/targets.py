"""Refuse targets that can't be converted, with the reason and a way out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS
from keras_urnn.equivalence.ranges.intervals import to_float64

# No sequence is longer.
LONGEST_HORIZON = 2**63 - 1


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
    check_step(cell, name)
    check_precision(cell.weights, name)
    if not all(np.all(np.isfinite(to_float64(w))) for w in cell.weights):
        advice = "Training has diverged; lower the learning rate or clip gradients."
        raise refusal("of finite weights", name, "NaN or Inf in its weights", advice)


def check_built(cell: Any, name: str) -> None:
    """Raise unless `cell` is built."""
    if not cell.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise refusal("built", name, "no weights", advice)


def check_step(cell: Any, name: str) -> None:
    """Raise for complex states and for a skip, of which theorem 1 says nothing."""
    if getattr(cell, "field", "real") == "complex":
        advice = (
            "Theorem 1 and its proof are about states that are real numbers, each with "
            "an activation of its own. Copy such a layer by its config and weights."
        )
        raise refusal("of real states", name, "complex states", advice)
    if getattr(cell, "skip", None) is not None:
        advice = (
            "Theorem 1 and its proof are about steps whose state is all inside of the "
            "activation. Copy such a layer by its config and weights."
        )
        raise refusal("without a skip", name, f"skip={cell.skip}", advice)


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

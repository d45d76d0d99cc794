"""Copies: of any layer, of a cell, and of what is around new cells."""

import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.plans.plan import Plan, draw_again, leave_unset
from keras_urnn.equivalence.ranges.intervals import to_float64
from keras_urnn.equivalence.refusals.targets import refusal


def copy_of(layer: Any) -> Any:
    """Make a layer anew from its config, or raise. `copy_learned` sets its weights."""
    try:
        new = type(layer).from_config(layer.get_config())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as cause:
        advice = (
            "Give it a `get_config` that returns all its arguments, or replace a "
            "Lambda by a layer of its own; or convert the recurrent layers one by one."
        )
        expected = "made of layers that can be made anew from their config"
        raise refusal(
            expected, layer.name, f"{type(layer).__name__}: {cause}", advice
        ) from cause
    leave_unset(new)
    return new


def copy_learned(layer: Any, new: Any) -> None:
    """Give the copy of a layer, now built, what the layer has learned."""
    draw_again(new)
    new.set_weights(layer.get_weights())
    if isinstance(new, keras.layers.Normalization):
        # What it computes with is derived from its weights, once.
        new.finalize_state()
        _check_finalized(layer, new)
    if hasattr(new, "load_assets"):
        # What Keras saves beside weights and config: the vocabulary of a lookup.
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            new.load_assets(folder)


def _check_finalized(layer: Any, new: Any) -> None:
    """Raise where a `Normalization` computes with other numbers than its weights."""
    for name in ("mean", "variance"):
        first, second = (to_float64(getattr(one, name)) for one in (layer, new))
        if not np.array_equal(first, second):
            advice = f"Call `finalize_state()` of '{layer.name}' first."
            expected = "of layers that compute with their weights"
            found = f"Normalization whose {name} was set and not put in use"
            raise refusal(expected, layer.name, found, advice)


def plan_copy(cell: Any) -> Plan:
    """Plan an equal cell: same class, same config, the same raw weights."""
    weights = cell.get_weights()
    # Keras leaves the seed out of the config of `SimpleRNNCell`.
    new = type(cell).from_config({**cell.get_config(), "seed": cell.seed})
    return Plan(new, [lambda copy: copy.set_weights(weights)])


def around_cells(layer: Any, plans: Sequence[Plan]) -> Plan:
    """A `keras.layers.RNN` with the flags of `layer` around new cells."""
    config = layer.get_config()
    serialized = [keras.layers.serialize(plan.layer) for plan in plans]
    config["cell"] = serialized[0]
    if isinstance(layer.cell, keras.layers.StackedRNNCells):
        stack = {**layer.cell.get_config(), "cells": serialized}
        new = keras.layers.StackedRNNCells.from_config(stack)
        config["cell"] = keras.layers.serialize(new)
    setters = [setter for plan in plans for setter in plan.setters]
    return Plan(keras.layers.RNN.from_config(config), setters)


def around_both(layer: Any, forward: Plan, backward: Plan) -> Plan:
    """A `Bidirectional` that merges as `layer` does around two new directions."""
    config = layer.get_config()
    config["layer"] = keras.layers.serialize(forward.layer)
    config["backward_layer"] = keras.layers.serialize(backward.layer)
    new = keras.layers.Bidirectional.from_config(config)
    return Plan(new, forward.setters + backward.setters)

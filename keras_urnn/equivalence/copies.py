"""A layer made anew, with what it has learned."""

import tempfile
from typing import Any

import keras

from keras_urnn.equivalence.refusals import refusal


def copy_of(layer: Any) -> Any:
    """Make a layer anew from its config, or raise."""
    try:
        return type(layer).from_config(layer.get_config())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as cause:
        advice = (
            "Give it a `get_config` that returns all its arguments, or replace a "
            "Lambda by a layer of its own; or convert the recurrent layers one by one."
        )
        expected = "made of layers that can be made anew from their config"
        raise refusal(
            expected, layer.name, f"{type(layer).__name__}: {cause}", advice
        ) from cause


def copy_learned(layer: Any, new: Any) -> None:
    """Give the copy of a layer, now built, what the layer has learned."""
    new.set_weights(layer.get_weights())
    if isinstance(new, keras.layers.Normalization):
        # What it computes with is derived from its weights, once.
        new.finalize_state()
    if hasattr(new, "load_assets"):
        # What Keras saves beside weights and config: the vocabulary of a lookup.
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            new.load_assets(folder)

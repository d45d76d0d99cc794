"""A layer made anew, with what it has learned."""

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import to_float64
from keras_urnn.equivalence.ranges.recurrent import cells_of
from keras_urnn.equivalence.refusals import refusal


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


def leave_unset(new: Any) -> None:
    """Let a layer that is not yet built make its weights as zeros.

    They are set once it is built. To draw them first, and project them, takes most of
    a conversion on JAX, which compiles each initializer. Only layers of Keras and of
    this library: others may use what they draw in their `build`. Not on PyTorch, which
    compiles nothing: there the order of a matrix in memory, which the initializer
    decides, decides how sums of products are rounded.
    """
    for part in _parts(new) if keras.config.backend() != "torch" else []:
        if type(part).__module__.partition(".")[0] in ("keras", "keras_urnn"):
            part.add_weight = partial(_add_zeros, part.add_weight)


def draw_again(new: Any) -> None:
    """Undo `leave_unset`: weights that are made from now on are drawn."""
    for part in _parts(new):
        vars(part).pop("add_weight", None)


def _parts(layer: Any) -> list[Any]:
    """A layer and its cells; nothing of what has no weights, as an operation."""
    if not isinstance(layer, keras.Layer):
        return []
    return list(dict.fromkeys([layer, *cells_of(layer)]))


def _add_zeros(add_weight: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if len(args) > 1:
        return add_weight(args[0], _zeros, *args[2:], **kwargs)
    return add_weight(*args, **{**kwargs, "initializer": _zeros})


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    # NumPy's, as JAX compiles its own for each shape.
    return keras.ops.convert_to_tensor(np.zeros(shape, "float32"), dtype=dtype)


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

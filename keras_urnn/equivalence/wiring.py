"""What surrounds the converted cells: the flags of their layers, and other layers."""

from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.graph import leaves
from keras_urnn.equivalence.hindrances import is_converted

_FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)


def flag_objections(old: Any, new: Any) -> list[str]:
    """In what a converted layer or cell goes through its sequence another way."""
    if isinstance(old, keras.layers.Bidirectional):
        return _of_both_directions(old, new)
    if not isinstance(old, keras.layers.RNN):
        return []  # a cell has none
    if not isinstance(new, keras.layers.RNN):
        return [f"{old.name}: not a recurrent layer, but a {type(new).__name__}"]
    return _differing(old, new, _FLAGS)


def _of_both_directions(old: Any, new: Any) -> list[str]:
    if not isinstance(new, keras.layers.Bidirectional):
        return [f"{old.name}: not a Bidirectional layer, but a {type(new).__name__}"]
    return (
        _differing(old, new, ("merge_mode",))
        + flag_objections(old.forward_layer, new.forward_layer)
        + flag_objections(old.backward_layer, new.backward_layer)
    )


def _differing(old: Any, new: Any, names: tuple[str, ...]) -> list[str]:
    return [
        f"{old.name}: `{name}` is {getattr(new, name)!r}, not {getattr(old, name)!r}"
        for name in names
        if getattr(new, name) != getattr(old, name)
    ]


def paired_layers(original: Any, converted: Any) -> dict[str, tuple[Any, Any]]:
    """The layers of two models that have the same path; `None` where one is missing.

    Those of nested models are taken one by one; a shared layer comes once for each
    layer that it is paired with.
    """
    others, pairs = dict(leaves(converted)), {}
    seen: set[tuple[int, int]] = set()
    for path, layer in leaves(original):
        other = others.get(path)
        if (id(layer), id(other)) not in seen:
            seen.add((id(layer), id(other)))
            pairs[path] = (layer, other)
    return pairs


def layer_objections(path: str, layer: Any, other: Any, name: str) -> list[str]:
    """In what a layer of the converted model called `name` is not as it should be."""
    if other is None:
        return [f"{path}: not in {name}"]
    if is_converted(layer):
        return flag_objections(layer, other)
    same = _same(layer, other)
    return [] if same else [f"{path}: its weights are not the original's"]


def _same(layer: Any, copy: Any) -> bool:
    if not isinstance(layer, keras.Layer):
        return True  # an operation has no weights
    weights, copied = layer.get_weights(), copy.get_weights()
    return len(weights) == len(copied) and all(
        np.array_equal(a, b) for a, b in zip(weights, copied, strict=True)
    )

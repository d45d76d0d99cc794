"""The arguments of a call in a model, each by its place in lists and dicts."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_urnn.equivalence.models.graph import Call, entering_model


def arguments_by_place(call: Call) -> dict[Any, Any]:
    """The arguments of a call, each by its place in the nested arguments."""
    layer, kwargs = call.operation, dict(call.kwargs)
    if kwargs.get("training") is False:
        kwargs["training"] = None  # at inference they are the same
    kept = {key: value for key, value in kwargs.items() if value is not None}
    args: Any = call.args
    if isinstance(layer, keras.Model):
        args = entering_model(layer, call.args, call.kwargs)
        kept.pop("inputs", None)
    return dict(_leaves_of((args, kept), ()))


def _leaves_of(value: Any, place: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        items: Sequence[Any] = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    else:
        return [(place, value)]
    return [leaf for key, part in items for leaf in _leaves_of(part, (*place, key))]


def is_tensor(value: Any) -> bool:
    """Whether an argument is a tensor of the graph."""
    return isinstance(value, keras.KerasTensor)

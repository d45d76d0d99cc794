"""The range of each input of a model: given by the caller, or that of a table."""

from typing import Any, NamedTuple

from keras_urnn.equivalence.input_bound.given import InputBounds, fit, written
from keras_urnn.equivalence.models.graph import Graph, table_sizes
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.refusals.targets import refusal


class Entrances(NamedTuple):
    """The inputs of a model by their names.

    Attributes:
        inputs: dict from the name of each input to its range.
        tables: dict from the name of each input of indices, as a mask or the tokens of
            an embedding, to the number of values that an index can have.
    """

    inputs: dict[str, Interval]
    tables: dict[str, int]


def entrances(graph: Graph, bounds: InputBounds) -> Entrances:
    """The range of each input of a graph, or raise."""
    found = Entrances({}, {})
    for tensor in graph.inputs:
        rows = [2] if tensor.dtype == "bool" else table_sizes(graph, tensor)
        if rows:
            # The table bounds the tokens, and its rows bound what is looked up.
            found.tables[tensor.name] = min(rows)
            found.inputs[tensor.name] = Interval.of(0.0, min(rows) - 1.0)
        else:
            found.inputs[tensor.name] = _promised(tensor, bounds)
    return found


def _promised(tensor: Any, bounds: InputBounds) -> Interval:
    if tensor.dtype == "string":
        advice = (
            "Text has no bound, and is not what is verified: split the model "
            "behind the lookup, and convert the part that takes its numbers."
        )
        name = written(tensor.name).strip("'")
        raise refusal("a model of numbers", name, "an input of text", advice)
    return fit_tensor(bounds.of_input(tensor.name), tensor, tensor.name, bounds)


def fit_tensor(
    interval: Interval, tensor: Any, name: str, bounds: InputBounds
) -> Interval:
    """Write `interval` out for the features of a symbolic tensor, or raise."""
    features = tensor.shape[-1] if tensor.shape else None
    if features is None:
        return interval.collapse()
    return fit(interval, features, name, bounds.given)

"""The graph of a model as data: its calls, which can be replayed on other values."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import keras

from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.refusals.targets import refusal


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, or of an operation, in a graph.

    Attributes:
        operation: the layer or operation that is called.
        args: tuple. Its positional arguments; tensors are symbolic.
        kwargs: dict. Its keyword arguments, the mask that Keras found among them.
        outputs: list of symbolic tensors.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """The calls of a model, each after the calls that compute its inputs.

    Attributes:
        inputs: list of symbolic tensors.
        calls: list of `Call`.
        outputs: list of symbolic tensors.
    """

    inputs: list[Any]
    calls: list[Call]
    outputs: list[Any]

    def replay(
        self, inputs: Sequence[Any], run: Callable[..., Sequence[Any]]
    ) -> list[Any]:
        """Replay the calls with other values in the place of the tensors.

        Args:
            inputs: a value for each input.
            run: takes a `Call`, and its `args` and `kwargs` with these values in the
                place of tensors, and returns a value for each of its outputs.
        """
        values = {id(x): value for x, value in zip(self.inputs, inputs, strict=True)}

        def put_in(arguments: Any) -> Any:
            return keras.tree.map_structure(
                lambda leaf: values[id(leaf)] if _is_tensor(leaf) else leaf, arguments
            )

        for call in self.calls:
            found = run(call, put_in(call.args), put_in(call.kwargs))
            # Where the directions of a `Bidirectional` differ in states, Keras may
            # predict one output less than the layer returns, or one more.
            values.update(zip(map(id, call.outputs), found, strict=False))
        return [values[id(x)] for x in self.outputs]


class StandIn(keras.Operation):
    """Takes the place of a layer in a copy of a graph, so that nothing is built."""

    def __init__(self, operation: Any, name: str) -> None:
        super().__init__(name=name)
        self.operation = operation

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.operation.compute_output_spec(*args, **kwargs)


def graph_of(model: Any) -> Graph:
    """Read the graph of a Sequential or functional model, which is left as it is."""
    check_model(model)
    calls: list[Call] = []

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        stand_in = StandIn(operation, f"{operation.name}_{len(calls)}")
        outputs = stand_in(*args, **kwargs)
        calls.append(Call(operation, args, kwargs, keras.tree.flatten(outputs)))
        return outputs

    view = keras.Model(model.inputs, model.outputs, name=model.name)
    copy = keras.models.clone_model(
        view, clone_function=lambda layer: layer, call_function=record
    )
    return Graph(copy.inputs, calls, copy.outputs)


def data_of(args: Any, kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call in a flat list, without the mask, which is no input."""
    data = {key: value for key, value in kwargs.items() if key != "mask"}
    return keras.tree.flatten((args, data))


def arguments_of(layer: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The inputs of a call of a recurrent layer, and its `initial_state`."""
    bound = inspect.signature(layer.call).bind(*args, **kwargs).arguments
    return next(iter(bound.values())), bound.get("initial_state")


def returned(layer: Any, outputs: Any) -> tuple[list[Any], list[list[Any]]]:
    """The outputs of a recurrent layer, and the states that each of its cells returns.

    Args:
        layer: recurrent layer with `return_state`.
        outputs: all that a call of the layer returns.
    """
    both = isinstance(layer, keras.layers.Bidirectional) and layer.merge_mode is None
    remaining = iter(keras.tree.flatten(outputs))
    given = list(islice(remaining, 2 if both else 1))
    counts = [len(keras.tree.flatten(cell.state_size)) for cell in cells_of(layer)]
    return given, [list(islice(remaining, count)) for count in counts]


def entering_model(model: Any, args: Any, kwargs: Any) -> list[Any]:
    """The inputs of a call of a nested model, in the order of its `inputs`."""
    given = args[0] if args else kwargs["inputs"]
    sequential = isinstance(model, keras.Sequential)
    takes_dict = not sequential and isinstance(model.input, dict)
    if isinstance(given, dict) and not takes_dict:
        return [given[x.name] for x in model.inputs]
    return keras.tree.flatten(given)


def table_sizes(graph: Graph, tensor: Any) -> list[int]:
    """The numbers of rows of the embeddings that look up an input of a graph."""
    found = []
    for call in graph.calls:
        layer = call.operation
        if isinstance(layer, keras.layers.Embedding):
            entering = data_of(call.args, call.kwargs)
            found += [int(layer.input_dim)] if entering[0] is tensor else []
        elif isinstance(layer, keras.Model):
            inner = graph_of(layer)
            entering = entering_model(layer, call.args, call.kwargs)
            for x, given in zip(inner.inputs, entering, strict=True):
                found += table_sizes(inner, x) if given is tensor else []
    return found


def check_model(model: Any) -> None:
    """Raise for a model without a graph: subclassed, or not built yet."""
    kinds = keras.Sequential, _functional_class()
    bases = [kind for kind in kinds if isinstance(model, kind)]
    replaced = "call" in vars(model)
    if replaced or not bases or type(model).call is not bases[0].call:
        advice = (
            "Build it from `keras.Sequential` or the functional API, or convert its "
            "recurrent layers one by one."
        )
        kind = "the subclassed model" if isinstance(model, keras.Model) else "a"
        found = f"{kind} {type(model).__name__}"
        raise refusal("a Sequential or a functional model", model.name, found, advice)
    if not model.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise refusal("built", model.name, "no weights", advice)


@cache
def _functional_class() -> Any:
    """The class of functional models, which has no public name."""
    probe = keras.Input((1,))
    return type(keras.Model(probe, probe))


def leaves(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model by their paths, those inside nested models included."""
    for layer in model.layers:
        yield from unfolded(layer, f"{path}{layer.name}")


def unfolded(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The layers that a layer consists of, by their paths; mostly itself alone."""
    if isinstance(layer, keras.Model):
        yield from leaves(layer, f"{path}/")
    elif type(layer) is keras.layers.TimeDistributed:
        yield from unfolded(layer.layer, f"{path}/{layer.layer.name}")
    else:
        yield path, layer


def recurrent_cells(target: Any) -> list[Any]:
    """All recurrent cells of a cell, layer or model."""
    if not isinstance(target, keras.Model):
        return cells_of(target)
    kinds = keras.layers.RNN | keras.layers.Bidirectional
    layers = [layer for _, layer in leaves(target) if isinstance(layer, kinds)]
    return [cell for layer in layers for cell in cells_of(layer)]


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, keras.KerasTensor)

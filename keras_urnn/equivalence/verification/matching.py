"""Match the layers of two models by their places in the two graphs.

From the outputs back to the inputs, each tensor of one model is paired with the tensor
of the other that has the same place. So the names of layers don't matter, nor the order
in which they were made; only the tensors and values that each call is given do.
"""

from dataclasses import dataclass, field
from typing import Any

import keras

from keras_urnn.equivalence.models.graph import (
    Call,
    Graph,
    graph_of,
    returned,
)
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.refusals.targets import NotCoveredError
from keras_urnn.equivalence.verification.call_arguments import (
    arguments_by_place,
    is_tensor,
)
from keras_urnn.equivalence.verification.kept_states import order_gaps, sharing_gaps
from keras_urnn.equivalence.verification.same_layers import same

_RECURRENT = keras.layers.RNN | keras.layers.Bidirectional


@dataclass(eq=False)
class Matching:
    """The layers of two models that correspond, and where the wiring differs.

    Attributes:
        layers: dict from the `id` of two corresponding layers to the path in the first
            model and the two layers. The layers of nested models, and the layer inside
            a `TimeDistributed`, are taken one by one.
        gaps: strings. Where the wiring is not the same.
        visited: the `id` of each pair so far, nested models included.
    """

    layers: dict[tuple[int, int], tuple[str, Any, Any]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)


def matched(original: Any, converted: Any) -> Matching:
    """Match two models, from their outputs back to their inputs."""
    found, models = Matching(), (original, converted)
    for what in ("input", "output"):
        one, other = (_structure(model, what) for model in models)
        if one != other:
            found.gaps.append(f"{original.name}: its {what}s are in another structure")
    names = [[x.name for x in model.inputs] for model in models]
    if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
        # Keras takes inputs by position, or in a dict by these names.
        found.gaps.append(f"{original.name}: its inputs are in another order")
    _match_graphs(graph_of(original), graph_of(converted), "", original.name, found)
    found.gaps += sharing_gaps(found.layers)
    return found


def _structure(model: Any, what: str) -> Any:
    """The lists and dicts that tensors come in; a list of one counts as that tensor."""
    sequential = isinstance(model, keras.Sequential)
    tensors = getattr(model, f"{what}s" if sequential else what)
    if isinstance(tensors, list | tuple) and len(tensors) == 1:
        return None
    return keras.tree.map_structure(lambda _: None, tensors)


def _match_graphs(
    old: Graph, new: Graph, path: str, name: str, found: Matching
) -> None:
    """Pair the calls of two graphs, and compare what each pair is given and does."""
    signatures = [[(*x.shape, x.dtype) for x in graph.inputs] for graph in (old, new)]
    if signatures[0] != signatures[1]:
        found.gaps.append(f"{name}: its inputs are of another number, shape or dtype")
    if len(old.outputs) != len(new.outputs):
        found.gaps.append(f"{name}: it has another number of outputs")
        return
    pairs = _paired_calls(old, new, path, name, found)
    in_order = sorted(pairs.items(), key=lambda pair: pair[0])
    found.gaps += order_gaps([(j, call) for (_, j), (call, _) in in_order], path)
    for _, (call, its) in in_order:
        _match_operations(path, call.operation, its.operation, found)


def _paired_calls(
    old: Graph, new: Graph, path: str, name: str, found: Matching
) -> dict[tuple[int, int], tuple[Call, Call]]:
    """The calls that correspond, by their places in the two graphs."""
    inputs = [{id(x): i for i, x in enumerate(graph.inputs)} for graph in (old, new)]
    makers = [_makers(graph) for graph in (old, new)]
    pairs: dict[tuple[int, int], tuple[Call, Call]] = {}
    waiting = [(name, *ends) for ends in zip(old.outputs, new.outputs, strict=True)]
    while waiting:
        where, one, other = waiting.pop()
        place, other_place = inputs[0].get(id(one)), inputs[1].get(id(other))
        if place is not None or other_place is not None:
            if place != other_place:
                found.gaps.append(f"{where}: what enters it comes from elsewhere")
            continue
        i, j = makers[0][id(one)], makers[1][id(other)]
        calls = old.calls[i], new.calls[j]
        if (id(one), id(other)) not in _corresponding(*calls):
            found.gaps.append(f"{where}: what enters it comes from elsewhere")
        elif (i, j) not in pairs:
            pairs[i, j] = calls
            waiting += _given(f"{path}{calls[0].operation.name}", *calls, found)
    return pairs


def _makers(graph: Graph) -> dict[int, int]:
    """Which call makes each tensor, by the `id` of the tensor."""
    return {id(x): i for i, call in enumerate(graph.calls) for x in call.outputs}


def _corresponding(call: Call, other: Call) -> list[tuple[int, int]]:
    """Which outputs of two calls correspond, by their `id`.

    Theorem 1 adds a tensor of states, which corresponds to none.
    """
    pair = call.operation, other.operation
    wired = is_converted(pair[0]) and all(
        isinstance(layer, _RECURRENT) and layer.return_state for layer in pair
    )
    if not wired:
        both = zip(call.outputs, other.outputs, strict=False)
        return [(id(x), id(y)) for x, y in both]
    (given, states), (others, their) = (
        returned(one.operation, one.outputs) for one in (call, other)
    )
    found = list(zip(given, others, strict=False))
    for mine, theirs in zip(states, their, strict=False):
        found += zip(mine, theirs, strict=False)
    return [(id(x), id(y)) for x, y in found if x.shape[1:] == y.shape[1:]]


def _given(
    label: str, call: Call, other: Call, found: Matching
) -> list[tuple[str, Any, Any]]:
    """Pair the tensors that two calls are given; note where the rest differs."""
    if any(flag is True for flag in (*call.args, call.kwargs.get("training"))):
        trains = isinstance(call.operation, keras.Layer)
        words = f"{label}: it trains at inference (`training=True`)"
        found.gaps += [words] if trains else []
    flat = [arguments_by_place(one) for one in (call, other)]
    tensors = [{key for key, x in given.items() if is_tensor(x)} for given in flat]
    if flat[0].keys() != flat[1].keys() or tensors[0] != tensors[1]:
        found.gaps.append(f"{label}: it is called in another way")
        return []
    waiting = []
    for key, value in flat[0].items():
        if is_tensor(value):
            waiting.append((label, value, flat[1][key]))
        elif not same(value, flat[1][key]):
            found.gaps.append(f"{label}: it is called with another value")
    return waiting


def _match_operations(path: str, old: Any, new: Any, found: Matching) -> None:
    """Note two layers that correspond, or match the layers that both consist of."""
    if (id(old), id(new)) in found.visited:
        return
    found.visited.add((id(old), id(new)))
    label = f"{path}{old.name}"
    if isinstance(old, keras.Model) and isinstance(new, keras.Model):
        try:
            graphs = graph_of(old), graph_of(new)
        except NotCoveredError as reason:
            found.gaps.append(f"{label}: its code is not a graph: {reason}")
        else:
            _match_graphs(*graphs, f"{label}/", label, found)
    elif all(type(one) is keras.layers.TimeDistributed for one in (old, new)):
        _match_operations(f"{label}/", old.layer, new.layer, found)
    else:
        found.layers[id(old), id(new)] = (label, old, new)

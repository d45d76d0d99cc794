"""Whether two models call the layers that keep their states from batch to batch alike.

Each call of such a layer goes on from the states that the one before has left.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_urnn.equivalence.models.graph import Call, unfolded


def order_gaps(pairs: Sequence[tuple[int, Call]], path: str) -> list[str]:
    """The layers that keep states and are called in another order, in words.

    Args:
        pairs: the calls of the first model, in order, each with the place of its
            counterpart among the calls of the second.
        path: string. What to put in front of the names of layers.
    """
    last: dict[int, int] = {}
    gaps = []
    for place, call in pairs:
        layer = call.operation
        if _keeps_states(layer) and place < last.get(id(layer), place):
            gaps.append(f"{path}{layer.name}: it is called in another order")
        last[id(layer)] = place
    return gaps


def sharing_gaps(layers: Mapping[tuple[int, int], tuple[str, Any, Any]]) -> list[str]:
    """The layers that keep states for two calls in one of the models only, in words.

    Args:
        layers: `Matching.layers`.
    """
    stateful = {key: pair for key, pair in layers.items() if _keeps_states(pair[1])}
    return [
        f"{label}: its states are shared otherwise"
        for side in (0, 1)
        for key, (label, *_) in stateful.items()
        if [other[side] for other in stateful].count(key[side]) > 1
    ]


def _keeps_states(layer: Any) -> bool:
    inside = [one for _, one in unfolded(layer, "")]
    return any(getattr(one, "stateful", False) for one in inside)

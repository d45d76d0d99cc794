"""Carry the ranges of the inputs of a model to its recurrent layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.input_bound.given import InputBounds, fit
from keras_urnn.equivalence.models.graph import (
    Call,
    Graph,
    arguments_of,
    data_of,
    entering_model,
    graph_of,
)
from keras_urnn.equivalence.models.inputs import entrances, fit_tensor
from keras_urnn.equivalence.models.supported import (
    check_wiring,
    check_wrapped,
    goes_on,
    is_converted,
)
from keras_urnn.equivalence.plans.cells import are_unitary
from keras_urnn.equivalence.plans.copies import copy_of
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.initial_states import given_starts, resting_starts
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.ranges.layers import layer_ranges
from keras_urnn.equivalence.refusals.targets import check_precision, refusal

_UNKNOWN = Interval.of(-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Use:
    """The inputs and initial states of all calls of a layer that is to be converted.

    Attributes:
        layer: the recurrent layer of the original.
        entering: the range of its inputs; `None` where it is not known, and not needed
            as the layer is copied.
        starts: the range of the states that each of its cells starts from.
    """

    layer: Any
    entering: Interval | None
    starts: list[Interval]

    def joined(self, other: "Use") -> "Use":
        """The ranges over the calls of both."""
        entering = None
        if self.entering is not None and other.entering is not None:
            entering = self.entering.hull(other.entering)
        pairs = zip(self.starts, other.starts, strict=True)
        starts = [one.hull(another) for one, another in pairs]
        return Use(self.layer, entering, starts)


class Survey:
    """One pass through a model, in the order of its graph, nested models included.

    A shared layer, or a layer of a shared model, is converted for the hull of the
    ranges that enter it at all of its calls.

    Args:
        model: Sequential or functional model.
        bounds: `InputBounds`.
        horizon: integer or `None`.

    Attributes:
        entrances: `Entrances` of the model.
        uses: dict from the `id` of each layer to be converted to its `Use`.
    """

    def __init__(self, model: Any, bounds: InputBounds, horizon: int | None) -> None:
        self.bounds, self.horizon = bounds, horizon
        self.uses: dict[int, Use] = {}
        self._named: dict[str, set[int]] = {}
        graph = graph_of(model)
        self.entrances = entrances(graph, bounds)
        for tensor in graph.inputs:
            self._named.setdefault(tensor.name, set()).add(id(tensor))
        entering = [self.entrances.inputs[tensor.name] for tensor in graph.inputs]
        self._of_graph(graph, entering, training=False)
        self._check_names()
        if not self.uses:
            advice = (
                "`to_unitary` converts ContractiveRNN, keras.layers.SimpleRNN and RNN "
                "over their cells; LSTM and GRU are left alone."
            )
            expected = "a model with a recurrent layer"
            raise refusal(expected, model.name, "none to convert", advice)

    def _of_graph(
        self, graph: Graph, entering: Sequence[Interval], training: bool
    ) -> list[Interval]:
        def run(call: Call, args: Any, kwargs: Any) -> list[Interval]:
            return self._of_call(call, args, kwargs, training)

        return graph.replay(entering, run)

    def _of_call(
        self, call: Call, args: Any, kwargs: Any, training: bool
    ) -> list[Interval]:
        """The ranges of the outputs of a call, promised or derived."""
        layer = call.operation
        self._named.setdefault(layer.name, set()).add(id(layer))
        training = training or _trains(args, kwargs)
        if isinstance(layer, keras.Layer):
            check_precision(layer.weights, layer.name)
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            found = self._of_recurrent(layer, args, kwargs, training)
        else:
            found = self._of_other(call, args, kwargs, training)
        promised = self.bounds.named(layer.name)
        if promised is not None and not is_converted(layer):
            return [
                fit_tensor(promised, x, layer.name, self.bounds) for x in call.outputs
            ]
        found = [*found] * len(call.outputs) if len(found) == 1 else found
        return [_UNKNOWN if interval is None else interval for interval in found]

    def _of_other(
        self, call: Call, args: Any, kwargs: Any, training: bool
    ) -> Sequence[Interval | None]:
        layer = call.operation
        if isinstance(layer, keras.Model):
            entering = entering_model(layer, args, kwargs)
            return self._of_graph(graph_of(layer), entering, training)
        if type(layer) is keras.layers.TimeDistributed:
            each = replace(call, operation=layer.layer)
            return self._of_call(each, args, kwargs, training)
        if isinstance(layer, keras.layers.Wrapper):
            check_wrapped(layer)
        copy_of(layer)  # raises where a bound on its outputs would be of no use
        entering = [x for x in data_of(args, kwargs) if isinstance(x, Interval)]
        known = all(map(_is_known, entering))
        if training or not known or not isinstance(layer, keras.Layer):
            return [None]
        return layer_ranges(layer, entering)

    def _of_recurrent(
        self, layer: Any, args: Any, kwargs: Any, training: bool
    ) -> Sequence[Interval | None]:
        entering, given = arguments_of(layer, args, kwargs)
        found = entering if _is_known(entering) else None
        if is_converted(layer):
            check_wiring(layer, given, kwargs.get("mask"), training)
            found = self._entering(layer, found)
        starts = resting_starts(layer) if given is None else given_starts(layer, given)
        if is_converted(layer):
            self._use(Use(layer, found, starts), given is not None)
        elif layer.stateful and given is not None:
            return [None]  # another call may start from the states of this one
        if training or found is None:
            return [None]
        return layer_ranges(layer, [found], self.horizon, starts)

    def _entering(self, layer: Any, derived: Interval | None) -> Interval | None:
        """The range of what enters a layer to be converted, promised or derived."""
        cells = cells_of(layer)
        promised = self.bounds.named(layer.name)
        found = derived if promised is None else promised
        if found is not None:
            features = cells[0].kernel.shape[0]
            return fit(found, features, layer.name, self.bounds.given)
        if not are_unitary(cells):
            raise self._unknown(layer.name)
        return None

    def _use(self, use: Use, is_given: bool) -> None:
        """Join the ranges of a call with those of earlier calls."""
        layer, earlier = use.layer, self.uses.get(id(use.layer))
        known = are_unitary(cells_of(layer)) or all(map(_is_known, use.starts))
        if not known:
            raise self._unknown_start(layer.name)
        promised = self.bounds.named(layer.name) is not None
        if earlier and layer.stateful and (is_given or not promised):
            raise goes_on(layer.name)
        self.uses[id(layer)] = earlier.joined(use) if earlier else use

    def _unknown(self, name: str) -> ValueError:
        advice = (
            "The range of a layer before it can't be derived: give the largest |x| "
            f"that enters it, `input_bound={{..., {name!r}: ...}}`, beside the "
            "bounds of the model's inputs by their names."
        )
        expected = f"a dict with a bound for what enters {name!r}"
        return _checks.error("input_bound", expected, self.bounds.given, advice)

    def _unknown_start(self, name: str) -> ValueError:
        advice = (
            "The range of the state can't be derived: give the largest |x| that leaves "
            "the layer that it comes from, `input_bound={..., name of that layer: "
            "...}`, beside the bounds of the model's inputs by their names."
        )
        expected = f"a dict with a bound for the `initial_state` given to {name!r}"
        return _checks.error("input_bound", expected, self.bounds.given, advice)

    def _check_names(self) -> None:
        self.bounds.check_names(self._named)
        given = self.bounds.given if isinstance(self.bounds.given, Mapping) else {}
        shared = [name for name in given if len(self._named[name]) > 1]
        if shared:
            advice = (
                "Several inputs or layers, some of them in nested models, have this "
                "name: give each a name of its own (`layer.name = ...`)."
            )
            expected = "a dict by names that tell the layers apart"
            raise _checks.error("input_bound", expected, shared, advice)


def _is_known(interval: Interval) -> bool:
    return bool(np.all(np.isfinite(interval.largest)))


def _trains(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a layer was called with `training=True`.

    A positional flag of another name counts as well: then no range is derived.
    """
    flags = (*args, kwargs.get("training"))
    return any(flag is True for flag in flags)

"""Theorem 1 for a whole model: rebuild it around its converted recurrent layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn.equivalence.bounds import InputBounds, fit
from keras_urnn.equivalence.intervals import Interval
from keras_urnn.equivalence.ranges import layer_range
from keras_urnn.equivalence.recurrent import Plan, cells_of, plan_layer
from keras_urnn.equivalence.recurrent_ranges import recurrence_of
from keras_urnn.equivalence.refusals import check_cell, refusal

# Gated layers stay as they are: theorem 1 says nothing about them.
_LEFT_ALONE = (keras.layers.LSTM, keras.layers.GRU)


class Rebuilding:
    """One pass through a model, in the order of its graph.

    Each layer is given a counterpart, converted or copied, together with the range of
    its outputs.

    Args:
        bounds: `InputBounds`.
        horizon: integer or `None`.

    Attributes:
        entering: dict from the name of each converted layer to the range of its
            inputs.
        tables: dict from the name of each input that is looked up in an embedding to
            the number of its rows.
    """

    def __init__(self, bounds: InputBounds, horizon: int | None) -> None:
        self.bounds, self.horizon = bounds, horizon
        self.entering: dict[str, Interval] = {}
        self.tables: dict[str, int] = {}
        self._seen: set[str] = set()
        self._finishing: list[Callable[[], Any]] = []

    def replace(self, layer: Any, entering: Sequence[Interval | None]) -> Any:
        """Return the unbuilt counterpart of `layer`."""
        self._check(layer, entering)
        self._seen.add(layer.name)
        if not is_converted(layer):
            new = type(layer).from_config(layer.get_config())
            if isinstance(layer, keras.Layer):
                weights = layer.get_weights()
                self._finishing.append(lambda: new.set_weights(weights))
            return new
        plan = self._plan(layer, entering[0])
        self._finishing.append(plan.finish)
        return plan.layer

    def leaving(
        self, layer: Any, entering: Sequence[Interval | None]
    ) -> Interval | None:
        """The range of the outputs of `layer`, promised or derived, if known."""
        promised = self.bounds.named(layer.name)
        if promised is not None and not is_converted(layer):
            return promised
        if is_converted(layer):
            entering = [self.entering[layer.name]]
        known = [interval for interval in entering if interval is not None]
        if len(known) < len(entering) or not isinstance(layer, keras.Layer):
            return None
        return layer_range(layer, known, self.horizon)

    def finish(self, model: Any, inputs: Sequence[str]) -> None:
        """Set all weights, now that the layers are built; check the names given."""
        if not self.entering:
            advice = (
                "`to_unitary` converts ContractiveRNN, keras.layers.SimpleRNN and RNN "
                "over their cells; LSTM and GRU are left alone."
            )
            expected = "a model with a recurrent layer"
            raise refusal(expected, model.name, "none to convert", advice)
        known = self._seen | set(inputs)
        unknown = [name for name in self.bounds.names if name not in known]
        if unknown:
            advice = f"This model has {sorted(known)}."
            expected = "a dict by the names of inputs and layers"
            raise _checks.error("input_bound", expected, unknown, advice)
        for step in self._finishing:
            step()

    def _plan(self, layer: Any, entering: Interval | None) -> Plan:
        for cell in cells_of(layer):
            check_cell(cell, layer.name)
        promised = self.bounds.named(layer.name)
        found = entering if promised is None else promised
        if found is None:
            raise self._unknown(layer)
        features = recurrence_of(cells_of(layer)[0]).kernel.shape[0]
        found = fit(found, features, layer.name, self.bounds.given)
        self.entering[layer.name] = found
        return plan_layer(layer, found, self.horizon)

    def _unknown(self, layer: Any) -> ValueError:
        advice = (
            "The range of a layer before it can't be derived: give the largest |x| "
            f"that enters it, `input_bound={{..., {layer.name!r}: ...}}`, beside the "
            "bounds of the model's inputs by their names."
        )
        expected = f"a dict with a bound for what enters {layer.name!r}"
        return _checks.error("input_bound", expected, self.bounds.given, advice)

    def _check(self, layer: Any, entering: Sequence[Any]) -> None:
        found = self._hindrance(layer, entering)
        if found:
            advice = "A later version will convert it; until then rewrite this part."
            expected = "a plain graph of layers"
            raise refusal(expected, layer.name, found, advice)

    def _hindrance(self, layer: Any, entering: Sequence[Any]) -> str | None:
        if layer.name in self._seen:
            return "a shared layer, called more than once"
        if isinstance(layer, keras.Model):
            return "a nested model"
        if isinstance(layer, keras.layers.Wrapper) and is_converted(layer.layer):
            return f"a recurrent layer inside {type(layer).__name__}"
        if is_converted(layer) and layer.return_state:
            return "a state-wired layer (`return_state`)"
        if is_converted(layer) and len(entering) > 1:
            return "a state-wired layer (`initial_state` given as a tensor)"
        return None


def is_converted(layer: Any) -> bool:
    """Whether a layer of a model is to be converted: recurrent, and not gated."""
    if isinstance(layer, keras.layers.Bidirectional):
        return is_converted(layer.forward_layer)
    gated = (keras.layers.LSTMCell, keras.layers.GRUCell)
    return (
        isinstance(layer, keras.layers.RNN)
        and type(layer) not in _LEFT_ALONE
        and not all(isinstance(cell, gated) for cell in cells_of(layer))
    )


def rebuild(
    model: Any, bounds: InputBounds, horizon: int | None
) -> tuple[Any, Rebuilding]:
    """Return the converted model, and what was found on the way."""
    rebuilding = Rebuilding(bounds, horizon)
    if isinstance(model, keras.Sequential):
        new = _rebuild_sequential(model, rebuilding)
    else:
        new = _rebuild_functional(model, rebuilding)
    rebuilding.finish(model, [tensor.name for tensor in model.inputs])
    return new, rebuilding


def _rebuild_sequential(model: Any, rebuilding: Rebuilding) -> Any:
    if not model.built:
        advice = "Its weights don't exist yet: call it on data, or `build` it, first."
        raise refusal("built", model.name, "no weights", advice)
    tensor = model.inputs[0]
    interval: Interval | None
    interval = _input_range(tensor, model.layers[0], rebuilding)
    layers = []
    for layer in model.layers:
        layers.append(rebuilding.replace(layer, [interval]))
        interval = rebuilding.leaving(layer, [interval])
    entrance = keras.Input(
        batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
    )
    new = keras.Sequential(
        [entrance, *layers], name=model.name, trainable=model.trainable
    )
    if model.compiled:
        new.compile_from_config(model.get_compile_config())
    return new


def _rebuild_functional(model: Any, rebuilding: Rebuilding) -> Any:
    _check_functional(model)
    intervals: dict[int, Interval | None] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        # A mask is no input; and what is no layer, as the steps that compute masks,
        # has no rule that would ask for the range of its inputs.
        data = {key: value for key, value in kwargs.items() if key != "mask"}
        tensors = _tensors((args, data)) if isinstance(layer, keras.Layer) else []
        for tensor in tensors:
            # Every other tensor is the output of a layer that has been called.
            if id(tensor) not in intervals:
                intervals[id(tensor)] = _input_range(tensor, layer, rebuilding)
        entering = [intervals[id(tensor)] for tensor in tensors]
        outputs = rebuilding.replace(layer, entering)(*args, **kwargs)
        leaving = rebuilding.leaving(layer, entering)
        intervals.update({id(tensor): leaving for tensor in _tensors(outputs)})
        return outputs

    # The clone function hands the original on, so that `call` has both the layer and
    # the tensors of the new graph, in topological order.
    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )


def _tensors(structure: Any) -> list[Any]:
    flat = keras.tree.flatten(structure)
    return [leaf for leaf in flat if isinstance(leaf, keras.KerasTensor)]


def _input_range(tensor: Any, consumer: Any, rebuilding: Rebuilding) -> Interval:
    if isinstance(consumer, keras.layers.Embedding):
        # Tokens are bounded by the table, and what they give by its rows.
        rebuilding.tables[tensor.name] = consumer.input_dim
        return Interval.of(0.0, consumer.input_dim - 1.0)
    interval = rebuilding.bounds.of_input(tensor.name)
    features = tensor.shape[-1]
    if features is None:
        return interval.collapse()
    return fit(interval, features, tensor.name, rebuilding.bounds.given)


def _check_functional(model: Any) -> None:
    """Raise for a subclassed model: its graph is code, not data."""
    probe = keras.Input((1,))
    functional = type(keras.Model(probe, probe))  # the class has no public name
    if not isinstance(model, functional):
        advice = (
            "Build it from `keras.Sequential` or the functional API, or convert its "
            "recurrent layers one by one."
        )
        found = f"the subclassed model {type(model).__name__}"
        raise refusal("a Sequential or a functional model", model.name, found, advice)

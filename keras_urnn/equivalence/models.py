"""Theorem 1 for a whole model: rebuild it around its converted recurrent layers."""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn.equivalence.bounds import InputBounds, fit
from keras_urnn.equivalence.intervals import Interval
from keras_urnn.equivalence.ranges import layer_range
from keras_urnn.equivalence.recurrent import Plan, are_unitary, cells_of, plan_layer
from keras_urnn.equivalence.refusals import check_cell, check_precision, refusal

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
            inputs; `None` where it is not known, and a copy needs none.
        tables: dict from the name of each input that is looked up in an embedding to
            the number of its rows.
    """

    def __init__(self, bounds: InputBounds, horizon: int | None) -> None:
        self.bounds, self.horizon = bounds, horizon
        self.entering: dict[str, Interval | None] = {}
        self.tables: dict[str, int] = {}
        self._seen: set[str] = set()
        self._finishing: list[Callable[[], Any]] = []

    def replace(
        self, layer: Any, entering: Sequence[Interval | None], training: bool = False
    ) -> Any:
        """Return the unbuilt counterpart of `layer`, called as in the graph."""
        self._check(layer, entering, training)
        self._seen.add(layer.name)
        if not is_converted(layer):
            new = _copy(layer)
            if isinstance(layer, keras.Layer):
                self._finishing.append(lambda: _copy_learned(layer, new))
            return new
        plan = self._plan(layer, entering[0])
        self._finishing.append(plan.finish)
        return plan.layer

    def leaving(
        self,
        layer: Any,
        entering: Sequence[Interval | None],
        features: int | None,
        training: bool = False,
    ) -> Interval | None:
        """The range of the outputs of `layer`, promised or derived, if known.

        Args:
            layer: one that `replace` has seen.
            entering: the range of each of its inputs.
            features: the number of its outputs.
            training: whether it trains at inference, as the rules don't. Defaults to
                `False`.
        """
        promised = self.bounds.named(layer.name)
        if promised is not None and not is_converted(layer):
            return _fit(promised, features, layer.name, self.bounds)
        if training:
            return None
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
        self.bounds.check_names(known)
        for step in self._finishing:
            step()

    def _plan(self, layer: Any, entering: Interval | None) -> Plan:
        cells = cells_of(layer)
        for cell in cells:
            check_cell(cell, layer.name)
        promised = self.bounds.named(layer.name)
        found = entering if promised is None else promised
        if found is not None:
            features = cells[0].kernel.shape[0]
            found = fit(found, features, layer.name, self.bounds.given)
        elif not are_unitary(cells):
            raise self._unknown(layer)
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

    def _check(self, layer: Any, entering: Sequence[Any], training: bool) -> None:
        found = self._hindrance(layer, entering)
        if training and is_converted(layer):
            found = "a recurrent layer that trains at inference (`training=True`)"
        if found:
            advice = "A later version will convert it; until then rewrite this part."
            expected = "a plain graph of layers"
            raise refusal(expected, layer.name, found, advice)
        if isinstance(layer, keras.Layer):
            check_precision(layer.weights, layer.name)

    def _hindrance(self, layer: Any, entering: Sequence[Any]) -> str | None:
        if layer.name in self._seen:
            return "a shared layer, called more than once"
        if isinstance(layer, keras.Model):
            return "a nested model"
        wrapped = _unwrapped(layer)
        if isinstance(wrapped, keras.Model):
            return f"a nested model inside {type(layer).__name__}"
        if wrapped is not layer and is_converted(wrapped):
            return f"a recurrent layer inside {type(layer).__name__}"
        # The gated ones too: no range is known for their states, nor with a start
        # other than 0 for their outputs.
        recurrent = isinstance(wrapped, keras.layers.RNN | keras.layers.Bidirectional)
        if recurrent and wrapped.return_state:
            return "a state-wired layer (`return_state`)"
        if recurrent and len(entering) > 1:
            return "a state-wired layer (`initial_state` given as a tensor)"
        return None


def _unwrapped(layer: Any) -> Any:
    """What is inside a wrapper, however deep."""
    return _unwrapped(layer.layer) if isinstance(layer, keras.layers.Wrapper) else layer


def _copy(layer: Any) -> Any:
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


def _copy_learned(layer: Any, new: Any) -> None:
    new.set_weights(layer.get_weights())
    wrapped, copy = _unwrapped(layer), _unwrapped(new)
    if isinstance(copy, keras.layers.Normalization):
        # What it computes with is derived from its weights, once.
        copy.finalize_state()
    if hasattr(copy, "load_assets"):
        # What Keras saves beside weights and config: the vocabulary of a lookup.
        with tempfile.TemporaryDirectory() as folder:
            wrapped.save_assets(folder)
            copy.load_assets(folder)


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
        shape = keras.tree.flatten(layer.output)[0].shape
        interval = rebuilding.leaving(layer, [interval], shape[-1])
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
        training = _trains(args, kwargs)
        outputs = rebuilding.replace(layer, entering, training)(*args, **kwargs)
        for tensor in _tensors(outputs):
            features = tensor.shape[-1] if tensor.shape else None
            leaving = rebuilding.leaving(layer, entering, features, training)
            intervals[id(tensor)] = leaving
        return outputs

    # The clone function hands the original on, so that `call` has both the layer and
    # the tensors of the new graph, in topological order.
    return keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )


def _trains(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a layer was called with `training=True`.

    By position, a flag of another name would count as well: that costs a range.
    """
    flags = (*args, kwargs.get("training"))
    return any(flag is True for flag in flags)


def _tensors(structure: Any) -> list[Any]:
    flat = keras.tree.flatten(structure)
    return [leaf for leaf in flat if isinstance(leaf, keras.KerasTensor)]


def _input_range(tensor: Any, consumer: Any, rebuilding: Rebuilding) -> Interval:
    if isinstance(consumer, keras.layers.Embedding):
        # Tokens are bounded by the table, and what they give by its rows.
        rebuilding.tables[tensor.name] = consumer.input_dim
        return Interval.of(0.0, consumer.input_dim - 1.0)
    if tensor.dtype == "string":
        advice = (
            "Text has no bound, and is not what is verified: split the model behind "
            "the lookup, and convert the part that takes its numbers."
        )
        raise refusal("a model of numbers", tensor.name, "an input of text", advice)
    interval = rebuilding.bounds.of_input(tensor.name)
    return _fit(interval, tensor.shape[-1], tensor.name, rebuilding.bounds)


def _fit(
    interval: Interval, features: int | None, name: str, bounds: InputBounds
) -> Interval:
    if features is None:
        return interval.collapse()
    return fit(interval, features, name, bounds.given)


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

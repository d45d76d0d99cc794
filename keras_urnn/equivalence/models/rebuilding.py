"""Theorem 1 for a whole model: rebuild it with its recurrent layers converted."""

from collections.abc import Callable
from typing import Any

import keras

from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.models.graph import returned
from keras_urnn.equivalence.models.propagation import Survey
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.plans.copies import copy_learned, copy_of
from keras_urnn.equivalence.plans.layers import plan_layer
from keras_urnn.equivalence.plans.plan import Options, Plan
from keras_urnn.equivalence.ranges.cells import cells_of


def convert_model(model: Any, bounds: InputBounds, options: Options) -> Any:
    """Return the converted model; the original is left alone."""
    survey = Survey(model, bounds, options.horizon)

    def plan(layer: Any) -> Plan | None:
        use = survey.uses.get(id(layer))
        if use is None:
            return None
        return plan_layer(layer, use.entering, options, use.starts)

    return rebuilt(model, plan)


def rebuilt(model: Any, plan: Callable[[Any], Plan | None]) -> Any:
    """Return a copy of the model in which planned layers are replaced."""
    rebuilding = Rebuilding(plan)
    new = rebuilding.counterpart(model)
    rebuilding.finish()
    return new


class Rebuilding:
    """Makes one counterpart, a replacement or a copy, for each layer of a model.

    A layer, or nested model, that stands in several places of the original has one
    counterpart, in the same places of the new model.

    Args:
        plan: takes a layer and returns the `Plan` of its replacement, or `None` where
            the layer is to be copied; `None` to copy all layers.
    """

    def __init__(self, plan: Callable[[Any], Plan | None] | None) -> None:
        self._plan = plan
        self._made: dict[int, Any] = {}
        self._finishing: list[Callable[[], Any]] = []

    def counterpart(self, layer: Any) -> Any:
        """Return the counterpart of `layer`; it is built when it is called."""
        if id(layer) not in self._made:
            self._made[id(layer)] = self._make(layer)
        return self._made[id(layer)]

    def finish(self) -> None:
        """Set all weights, now that the layers are built."""
        for step in self._finishing:
            step()

    def _make(self, layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return self._rebuilt(layer)
        plan = self._plan(layer) if self._plan else None
        if plan is not None:
            self._finishing.append(plan.finish)
            return plan.layer
        if type(layer) is keras.layers.TimeDistributed:
            config = layer.get_config()
            del config["layer"]
            return type(layer)(self.counterpart(layer.layer), **config)
        new = copy_of(layer)
        if isinstance(layer, keras.Layer):
            self._finishing.append(lambda: copy_learned(layer, new))
        return new

    def _rebuilt(self, model: Any) -> Any:
        if not isinstance(model, keras.Sequential):
            new = self._rebuilt_functional(model)
        elif any(map(_returns_more, model.layers)):
            # Only a functional model can leave out the added states.
            view = keras.Model(model.inputs, model.outputs, name=model.name)
            new = self._rebuilt_functional(view)
        else:
            layers = [self.counterpart(layer) for layer in model.layers]
            new = keras.Sequential([_entrance(model), *layers], name=model.name)
        if not model.trainable:
            new.trainable = False
        if model.compiled and not new.compiled:
            new.compile_from_config(model.get_compile_config())
        return new

    def _rebuilt_functional(self, model: Any) -> Any:
        # The clone function returns the original, so that `_call` gets the layer and
        # the tensors of the new graph, in topological order.
        return keras.models.clone_model(
            model, clone_function=lambda layer: layer, call_function=self._call
        )

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        new = self.counterpart(layer)
        outputs = new(*args, **kwargs)
        return _wired(layer, new, outputs) if _returns_more(layer) else outputs


def _entrance(model: Any) -> Any:
    x = model.inputs[0]
    return keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)


def _returns_more(layer: Any) -> bool:
    """Whether the counterpart of a layer may return other states."""
    return is_converted(layer) and layer.return_state


def _wired(layer: Any, new: Any, outputs: Any) -> list[Any]:
    """The outputs of a counterpart that correspond to the outputs of the layer.

    States that theorem 1 adds are left out. In the place of a state that pruning has
    removed another one is repeated: no layer uses it (`exposing_layers`).
    """
    kept, states = returned(new, outputs)
    for cell, found in zip(cells_of(layer), states, strict=True):
        count = len(keras.tree.flatten(cell.state_size))
        kept += found[:count] + found[-1:] * (count - len(found))
    return kept

"""Calls of layers, of their methods, and of the callbacks that watch them."""

from typing import Any

import keras_urnn as ku
from tests.fuzzing import arguments as given
from tests.fuzzing.draws import Draw, fixed, one_of
from tests.fuzzing.engine import Call
from tests.fuzzing.targets import (
    FEATURES,
    STEPS,
    any_layer,
    any_model,
    target,
)

CALLBACKS = [ku.callbacks.UnitarityMonitor, ku.callbacks.ReapplyConstraints]


def built(draw: Draw) -> Call:
    """Build a layer for any shape, as a user or as Keras does when it loads."""
    layer = ku.ContractiveRNN(2) if draw.chance(0.5) else ku.UnitaryRNNCell(2)
    good = [(None, 3, 2), (2, 3, 2), (None, 2), [None, None, 2], (None, 3, None)]
    shape = given.mixed(draw, one_of(*good), 0.6)
    if draw.chance(0.5):
        return Call("build", layer.build, (shape,))
    config = draw.pick([{"input_shape": shape}, shape, {"shapes_dict": shape}])
    return Call("build_from_config", layer.build_from_config, (config,))


def called(draw: Draw) -> Call:
    """Call a built layer on sequences, with a start and a mask."""
    arguments = {}
    good = {
        "initial_state": lambda draw: draw.normal(2, 3).astype("float32"),
        "mask": lambda draw: draw.generator.random((2, STEPS)) < 0.7,
        "training": given.flag,
    }
    for name, value in good.items():
        if draw.chance(0.3):
            arguments[name] = given.mixed(draw, value, 0.5)
    layer = target(draw.pick(["contractive", "unitary", "scaled"]))
    x = given.mixed(draw, given.sequences, 0.4)
    return Call(f"{type(layer).__name__}()", layer, (x,), arguments)


def started(draw: Draw) -> Call:
    """The state that a cell starts from, for any batch size."""
    layer = target(draw.pick(["contractive", "unitary", "scaled", "unitary cell"]))
    cell = getattr(layer, "cell", layer)
    value = given.mixed(draw, one_of(2, 1, 0), 0.7)
    name = f"{type(cell).__name__}.get_initial_state"
    return Call(name, cell.get_initial_state, (value,))


def assigned(draw: Draw) -> Call:
    """Assign a matrix through the parametrization of a cell of its own."""
    cells = [
        ku.ContractiveRNNCell(2),
        *(
            ku.UnitaryRNNCell(2, None, parametrization=it)
            for it in given.PARAMETRIZATIONS
        ),
    ]
    cell = draw.pick(cells)
    cell.build((None, FEATURES))
    verb = draw.pick(["assign", "initialize"])
    name = f"{type(cell.parametrization).__name__}.{verb}"
    value = given.mixed(draw, given.matrix, 0.5)
    return Call(name, getattr(cell.parametrization, verb), (value,))


def warm_start(draw: Draw) -> Call:
    kind = draw.pick([ku.UnitaryRNN, ku.ContractiveRNN])
    layer = given.mixed(draw, any_layer, 0.4)
    arguments = {}
    if draw.chance(0.5):
        arguments = given.spoilt(draw, given.LAYER)
    name = f"{kind.__name__}.from_simple_rnn"
    return Call(name, kind.from_simple_rnn, (layer,), arguments)


def monitored(draw: Draw) -> Call:
    """A callback on a model or on nonsense, and its hooks with any logs."""

    def watch(kind: Any, model: Any, epoch: Any, logs: Any) -> None:
        callback = kind()
        callback.set_model(model)
        callback.on_train_begin(logs)
        callback.on_epoch_end(epoch, logs)

    kind = draw.pick(CALLBACKS)
    good = [lambda draw: {}, lambda draw: {"loss": 1.0}, fixed(None)]
    logs = given.mixed(draw, draw.pick(good), 0.3)
    model = given.mixed(draw, any_model, 0.3)
    return Call(f"callbacks.{kind.__name__}", watch, (kind, model, draw.below(3), logs))


def put_back(draw: Draw) -> Call:
    """Apply the constraints of a model's weights, or of what is none, once more."""
    model = given.mixed(draw, any_model, 0.5)
    return Call("project", vars(ku)["project"], (model,))

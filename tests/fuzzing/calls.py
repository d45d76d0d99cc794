"""The table of calls: each public function of the package, and how often it is drawn.

A row says what is called, how often, and makes a `Call` of a `Draw`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from keras_urnn import equivalence
from tests.fuzzing import arguments as given
from tests.fuzzing.configs import spoilt_config
from tests.fuzzing.draws import Draw, fixed, one_of
from tests.fuzzing.engine import Call
from tests.fuzzing.nonsense import any_array, any_value
from tests.fuzzing.targets import (
    FEATURES,
    STEPS,
    any_cell,
    any_conversion,
    any_layer,
    any_model,
    any_target,
)

Row = Callable[[Draw], Call]

CONSTRUCTED: dict[str, tuple[Any, dict[str, Any]]] = {
    "UnitaryRNNCell": (ku.UnitaryRNNCell, given.CELL),
    "ContractiveRNNCell": (
        ku.ContractiveRNNCell,
        {**given.CELL, "max_norm": given.MAX_NORM},
    ),
    "UnitaryRNN": (ku.UnitaryRNN, given.LAYER),
    "ContractiveRNN": (ku.ContractiveRNN, {**given.LAYER, "max_norm": given.MAX_NORM}),
    "UnitaryProjection": (ku.UnitaryProjection, {"method": given.METHOD}),
    "ContractiveProjection": (
        ku.ContractiveProjection,
        {"max_norm": given.MAX_NORM, "method": given.METHOD},
    ),
    "Projection": (ku.parametrizations.Projection, {"method": given.METHOD}),
}
CALLBACKS = [ku.callbacks.UnitarityMonitor, ku.callbacks.ReapplyConstraints]


def constructor(name: str) -> Row:
    kind, good = CONSTRUCTED[name]

    def make(draw: Draw) -> Call:
        arguments = given.spoilt(draw, good)
        if "units" in good and draw.chance(0.95):
            arguments.setdefault("units", 2)
        return Call(name, kind, (), arguments)

    return make


def from_config(name: str) -> Row:
    kind = CONSTRUCTED[name][0]

    def make(draw: Draw) -> Call:
        config = spoilt_config(draw, _instance(draw, name).get_config())
        return Call(f"{name}.from_config", kind.from_config, (config,))

    return make


def round_trip(name: str) -> Row:
    """From an object to its config and back, twice, through Keras."""

    def there_and_back(kind: Any, arguments: dict[str, Any]) -> Any:
        config = keras.saving.serialize_keras_object(kind(**arguments))
        return keras.saving.deserialize_keras_object(config).get_config()

    def make(draw: Draw) -> Call:
        kind, good = CONSTRUCTED[name]
        arguments = {"units": 2} if "units" in good else {}
        arguments |= given.spoilt(draw, good)
        return Call(f"{name}, to a config and back", there_and_back, (kind, arguments))

    return make


def deserialized(draw: Draw) -> Call:
    made = _instance(draw, draw.pick(list(CONSTRUCTED)))
    config = spoilt_config(draw, keras.saving.serialize_keras_object(made))
    function = keras.saving.deserialize_keras_object
    return Call("deserialize_keras_object", function, (config,))


def deserialized_layer(draw: Draw) -> Call:
    name = draw.pick(["UnitaryRNN", "ContractiveRNN", "UnitaryRNNCell"])
    around = draw.pick([lambda one: one, _bidirectional, _in_a_model])
    config = keras.layers.serialize(around(_instance(draw, name)))
    config = spoilt_config(draw, config)
    return Call("layers.deserialize", keras.layers.deserialize, (config,))


def _bidirectional(layer: Any) -> Any:
    plain = isinstance(layer, keras.layers.RNN)
    plain = plain and not layer.go_backwards
    return keras.layers.Bidirectional(layer if plain else ku.UnitaryRNN(2))


def _in_a_model(layer: Any) -> Any:
    plain = isinstance(layer, keras.layers.RNN)
    layer = layer if plain else keras.layers.RNN(layer)
    return keras.Sequential([keras.Input((STEPS, FEATURES), batch_size=2), layer])


def _instance(draw: Draw, name: str) -> Any:
    """An object of good arguments: where two of them don't fit, of the defaults."""
    kind, good = CONSTRUCTED[name]
    arguments = {key: make(draw) for key, make in good.items() if draw.chance(0.3)}
    base = {"units": 2} if "units" in good else {}
    try:
        return kind(**{**base, **arguments})
    except ValueError:
        return kind(**base)


def parametrization(draw: Draw) -> Call:
    identifier = given.mixed(draw, one_of("projection", "Projection", {}), 0.7)
    return Call("parametrizations.get", ku.parametrizations.get, (identifier,))


def projected(draw: Draw) -> Call:
    method = given.METHOD(draw)
    made = draw.pick([ku.UnitaryProjection(method), ku.ContractiveProjection(0.9)])
    kinds = [given.matrix, given.tensor, any_array, any_value]
    value = draw.weighted(kinds, [4, 4, 1, 3])(draw)
    return Call(f"{type(made).__name__}()", made, (value,))


def diagnosed(name: str) -> Row:
    function = getattr(ku.diagnostics, name)

    def make(draw: Draw) -> Call:
        value = draw.pick([given.matrix, any_array, any_value, any_target])(draw)
        return Call(f"diagnostics.{name}", function, (value,))

    return make


def measured(draw: Draw) -> Call:
    kind = draw.below(3)
    value = [given.data, any_array, any_value][kind](draw)
    arguments = {"mask": given.mixed(draw, _mask)} if draw.chance(0.3) else {}
    return Call("measure_input_bound", ku.measure_input_bound, (value,), arguments)


def _mask(draw: Draw) -> Any:
    return draw.generator.random((2, draw.pick([3, STEPS]))) < 0.7


def of_a_target(function: Any, good: dict[str, Any]) -> Row:
    """A function of a target and an `input_bound`, one of them spoilt or none."""

    def make(draw: Draw) -> Call:
        target = given.mixed(draw, any_target, 0.15)
        arguments = {"input_bound": given.mixed(draw, given.bound, 0.5)}
        if draw.chance(0.03):
            del arguments["input_bound"]
        for name, value in good.items():
            if draw.chance(0.4):
                arguments[name] = given.mixed(draw, value)
        return Call(function.__name__, function, (target,), arguments)

    return make


def verified(draw: Draw) -> Call:
    """Few runs of few steps: what is looked for here is how arguments are refused."""
    arguments = {"input_bound": given.mixed(draw, given.bound, 0.3), "steps": 3}
    arguments |= {"batch_size": 1, "search": False}
    good = {
        "horizon": given.horizon,
        "steps": one_of(1, 3, 10, 10**12),
        "batch_size": one_of(1, 2),
        "seed": one_of(0, 1),
        "readouts": lambda draw: tuple(draw.normal(3, draw.below(3)) for _ in range(2)),
    }
    for name, value in good.items():
        if draw.chance(0.15):
            arguments[name] = given.mixed(draw, value, 0.6)
    if draw.chance(0.02):
        arguments["search"] = any_value(draw)
    pair = _pair(draw)
    return Call("verify_equivalence", ku.verify_equivalence, pair, arguments)


def _pair(draw: Draw) -> tuple[Any, Any]:
    kind = draw.below(4)
    if kind == 0:
        return any_value(draw), given.mixed(draw, any_conversion)
    if kind == 1:
        return any_target(draw), any_value(draw)
    return any_target(draw), any_conversion(draw)


def found_scaling(name: str) -> Row:
    function = getattr(equivalence, name)

    def make(draw: Draw) -> Call:
        arguments = {}
        if draw.chance(0.3):
            options = ["target", "below"] if name == "find_scaling" else ["epsilon"]
            arguments[draw.pick(options)] = given.mixed(draw, one_of(0.5, 0.9, 1.0))
        value = given.mixed(draw, given.matrix)
        return Call(f"equivalence.{name}", function, (value,), arguments)

    return make


def state_bounds(draw: Draw) -> Call:
    arguments: dict[str, Any] = {}
    if draw.chance(0.5):
        readout = given.mixed(draw, lambda draw: draw.normal(3, 2))
        arguments["readout"] = readout
    if draw.chance(0.5):
        arguments["input_bound"] = given.mixed(draw, given.bound)
    function = ku.theory.unitary_state_bounds
    cell = given.mixed(draw, any_cell, 0.2)
    return Call("theory.unitary_state_bounds", function, (cell,), arguments)


def similar(draw: Draw) -> Call:
    arguments = {}
    if draw.chance(0.4):
        arguments["readout"] = given.mixed(draw, lambda draw: draw.normal(3, 2))
    cell = given.mixed(draw, any_cell, 0.2)
    good = [given.matrix, lambda draw: np.diag(np.abs(draw.normal(3)))]
    transform = given.mixed(draw, draw.pick(good))
    function = ku.theory.similarity_transform
    return Call("theory.similarity_transform", function, (cell, transform), arguments)


def linearized(draw: Draw) -> Call:
    from tests.fuzzing.targets import target

    cell = given.mixed(draw, draw.pick([any_cell, fixed(target("sigmoid cell"))]), 0.2)
    x = given.mixed(draw, lambda draw: draw.normal(FEATURES))
    return Call("theory.linearization", ku.theory.linearization, (cell, x))


def example(draw: Draw) -> Call:
    n = given.mixed(draw, one_of(1, 2, 3), 0.8)
    return Call("theory.tight_example", ku.theory.tight_example, (n,))


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
    from tests.fuzzing.targets import target

    layer = target(draw.pick(["contractive", "unitary", "scaled"]))
    x = given.mixed(draw, given.sequences, 0.4)
    return Call(f"{type(layer).__name__}()", layer, (x,), arguments)


def started(draw: Draw) -> Call:
    """The state that a cell starts from, for any batch size."""
    from tests.fuzzing.targets import target

    layer = target(draw.pick(["contractive", "unitary", "scaled", "unitary cell"]))
    cell = getattr(layer, "cell", layer)
    value = given.mixed(draw, one_of(2, 1, 0), 0.7)
    name = f"{type(cell).__name__}.get_initial_state"
    return Call(name, cell.get_initial_state, (value,))


def assigned(draw: Draw) -> Call:
    """Assign a matrix through the parametrization of a cell of its own."""
    cell = draw.pick([ku.UnitaryRNNCell, ku.ContractiveRNNCell])(2)
    cell.build((None, FEATURES))
    value = given.mixed(draw, given.matrix, 0.5)
    return Call("Projection.assign", cell.parametrization.assign, (value,))


def warm_start(draw: Draw) -> Call:
    kind = draw.pick([ku.UnitaryRNN, ku.ContractiveRNN])
    layer = given.mixed(draw, any_layer, 0.4)
    arguments = {}
    if draw.chance(0.5):
        arguments = given.spoilt(draw, given.LAYER)
    name = f"{kind.__name__}.from_simple_rnn"
    return Call(name, kind.from_simple_rnn, (layer,), arguments)


def reported(draw: Draw) -> Call:
    """Print what was found of a pair, and save it where nonsense says."""
    from tests.fuzzing.targets import target

    def save(path: Any) -> None:
        cell = target("unitary cell")
        inactive = ku.inactive_states(cell, input_bound=1.0)
        str(inactive), [one.removable for one in inactive]
        report.save(path)

    number = draw.pick([0.0, np.nan, np.inf])
    report = ku.EquivalenceReport(number, number, None, 1, 2, 0.0, 1.0, 0.0, None)
    path = any_value(draw)
    path = None if isinstance(path, str | bytes) else path  # no files all over
    return Call("EquivalenceReport.save", save, (path,))


def put_back(draw: Draw) -> Call:
    """Apply the constraints of a model's weights, or of what is none, once more."""
    model = given.mixed(draw, any_model, 0.5)
    return Call("project", ku.project, (model,))


CONVERSION = {"horizon": given.horizon, "minimize_states": given.flag}
HORIZON = {"horizon": given.horizon}

# How often each is drawn, in 1,000 calls: what is quick, often.
ROWS: list[tuple[float, Row]] = [
    *((70, constructor(name)) for name in list(CONSTRUCTED)[:4]),
    *((15, constructor(name)) for name in list(CONSTRUCTED)[4:]),
    *((40, from_config(name)) for name in list(CONSTRUCTED)[:4]),
    *((10, from_config(name)) for name in list(CONSTRUCTED)[4:]),
    *((20, round_trip(name)) for name in list(CONSTRUCTED)[:4]),
    (60, deserialized),
    (60, deserialized_layer),
    (30, parametrization),
    (20, projected),
    *((15, diagnosed(name)) for name in ("unitarity_error", "spectral_norm")),
    (40, measured),
    (30, of_a_target(ku.to_unitary, CONVERSION)),
    (20, of_a_target(ku.prune_inactive, HORIZON)),
    (20, of_a_target(ku.inactive_states, HORIZON)),
    (20, verified),
    *((15, found_scaling(name)) for name in ("find_scaling", "minimize_added_states")),
    (15, state_bounds),
    (20, similar),
    (20, linearized),
    (15, example),
    (1, lambda draw: Call("theory.sigmoid_example", ku.theory.sigmoid_example)),
    (20, monitored),
    (15, built),
    (15, called),
    (10, started),
    (10, assigned),
    (20, warm_start),
    (8, reported),
    *([(15, put_back)] if hasattr(ku, "project") else []),
]


def call_of(seed: int, index: int) -> Call:
    """The call that the seed and the index decide."""
    draw = Draw(seed, index)
    weights, rows = zip(*ROWS, strict=True)
    with warnings.catch_warnings(action="ignore"):
        call: Call = draw.weighted(rows, weights)(draw)
    return call

"""Calls of the functions: conversions, certificates, measurements, the theory."""

from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from keras_urnn import equivalence
from tests.fuzzing import arguments as given
from tests.fuzzing.draws import Draw, Row, fixed, one_of
from tests.fuzzing.engine import Call
from tests.fuzzing.nonsense import any_array, any_value
from tests.fuzzing.targets import (
    FEATURES,
    STEPS,
    any_cell,
    any_conversion,
    any_target,
    target,
)


def parametrization(draw: Draw) -> Call:
    identifier = given.mixed(draw, one_of(*ku.parametrizations.NAMES, {}), 0.7)
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


def profiled(name: str) -> Row:
    function = getattr(ku.diagnostics, name)

    def make(draw: Draw) -> Call:
        layer = draw.pick([any_target, any_target, any_value])(draw)
        x = draw.pick([given.data, given.data, any_array, any_value])(draw)
        return Call(f"diagnostics.{name}", function, (layer, x))

    return make


def patterns_checked(draw: Draw) -> Call:
    sgd = keras.optimizers.SGD()
    rates = keras.optimizers.OptimizerMap(sgd)
    rates[draw.pick([".*/recurrent_[a-z_]+", ".*", "kernel"])] = sgd
    arguments = given.mixed(draw, fixed(rates), 0.7), any_target(draw)
    check = ku.optimizers.check_patterns
    return Call("optimizers.check_patterns", check, arguments)


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
    cell = given.mixed(draw, draw.pick([any_cell, fixed(target("sigmoid cell"))]), 0.2)
    x = given.mixed(draw, lambda draw: draw.normal(FEATURES))
    return Call("theory.linearization", ku.theory.linearization, (cell, x))


def example(draw: Draw) -> Call:
    n = given.mixed(draw, one_of(1, 2, 3), 0.8)
    return Call("theory.tight_example", ku.theory.tight_example, (n,))


def reported(draw: Draw) -> Call:
    """Print what was found of a pair, and save it where nonsense says."""

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

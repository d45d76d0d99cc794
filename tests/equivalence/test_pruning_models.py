"""Models are pruned: each recurrent layer for what enters it, and nothing else."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import inactive_states, prune_inactive, to_unitary
from keras_urnn.equivalence.models.graph import leaves
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.ranges.cells import cells_of
from tests.equivalence.models import (
    FEATURES,
    MODELS,
    SEQUENCE,
    STATE,
    contractive,
    draw,
    encoder_decoder,
    functional,
    inner,
    outputs,
    reset,
    sequence,
    sequential,
    stateful,
)

L = keras.layers
BOUND = 2.0
# What is a conversion already, or unitary, doesn't come back from `to_unitary`.
COPIED = ("converted-already", "wired-already", "all-unitary", "unitary-cells")


def recurrent_layers(model: Any) -> dict[str, Any]:
    return {path: layer for path, layer in leaves(model) if is_converted(layer)}


def assert_same_weights(one: Any, other: Any) -> None:
    assert len(one.get_weights()) == len(other.get_weights())
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_pruning_undoes_the_conversion(name: str) -> None:
    model = MODELS[name]()
    converted = to_unitary(model, input_bound=BOUND)
    before = [w.copy() for w in converted.get_weights()]
    back = prune_inactive(converted, input_bound=BOUND)
    found, expected = recurrent_layers(back), recurrent_layers(model)
    assert list(found) == list(expected)
    for path, layer in expected.items():
        for cell, pruned in zip(cells_of(layer), cells_of(found[path]), strict=True):
            if name in COPIED[:2]:  # it goes back further than that
                assert pruned.units == cell.output_units
            else:
                assert_same_weights(cell, pruned)
    others = {path: layer for path, layer in leaves(back) if path not in found}
    for path, layer in leaves(converted):
        if path in others and isinstance(layer, keras.Layer):
            assert_same_weights(layer, others[path])
            assert layer is not others[path] or not layer.weights
    for one, other in zip(before, converted.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    x = draw(model, BOUND)
    for one in (model, back):
        reset(one)
    given, same = outputs(model, x), outputs(back, x)
    assert len(given) == len(same)
    for y, z in zip(given, same, strict=True):
        np.testing.assert_allclose(z, y, rtol=0, atol=2e-6 * max(1.0, abs(y).max()))


@pytest.mark.parametrize("name", ["stacked", "cells", "shared", "states-of-both"])
def test_pruning_undoes_the_least_conversion(name: str) -> None:
    model = MODELS[name]()
    converted = to_unitary(model, input_bound=BOUND, minimize_states=True)
    back = prune_inactive(converted, input_bound=BOUND)
    layers = recurrent_layers(model), recurrent_layers(converted)
    found = recurrent_layers(back)
    for path, layer in layers[0].items():
        cells = cells_of(layer), cells_of(layers[1][path]), cells_of(found[path])
        for cell, unitary, pruned in zip(*cells, strict=True):
            assert cell.units == pruned.units < unitary.units < 2 * cell.units
            np.testing.assert_array_equal(
                cell.get_weights()[0], pruned.get_weights()[0]
            )


def test_a_model_keeps_its_kind_and_is_compiled_as_it_was() -> None:
    model = sequential(contractive(**SEQUENCE), L.Dense(2))
    model.compile("sgd", "mse")
    model.layers[1].trainable = False
    back = prune_inactive(to_unitary(model, input_bound=BOUND), input_bound=BOUND)
    assert type(back) is keras.Sequential
    assert back.name == model.name
    assert back.compiled
    assert not back.layers[1].trainable
    back.fit(draw(model, BOUND)[0], np.zeros((8, 6, 2)), verbose=0)


def hidden(units: int = 4, bias: float = -99.0, **kwargs: Any) -> Any:
    """Two outputs, and hidden states that `bias` holds off, once they are set."""
    layer = ku.UnitaryRNN(units, output_units=2, **kwargs)
    layer.build((None, None, FEATURES))
    off = np.where(np.arange(units) < 2, 0.0, bias)
    layer.cell.set_weights([np.ones((FEATURES, units)), np.eye(units), off])
    return layer


def removable(model: Any, **kwargs: Any) -> dict[str, tuple[int, ...]]:
    report = inactive_states(model, **{"input_bound": 1.0, "horizon": 3, **kwargs})
    return {cell.name: cell.removable for cell in report}


@pytest.mark.parametrize(("scale", "units"), [(0.3, 2), (0.4, 4)])
def test_a_layer_is_pruned_for_what_enters_it(scale: float, units: int) -> None:
    # Three features add up to 0.9 or 1.2, against a bias of -1.
    layers = [sequence(), L.Rescaling(scale), hidden(bias=-1.0, name="h")]
    model = keras.Sequential(layers)
    assert removable(model) == {"h": (2, 3)[: 4 - units]}
    back = prune_inactive(model, input_bound=1.0, horizon=3)
    assert back.get_layer("h").units == units
    assert removable(model, input_bound={"h": 0.3, model.inputs[0].name: 1.0}) == {
        "h": (2, 3)
    }


@pytest.mark.parametrize(("scale", "units"), [(0.3, 2), (0.4, 4)])
def test_a_shared_layer_is_pruned_for_all_that_enters_it(
    scale: float, units: int
) -> None:
    x, layer = sequence("x"), hidden(bias=-1.0, name="h")
    both = [layer(L.Rescaling(0.1)(x)), layer(L.Rescaling(scale)(x))]
    back = prune_inactive(keras.Model(x, both), input_bound=1.0, horizon=3)
    assert back.get_layer("h").units == units
    assert len([one for one in back.layers if one.name == "h"]) == 1


def test_the_start_that_a_graph_gives_counts() -> None:
    converted = to_unitary(contractive_start(), input_bound=BOUND)
    assert removable(converted, input_bound=BOUND, horizon=None)["c"] == (2, 3)
    larger = {"x": BOUND, "start": 2.0 * BOUND}
    assert removable(converted, input_bound=larger, horizon=None)["c"] != (2, 3)


def contractive_start() -> Any:
    x, start = sequence("x"), keras.Input((2,), name="start")
    h = contractive(**SEQUENCE, name="c")(L.Rescaling(1e-3)(x), initial_state=start)
    return functional([x, start], h)


def exposed_as_output() -> Any:
    x = sequence("x")
    y, _, off = hidden(**STATE, name="h")(x)
    return keras.Model(x, [y, off])


def exposed_to_a_layer() -> Any:
    x = sequence("x")
    y, _, off = hidden(**STATE, name="h")(x)
    return keras.Model(x, L.Concatenate()([y, off]))


def exposed_as_initial_state() -> Any:
    x, a, b = sequence("x"), keras.Input((2,)), keras.Input((2,))
    return keras.Model([x, a, b], hidden(name="h")(x, initial_state=[a, b]))


def exposed_inside() -> Any:
    x = sequence("x")
    within = exposed_as_output()
    within.name = "inner"
    return keras.Model(x, within(x)[0])


EXPOSED = {
    "output": exposed_as_output,
    "layer": exposed_to_a_layer,
    "initial-state": exposed_as_initial_state,
    "nested": exposed_inside,
}


@pytest.mark.parametrize("make", EXPOSED.values(), ids=EXPOSED)
def test_hidden_states_that_are_given_on_are_kept(make: Any) -> None:
    model = make()
    (found,) = inactive_states(model, input_bound=1.0, horizon=3)
    assert found.output_units == found.units == 4
    assert found.removable == ()
    back = prune_inactive(model, input_bound=1.0, horizon=3)
    (layer,), (old,) = (recurrent_layers(one).values() for one in (back, model))
    assert (layer.units, layer.output_units) == (4, 2)
    assert_same_weights(layer, old)
    assert [x.shape for x in back.outputs] == [x.shape for x in model.outputs]


def test_hidden_states_that_nothing_takes_are_removed() -> None:
    x = sequence("x")
    y, state, _ = hidden(**STATE, name="h")(x)
    model = keras.Model(x, [y, state])
    back = prune_inactive(model, input_bound=1.0, horizon=3)
    assert back.get_layer("h").units == 2
    assert len(back.outputs) == 2
    drawn = draw(model, 1.0)
    for one, other in zip(outputs(model, drawn), outputs(back, drawn), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_report_has_the_paths_of_the_layers() -> None:
    x = sequence("x")
    both = L.Bidirectional(contractive(), name="both")
    within = inner(L.LSTM(3, **SEQUENCE), both, name="within")
    h = contractive(**SEQUENCE, name="h")(x)
    y = ku.UnitaryRNN(2, "tanh", name="smooth", return_sequences=True)(x)
    model = functional(x, [L.Dense(1)(within(L.Dense(FEATURES)(h))), y])
    report = inactive_states(to_unitary(model, input_bound=BOUND), input_bound=BOUND)
    forward, backward = both.forward_layer.name, both.backward_layer.name
    # Of the smooth layer, and of the gated one, nothing can be said.
    names = ["h", f"within/{forward}", f"within/{backward}"]
    assert [cell.name for cell in report] == names
    assert [cell.removable for cell in report] == 3 * [(2, 3)]
    assert [line.split()[0] for line in str(report).splitlines()[1:]] == names


@pytest.mark.parametrize("horizon", [None, 6])
def test_what_leaves_a_conversion_is_known_to_the_next(horizon: int | None) -> None:
    """At norm 1 all of its states together have no bound; those not at rest have."""
    first = to_unitary(sequential(contractive(**SEQUENCE)), input_bound=BOUND)
    layer = contractive(name="second")
    model = keras.Sequential([sequence(), *first.layers, layer])
    layer.cell.set_weights([np.eye(2), 0.5 * np.eye(2), np.zeros(2)])
    converted = to_unitary(model, input_bound=BOUND, horizon=horizon)
    assert removable(converted, input_bound=BOUND, horizon=horizon)["second"] == (2, 3)
    report = ku.verify_equivalence(
        model, converted, input_bound=BOUND, horizon=horizon, steps=6, batch_size=2
    )
    assert report.equivalent, report


def test_behind_what_has_no_bound_only_that_is_said() -> None:
    layers = [sequence(), hidden(bias=0.0, **SEQUENCE, name="a"), L.Dense(FEATURES)]
    model = keras.Sequential([*layers, hidden(name="b")])
    found = inactive_states(model, input_bound=1.0)
    assert [(one.name, one.bounded) for one in found] == [("a", False), ("b", False)]
    assert removable(model, horizon=None) == {"a": (), "b": ()}
    copy = prune_inactive(model, input_bound=1.0)
    for one, other in zip(model.layers, copy.layers, strict=True):
        assert one is not other
        assert_same_weights(one, other)


def test_a_stateful_model_keeps_its_batch_size() -> None:
    back = prune_inactive(to_unitary(stateful(), input_bound=BOUND), input_bound=BOUND)
    states = [layer.states for layer in recurrent_layers(back).values()]
    assert [[tuple(h.shape) for h in found] for found in states] == 2 * [[(4, 2)]]


def test_a_converted_model_can_be_verified_against_what_comes_back() -> None:
    model = encoder_decoder()
    converted = to_unitary(model, input_bound=BOUND)
    back = prune_inactive(converted, input_bound=BOUND)
    report = ku.verify_equivalence(
        back, converted, input_bound=BOUND, steps=6, batch_size=2
    )
    assert report.equivalent, report


@pytest.mark.parametrize("function", [inactive_states, prune_inactive])
def test_a_model_is_refused_for_what_is_missing(function: Any) -> None:
    with pytest.raises(ValueError, match="a model with a recurrent layer"):
        function(sequential(L.Dense(2)), input_bound=1.0)
    model = sequential(contractive(**SEQUENCE))
    with pytest.raises(ValueError, match="`input_bound` must be"):
        function(model, input_bound=None)
    with pytest.raises(ValueError, match="a dict with a bound for"):
        function(model, input_bound={"elsewhere": 1.0})

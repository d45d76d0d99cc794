"""Wiring: what one model does elsewhere is noted, and names and order are not."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.models.rebuilding import Rebuilding
from keras_urnn.equivalence.verification.matching import matched
from keras_urnn.equivalence.verification.same_layers import difference
from tests.equivalence.models import (
    FEATURES,
    MODELS,
    STATE,
    STEPS,
    inner,
    sequence,
)

L, ops = keras.layers, keras.ops
Make = Callable[[], Any]


def merged(swapped: bool) -> Any:
    a, b = sequence("a"), sequence("b")
    return keras.Model([a, b], L.Subtract()([b, a] if swapped else [a, b]))


def of_two(names: str, first: str) -> Any:
    inputs = {name: sequence(name) for name in names}
    return keras.Model(list(inputs.values()), L.Dense(2)(inputs[first]))


def outputs(swapped: bool) -> Any:
    x = sequence("x")
    ends = [L.Dense(2)(x), L.Activation("tanh")(x)]
    return keras.Model(x, ends[::-1] if swapped else ends)


def in_a_dict(*keys: str) -> Any:
    x = sequence("x")
    ends = [L.Activation("tanh")(x), L.Softmax()(x)]
    return keras.Model(x, dict(zip(keys, ends, strict=True)))


def residual(skipped: bool) -> Any:
    x = sequence("x")
    h = L.Dense(FEATURES)(x)
    return keras.Model(x, L.Add()([L.Dense(FEATURES)(h), x if skipped else h]))


def operation(function: Callable[[Any], Any]) -> Any:
    x = sequence("x")
    return keras.Model(x, function(x))


def masked(given: bool) -> Any:
    x, mask = sequence("x"), keras.Input((STEPS,), dtype="bool", name="mask")
    y = L.LSTM(2)(x, mask=mask if given else ops.logical_not(mask))
    return keras.Model([x, mask], y)


def behind_masking(masks: bool) -> Any:
    x = sequence("x")
    return keras.Model(x, L.LSTM(2)(L.Masking()(x) if masks else L.Identity()(x)))


def started(swapped: bool) -> Any:
    x = sequence("x")
    _, h, c = L.LSTM(2, **STATE)(x)
    return keras.Model(x, L.LSTM(2)(x, initial_state=[c, h] if swapped else [h, c]))


def trained(training: bool) -> Any:
    x = sequence("x")
    return keras.Model(x, L.Dropout(0.5)(x, training=training))


def nested(activation: str) -> Any:
    x = sequence("x")
    return keras.Model(x, inner(L.Dense(2), L.Activation(activation))(x))


def flat(*names: str) -> Any:
    x = sequence("x")
    h = x
    for name in names:
        h = L.Dense(FEATURES, name=name)(h)
    return keras.Model(x, h)


def twice(shared: bool, stateful: bool) -> Any:
    x = keras.Input(batch_shape=(2, STEPS, FEATURES), name="x")
    layers = [L.GRU(FEATURES, stateful=stateful, return_sequences=True) for _ in "ab"]
    first, second = layers[0], layers[0] if shared else layers[1]
    return keras.Model(x, second(first(x)))


def sized(steps: int | None, dtype: str = "float32") -> Any:
    x = keras.Input((steps, FEATURES), dtype=dtype)
    return keras.Model(x, L.GlobalMaxPooling1D()(x))


OTHERS: dict[str, tuple[Make, Make]] = {
    "order of what is merged": (lambda: merged(False), lambda: merged(True)),
    "another input": (lambda: of_two("ab", "a"), lambda: of_two("ab", "b")),
    "order of inputs": (lambda: of_two("ab", "a"), lambda: of_two("ba", "b")),
    "order of outputs": (lambda: outputs(False), lambda: outputs(True)),
    "keys": (lambda: in_a_dict("a", "b"), lambda: in_a_dict("b", "a")),
    "other keys": (lambda: in_a_dict("a", "b"), lambda: in_a_dict("a", "c")),
    "number of outputs": (lambda: flat("a"), lambda: outputs(False)),
    "skipped": (lambda: residual(False), lambda: residual(True)),
    "constant": (
        lambda: operation(lambda x: 2.0 * x),
        lambda: operation(lambda x: 3.0 * x),
    ),
    "array": (
        lambda: operation(lambda x: x + np.ones(FEATURES)),
        lambda: operation(lambda x: x + np.arange(FEATURES)),
    ),
    "slice": (
        lambda: operation(lambda x: x[:, :2]),
        lambda: operation(lambda x: x[:, 1:3]),
    ),
    "mask": (lambda: masked(True), lambda: masked(False)),
    "masked": (lambda: behind_masking(True), lambda: behind_masking(False)),
    "start": (lambda: started(False), lambda: started(True)),
    "depth": (lambda: flat("a"), lambda: flat("a", "b")),
    "unfolded": (lambda: nested("tanh"), lambda: flat("a", "b")),
    "shared states": (lambda: twice(True, True), lambda: twice(False, True)),
    "length": (lambda: sized(None), lambda: sized(4)),
    "dtype": (lambda: sized(4), lambda: sized(4, "float16")),
}


def pairs_of(matching: Any) -> list[tuple[str, Any, Any]]:
    return list(matching.layers.values())


@pytest.mark.parametrize("name", OTHERS)
def test_another_wiring_is_a_gap(name: str) -> None:
    one, other = (make() for make in OTHERS[name])
    for found in (matched(one, other), matched(other, one)):
        kinds = [type(old) is type(new) for _, old, new in pairs_of(found)]
        assert found.gaps or not all(kinds), name


def test_another_operation_is_none_of_its_kind() -> None:
    def of(axis: int) -> Any:
        (pair,) = pairs_of(matched(*[operation(lambda x: ops.max(x, axis=axis))] * 2))
        return pair[1]

    assert difference(of(1), of(1)) is None
    assert difference(of(1), of(2)) is not None


def test_what_trains_at_inference_is_a_gap() -> None:
    (gap,) = matched(trained(True), trained(True)).gaps
    assert "trains at inference" in gap
    assert not matched(trained(False), trained(False)).gaps


def test_states_are_shared_alike() -> None:
    assert not matched(twice(True, True), twice(True, True)).gaps
    assert not matched(twice(True, False), twice(False, False)).gaps


def test_names_are_no_wiring() -> None:
    found = matched(flat("a", "b"), flat("b", "a"))
    assert not found.gaps
    assert [(p, new.name) for p, _, new in pairs_of(found)] == [("a", "b"), ("b", "a")]
    assert not matched(of_two("ab", "a"), of_two("cd", "c")).gaps


def test_a_layer_made_earlier_is_the_same_wiring() -> None:
    def model(turned: bool) -> Any:
        x = sequence("x")
        makes = [L.Dense, L.EinsumDense]
        ends = {}
        for kind in makes[::-1] if turned else makes:
            args = (2,) if kind is L.Dense else ("abc,cd->abd", (None, 2))
            ends[kind] = kind(*args)(x)
        return keras.Model(x, L.Add()([ends[kind] for kind in makes]))

    found = matched(model(False), model(True))
    assert not found.gaps
    assert all(type(old) is type(new) for _, old, new in pairs_of(found))


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_wired_as_the_original(name: str) -> None:
    model = MODELS[name]()
    rebuilding = Rebuilding(None)
    copy = rebuilding.counterpart(model)
    rebuilding.finish()
    found = matched(model, copy)
    assert not found.gaps
    assert found.layers
    for path, old, new in pairs_of(found):
        assert difference(old, new) is None, path


def test_layers_are_paired_in_nested_models_and_at_each_step() -> None:
    found = matched(*[MODELS["for-each-step"]() for _ in range(2)])
    paths = [path for path, *_ in pairs_of(found)]
    assert "each_model/inner/both" in paths
    assert any(path.startswith("each/") for path in paths)

"""Whole models: trained on real digits, converted, and verified."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence
from tests.equivalence.networks import Array
from tests.helpers import precision, to_numpy

L = keras.layers
FEATURES, STEPS = 3, 6


def digits() -> tuple[Array, Array]:
    """Eight steps of eight pixels in [0, 1]."""
    found = load_digits()
    return (found.images / 16.0).astype("float32"), found.target


def two_layers() -> Any:
    x = keras.Input((8, 8), name="rows")
    h = ku.ContractiveRNN(12, max_norm=0.9, return_sequences=True, name="first")(x)
    h = L.Dropout(0.1)(L.LayerNormalization()(h))
    h = L.Concatenate()([L.Dense(6, "tanh")(h), h])
    h = ku.ContractiveRNN(10, name="second")(h)
    return keras.Model(x, L.Dense(10, "softmax")(h), name="two_layers")


def both_directions() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8)),
            L.Bidirectional(ku.ContractiveRNN(12), name="both"),
            L.Dense(10, "softmax"),
        ],
        name="both_directions",
    )


@pytest.mark.parametrize("make", [two_layers, both_directions])
def test_a_model_trained_on_digits_is_converted(make: Callable[[], Any]) -> None:
    images, labels = digits()
    model = make()
    optimizer = keras.optimizers.Adam(3e-3)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, batch_size=32, epochs=3, verbose=0)
    converted = to_unitary(model, input_bound=1.0)
    expected = model.predict(images, batch_size=600, verbose=0)
    found = converted.predict(images, batch_size=600, verbose=0)
    assert (expected.argmax(axis=1) == labels).mean() > 0.3  # it has learned
    # Probabilities: errors of 1e-6 relative in the states, magnified by the softmax.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert converted.name == model.name
    assert type(converted) is type(model)
    report = verify_equivalence(
        model, converted, input_bound=1.0, steps=64, batch_size=2
    )
    assert report.equivalent, report
    assert report.states_after == 2 * report.states_before
    assert report.unitarity_error <= 1e-6


def randomize(model: Any, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if "recurrent" not in weight.path:
            drawn = 0.5 * generator.normal(size=weight.shape)
            weight.assign(np.abs(drawn) if "variance" in weight.path else drawn)
    return model


def contractive(units: int = 2, **kwargs: Any) -> Any:
    return ku.ContractiveRNN(units, max_norm=0.9, **kwargs)


def sequential(*layers: Any) -> Any:
    return randomize(keras.Sequential([keras.Input((STEPS, FEATURES)), *layers]))


def embedded() -> Any:
    layers = [L.Embedding(7, 3, mask_zero=True), contractive(), L.Dense(2)]
    return randomize(keras.Sequential([keras.Input((None,), name="tokens"), *layers]))


def embedded_functional() -> Any:
    tokens = keras.Input((None,), name="tokens")
    h = L.Embedding(7, 3, mask_zero=True)(tokens)
    h = contractive(return_sequences=True)(h)
    return randomize(keras.Model(tokens, contractive()(L.LayerNormalization()(h))))


def several() -> Any:
    """Two inputs, two outputs in a dict, and a residual connection."""
    a = keras.Input((STEPS, FEATURES), name="a")
    b = keras.Input((STEPS, FEATURES), name="b")
    h = contractive(FEATURES, return_sequences=True, name="first")(L.Add()([a, b]))
    h = L.Average()([h, a])
    outputs = {
        "last": contractive(name="second")(h),
        "mean": L.GlobalAveragePooling1D()(h),
    }
    return randomize(keras.Model({"a": a, "b": b}, outputs))


SEQUENCE = {"return_sequences": True}


def adapted() -> Any:
    """What the layers of its own data compute with is derived from their weights."""
    model = sequential(
        contractive(**SEQUENCE),
        L.TimeDistributed(L.Normalization(), name="each"),
        L.Normalization(name="all"),
        L.Dense(2),
    )
    data = np.random.default_rng(0).normal(3.0, 2.0, size=(9, STEPS, 2))
    model.get_layer("each").layer.adapt(data[0])
    model.get_layer("all").adapt(data)
    return model


def converted_already() -> Any:
    model = sequential(contractive(**SEQUENCE), contractive(), L.Dense(2))
    return to_unitary(model, input_bound=2.0)


MODELS: dict[str, Callable[[], Any]] = {
    "one-layer": lambda: sequential(contractive()),
    "stacked": lambda: sequential(contractive(**SEQUENCE), contractive()),
    "pooled": lambda: sequential(
        contractive(**SEQUENCE), L.MaxPooling1D(2, padding="same"), contractive()
    ),
    "normalized": lambda: sequential(
        contractive(**SEQUENCE), L.BatchNormalization(), contractive()
    ),
    "gated": lambda: sequential(L.LSTM(3, **SEQUENCE), contractive(), L.Dense(2)),
    "masked": lambda: sequential(L.Masking(), contractive(**SEQUENCE), contractive()),
    "cells": lambda: sequential(
        L.RNN([ku.ContractiveRNNCell(3), ku.ContractiveRNNCell(2)]), L.Dense(1)
    ),
    "unitary": lambda: sequential(ku.UnitaryRNN(3, "tanh", **SEQUENCE), contractive()),
    "adapted": adapted,
    "all-unitary": lambda: sequential(
        ku.UnitaryRNN(3, **SEQUENCE), L.LayerNormalization(), ku.UnitaryRNN(3)
    ),
    "unitary-cells": lambda: sequential(
        ku.UnitaryRNN(3, **SEQUENCE),
        L.RNN([ku.UnitaryRNNCell(3), ku.UnitaryRNNCell(2)]),
    ),
    "converted-already": converted_already,
    "embedded": embedded,
    "embedded-functional": embedded_functional,
    "several": several,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_is_converted(make: Callable[[], Any]) -> None:
    model = make()
    before = model.get_weights()
    bound: Any = {} if make in (embedded, embedded_functional) else 2.0
    converted = to_unitary(model, input_bound=bound)
    report = verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2
    )
    assert report.equivalent, report
    assert [layer.name for layer in converted.layers] == [
        layer.name for layer in model.layers
    ]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def behind_a_convolution() -> Any:
    x = keras.Input((STEPS, FEATURES), name="x")
    h = contractive(return_sequences=True, name="before")(x)
    h = L.Conv1D(2, 3, name="convolution")(h)
    return randomize(keras.Model(x, contractive(name="behind")(h)))


def trained(layer: Any, **kwargs: Any) -> Any:
    x = keras.Input((STEPS, FEATURES), name="x")
    layer.name = "trained"
    h = layer(x, **kwargs)
    return randomize(keras.Model(x, contractive(name="behind")(h)))


@pytest.mark.parametrize(
    "make", [lambda: L.Dropout(0.5), lambda: L.TimeDistributed(L.Dropout(0.5))]
)
def test_a_layer_that_trains_at_inference_has_no_range(
    make: Callable[[], Any],
) -> None:
    with pytest.raises(ValueError, match="what enters 'behind'"):
        to_unitary(trained(make(), training=True), input_bound=1.0)
    bound = {"x": 1.0, "trained": 2.0}
    promised = to_unitary(trained(make(), training=True), input_bound=bound)
    assert promised.get_layer("behind").cell.units == 4
    assert to_unitary(trained(make(), training=False), input_bound=1.0).built


def test_a_unitary_layer_behind_an_unknown_range_is_copied() -> None:
    x = keras.Input((STEPS, FEATURES), name="x")
    h = L.Conv1D(2, 3)(contractive(return_sequences=True)(x))
    model = randomize(keras.Model(x, ku.UnitaryRNN(2, name="copied")(h)))
    converted = to_unitary(model, input_bound=2.0)
    report = verify_equivalence(
        model, converted, input_bound=2.0, steps=12, batch_size=2
    )
    assert report.equivalent, report
    kernel = converted.get_layer("copied").cell.kernel
    kernel.assign(1.01 * to_numpy(kernel))
    report = verify_equivalence(
        model, converted, input_bound=2.0, steps=12, batch_size=2
    )
    assert "copied: the input kernel is not the original's" in report.reasons


def test_the_error_names_the_layer_whose_range_can_not_be_derived() -> None:
    with pytest.raises(
        ValueError, match=r"what enters 'behind'.*'behind': \.\.\."
    ) as caught:
        to_unitary(behind_a_convolution(), input_bound=2.0)
    assert "`input_bound` must be a dict" in str(caught.value)


@pytest.mark.parametrize("name", ["behind", "convolution"])
def test_a_dict_gives_the_bound_behind_such_a_layer(name: str) -> None:
    model = behind_a_convolution()
    bound: dict[str, Any] = {"x": 2.0, name: [50.0, 60.0]}
    converted = to_unitary(model, input_bound=bound)
    report = verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2
    )
    assert report.equivalent, report
    assert not verify_equivalence(
        model,
        converted,
        input_bound={"x": 2.0, name: 70.0},
        steps=2,
        batch_size=2,
    ).equivalent


def test_a_bound_that_was_promised_and_is_not_kept_is_reported() -> None:
    model = behind_a_convolution()
    bound = {"x": 2.0, "behind": 1e-3}
    converted = to_unitary(model, input_bound=bound)
    report = verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2
    )
    assert "behind: what enters it leaves the range given for it" in report.reasons


def test_a_bound_by_an_unknown_name_is_refused() -> None:
    model = sequential(contractive(name="here"))
    bound = {model.inputs[0].name: 1.0, "ther": 1.0}
    with pytest.raises(ValueError, match=r"Received: input_bound=\['ther'\].*'here'"):
        to_unitary(model, input_bound=bound)


def test_an_input_without_a_bound_is_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match="a dict with a bound for 'b'"):
        to_unitary(several(), input_bound={"a": 1.0})


def test_the_range_carried_to_a_layer_is_that_of_its_inputs() -> None:
    # The second layer's inputs lie in [0, 1], whatever the bound on the first's.
    def converted(bound: float) -> Any:
        layers = [
            contractive(**SEQUENCE),
            L.Activation("sigmoid"),
            contractive(name="c"),
        ]
        return to_unitary(sequential(*layers), input_bound=bound).get_layer("c")

    small, large = (to_numpy(converted(bound).cell.bias) for bound in (1.0, 100.0))
    np.testing.assert_allclose(small, large, rtol=1e-4)


@pytest.mark.parametrize("make", [two_layers, both_directions])
def test_a_compiled_model_gives_a_compiled_one(make: Callable[[], Any]) -> None:
    model = make()
    assert not to_unitary(model, input_bound=1.0).compiled
    model.compile("sgd", "sparse_categorical_crossentropy")
    converted = to_unitary(model, input_bound=1.0)
    assert converted.compiled
    assert converted.optimizer is not model.optimizer
    images, labels = (part[:64] for part in digits())
    expected = model.evaluate(images, labels, verbose=0)
    assert converted.evaluate(images, labels, verbose=0) == pytest.approx(
        expected, 1e-5
    )


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "wrapped"])
def test_an_adapted_vocabulary_is_copied(wrap: bool) -> None:
    ids = np.array([[100, 107, 100, 103]])
    lookup = L.IntegerLookup()
    lookup.adapt(ids)
    # Outputs of a `TimeDistributed` layer are tensors for each step on their own.
    steps = (L.Reshape((-1, 1)), L.TimeDistributed(lookup), L.Reshape((-1,)))
    layers = [*(steps if wrap else [lookup]), L.Embedding(4, 3), contractive(name="c")]
    tokens = keras.Input((4,), dtype="int32", name="ids")
    model = randomize(keras.Sequential([tokens, *layers]))
    bound = {"ids": 110.0, "c": 3.0}
    converted = to_unitary(model, input_bound=bound)
    expected = to_numpy(model(ids))
    np.testing.assert_allclose(to_numpy(converted(ids)), expected, rtol=0, atol=1e-6)
    assert verify_equivalence(model, converted, input_bound=bound).equivalent


def test_a_converted_model_is_saved_and_loaded(tmp_path: Any) -> None:
    converted = to_unitary(both_directions(), input_bound=1.0)
    converted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = digits()[0][:4]
    np.testing.assert_array_equal(
        to_numpy(converted(x, training=False)), to_numpy(loaded(x, training=False))
    )


def test_a_weight_that_is_not_copied_is_reported() -> None:
    model = sequential(contractive(), L.Dense(2, name="head"))
    converted = to_unitary(model, input_bound=1.0)
    head = converted.get_layer("head")
    head.kernel.assign(-to_numpy(head.kernel))
    report = verify_equivalence(model, converted, input_bound=1.0, batch_size=2)
    assert report.reasons[0] == "head: its weights are not the original's"
    assert "outputs differ" in report.reasons[1]


def test_weights_that_are_not_copied_are_reported_in_half_precision() -> None:
    # At norm 0.999 rounding may change the states by half of their size.
    with precision("mixed_bfloat16"):
        model = sequential(ku.ContractiveRNN(2), L.Dense(2, name="head"))
        converted = to_unitary(model, input_bound=1.0)
    head = converted.get_layer("head")
    for factor, words in ((1.001, "head: its weights"), (-1.0, "outputs differ")):
        head.kernel.assign(factor * to_numpy(model.get_layer("head").kernel))
        report = verify_equivalence(model, converted, input_bound=1.0, batch_size=2)
        assert words in "\n".join(report.reasons)


def test_a_layer_that_is_missing_is_reported() -> None:
    model = sequential(contractive(name="c"), L.Dense(2, name="head"))
    shorter = sequential(contractive(name="c"), L.Dense(2, name="other"))
    converted = to_unitary(shorter, input_bound=1.0)
    report = verify_equivalence(model, converted, input_bound=1.0, batch_size=2)
    assert report.reasons[0] == f"head: not in {converted.name}"


def test_one_bias_raised_in_a_model_is_reported_with_its_layer() -> None:
    model = sequential(contractive(**SEQUENCE), contractive(name="here"))
    converted = to_unitary(model, input_bound=1.0)
    bias = converted.get_layer("here").cell.bias
    bias.assign(to_numpy(bias) * np.array([1.0, 1.0, 0.99, 1.0]))
    report = verify_equivalence(model, converted, input_bound=1.0, batch_size=2)
    assert report.reasons == (
        "here: the bias of an added state is beyond what is proved",
    )


def test_a_stateful_model_is_not_run() -> None:
    layers = [contractive(stateful=True)]
    model = keras.Sequential([keras.Input(batch_shape=(2, STEPS, FEATURES)), *layers])
    converted = to_unitary(model, input_bound=1.0)
    with pytest.raises(ValueError, match=r"stateful layer.*one by one"):
        verify_equivalence(model, converted, input_bound=1.0)
    report = verify_equivalence(
        model.layers[0], converted.layers[0], input_bound=1.0, steps=5
    )
    assert report.equivalent

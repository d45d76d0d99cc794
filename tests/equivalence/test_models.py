"""Whole models: trained on real digits, converted, and verified."""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence
from keras_urnn.equivalence.models.graph import leaves
from tests.equivalence.models import (
    FEATURES,
    MODELS,
    SEQUENCE,
    STATE,
    STEPS,
    contractive,
    draw,
    encoder_decoder,
    functional,
    inner,
    nested_twice,
    outputs,
    randomize,
    reset,
    sequence,
    sequential,
    several,
    simple,
    stateful,
    states_of_both,
)
from tests.equivalence.networks import Array
from tests.helpers import precision, to_numpy

L = keras.layers
BOUND = 2.0


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


def verified(model: Any, converted: Any, bound: Any = BOUND) -> Any:
    return verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2, search=False
    )


def bound_of(model: Any) -> Any:
    """Tokens have none."""
    return {} if model.inputs[0].name == "tokens" else BOUND


def names_of(model: Any) -> list[Any]:
    inside = [
        names_of(layer) if isinstance(layer, keras.Model) else layer.name
        for layer in model.layers
        if not isinstance(layer, L.InputLayer)
    ]
    return [model.name, *inside, *(x.name for x in model.inputs)]


def largest_difference(expected: list[Array], found: list[Array]) -> float:
    """Relative to the largest number of each output."""
    return max(
        float(np.max(np.abs(a - b)) / np.max(np.abs(a)))
        for a, b in zip(expected, found, strict=True)
    )


# One of each kind of wiring: the others take long to compile.
ON_EACH_BACKEND = (
    "stacked",
    "embedded",
    "gated",
    "cells",
    "encoder-decoder",
    "masked-from-a-start",
    "stateful",
    "adapted",
)


def named(name: str) -> Any:
    marks = [pytest.mark.each_backend] if name in ON_EACH_BACKEND else []
    return pytest.param(MODELS[name], id=name, marks=marks)


@pytest.mark.parametrize("make", [named(name) for name in MODELS])
def test_a_model_is_converted(make: Callable[[], Any], tmp_path: Any) -> None:
    model = make()
    converted = to_unitary(model, input_bound=bound_of(model))
    assert names_of(converted) == names_of(model)
    x = draw(model, BOUND)
    for one in (model, converted):
        reset(one)
    expected, found = outputs(model, x), outputs(converted, x)
    assert all(np.any(y) for y in expected)
    assert largest_difference(expected, found) <= 1e-6
    report = verified(model, converted, bound_of(model))
    assert report.equivalent, report
    converted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (loaded, converted):
        reset(one)
    for y, again in zip(outputs(converted, x), outputs(loaded, x), strict=True):
        np.testing.assert_array_equal(again, y)


def behind_a_convolution() -> Any:
    x = keras.Input((STEPS, FEATURES), name="x")
    h = contractive(return_sequences=True, name="before")(x)
    h = L.Conv1DTranspose(2, 3, name="convolution")(h)
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
    h = L.Conv1DTranspose(2, 3)(contractive(return_sequences=True)(x))
    model = randomize(keras.Model(x, ku.UnitaryRNN(2, name="copied")(h)))
    converted = to_unitary(model, input_bound=2.0)
    report = verify_equivalence(
        model, converted, input_bound=2.0, steps=12, batch_size=2, search=False
    )
    assert report.equivalent, report
    kernel = converted.get_layer("copied").cell.kernel
    kernel.assign(1.01 * to_numpy(kernel))
    report = verify_equivalence(
        model, converted, input_bound=2.0, steps=12, batch_size=2, search=False
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
        model, converted, input_bound=bound, steps=12, batch_size=2, search=False
    )
    assert report.equivalent, report
    assert not verify_equivalence(
        model,
        converted,
        input_bound={"x": 2.0, name: 70.0},
        steps=2,
        batch_size=2,
        search=False,
    ).equivalent


def test_a_bound_that_was_promised_and_is_not_kept_is_reported() -> None:
    model = behind_a_convolution()
    bound = {"x": 2.0, "behind": 1e-3}
    converted = to_unitary(model, input_bound=bound)
    report = verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2, search=False
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
    # The second layer's inputs fill [0, 1], whatever the bound on the first's.
    def converted(bound: float) -> Any:
        layers = [
            contractive(**SEQUENCE),
            L.Activation("sigmoid"),
            contractive(name="c"),
        ]
        return to_unitary(sequential(*layers), input_bound=bound).get_layer("c")

    small, large = (to_numpy(converted(bound).cell.bias) for bound in (1e2, 1e4))
    np.testing.assert_allclose(small, large, rtol=1e-4)


def test_a_compiled_sequential_model_that_returns_states_gives_a_compiled_one() -> None:
    model = sequential(contractive(**STATE))
    model.compile("sgd", ["mse", "mse"])
    assert to_unitary(model, input_bound=1.0).compiled


@pytest.mark.parametrize(
    "make",
    [two_layers, pytest.param(both_directions, marks=pytest.mark.each_backend)],
)
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
    report = verify_equivalence(
        model, converted, input_bound=1.0, batch_size=2, search=False
    )
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
        report = verify_equivalence(
            model, converted, input_bound=1.0, batch_size=2, search=False
        )
        assert words in "\n".join(report.reasons)


def test_a_layer_that_is_missing_is_reported() -> None:
    model = sequential(contractive(name="c"), L.Dense(2, name="head"))
    shorter = sequential(contractive(name="c"))
    converted = to_unitary(shorter, input_bound=1.0)
    report = verify_equivalence(
        model, converted, input_bound=1.0, batch_size=2, search=False
    )
    assert "head: it is a UnitaryRNN, not a Dense" in report.reasons
    assert "head: what enters it comes from elsewhere" in report.reasons


def test_one_bias_raised_in_a_model_is_reported_with_its_layer() -> None:
    model = sequential(contractive(**SEQUENCE), contractive(name="here"))
    converted = to_unitary(model, input_bound=1.0)
    bias = converted.get_layer("here").cell.bias
    bias.assign(to_numpy(bias) * np.array([1.0, 1.0, 0.99, 1.0]))
    report = verify_equivalence(
        model, converted, input_bound=1.0, batch_size=2, search=False
    )
    assert report.reasons == (
        "here: the bias of an added state is beyond what is proved",
    )


def test_a_stateful_model_goes_on_from_batch_to_batch() -> None:
    model = stateful()
    converted = to_unitary(model, input_bound=BOUND)
    batches = [draw(model, BOUND, seed) for seed in range(3)]
    runs = []
    for one in (model, converted):
        reset(one)
        runs.append([outputs(one, x)[0] for x in batches])
        again = outputs(one, batches[0])[0]
        reset(one)
        np.testing.assert_array_equal(outputs(one, batches[0])[0], runs[-1][0])
        assert np.max(np.abs(again - runs[-1][0])) > 1e-3
    assert largest_difference(*runs) <= 1e-6


def snapshot(model: Any) -> Any:
    """All that makes a model: what it was given, what it learned, where it stands."""
    compiled = model.get_compile_config() if model.compiled else None
    states = [
        to_numpy(state)
        for _, layer in leaves(model)
        if isinstance(layer, L.RNN | L.Bidirectional) and layer.stateful
        for state in layer.states
    ]
    values = [to_numpy(weight) for weight in model.weights] + states
    config = json.dumps([model.get_config(), compiled], sort_keys=True, default=str)
    return config, [layer.name for layer in model.layers], values


def assert_unchanged(model: Any, before: Any) -> None:
    config, names, values = snapshot(model)
    assert (config, names) == before[:2]
    for value, old in zip(values, before[2], strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("name", ["shared", "nested-deep", "stateful", "masked"])
def test_the_original_is_left_as_it_was(name: str) -> None:
    model = MODELS[name]()
    model.compile("adam", "mse")
    outputs(model, draw(model, BOUND))  # a stateful one has left its resting state
    before = snapshot(model)
    converted = to_unitary(model, input_bound=BOUND)
    assert_unchanged(model, before)
    after = snapshot(converted)
    assert verified(model, converted).equivalent
    assert_unchanged(model, before)
    assert_unchanged(converted, after)
    last = next(layer for layer in reversed(list(dict(leaves(model)).values())))
    assert last.output is not None  # called once: in no other graph than its own


def test_the_original_is_left_as_it_was_by_a_refusal() -> None:
    x = sequence("x")
    nested = inner(contractive(**SEQUENCE), L.SimpleRNN(2, name="tanh"))
    model = functional(x, nested(contractive(FEATURES, **SEQUENCE)(x)))
    model.compile("adam", "mse")
    before = snapshot(model)
    with pytest.raises(ValueError, match="activation tanh"):
        to_unitary(model, input_bound=BOUND)
    assert_unchanged(model, before)
    assert verified(model, model).equivalent  # to itself, whatever it is
    assert_unchanged(model, before)


def test_a_shared_layer_is_converted_for_all_that_enters_it() -> None:
    """Its biases are those of one that sees the largest of its inputs."""

    def biases(model: Any) -> Array:
        converted = to_unitary(model, input_bound=1.0)
        return to_numpy(converted.get_layer("s").cell.bias)[2:]

    def of_scales(*scales: float) -> Any:
        x = sequence("x")
        layer = contractive(name="s")
        ends = [layer(L.Rescaling(scale)(x)) for scale in scales]
        return functional(x, ends)

    for scales in ((0.1, 5.0), (5.0, 0.1)):
        np.testing.assert_array_equal(
            biases(of_scales(*scales)), biases(of_scales(5.0))
        )
    assert np.all(biases(of_scales(5.0)) < 2.0 * biases(of_scales(0.1)))


def test_a_layer_that_starts_in_two_ways_is_converted_for_both() -> None:
    """From its own start and from a larger one, in either order."""

    def biases(*bounds: float | None) -> Array:
        x = sequence("x")
        layer = contractive(use_bias=False, name="c")
        inputs, ends = [x], []
        for bound in bounds:
            start = None if bound is None else keras.Input((2,), name=f"s{bound}")
            inputs += [] if start is None else [start]
            ends.append(layer(x, initial_state=start))
        model = functional(inputs, ends)
        layer.cell.kernel.assign(np.zeros((FEATURES, 2)))
        given = {f"s{bound}": bound for bound in bounds if bound is not None}
        converted = to_unitary(model, input_bound={"x": 1.0, **given})
        return to_numpy(converted.get_layer("c").cell.bias)[2:]

    for bounds in ((5.0, None), (None, 5.0), (1.0, 5.0), (5.0, 1.0)):
        np.testing.assert_array_equal(biases(*bounds), biases(5.0))


def test_a_shared_layer_stays_one() -> None:
    model = nested_twice()
    converted = to_unitary(model, input_bound=BOUND)
    assert len(converted.layers) == len(model.layers)
    old, new = model.get_layer("inner"), converted.get_layer("inner")
    assert len(new.weights) == len(old.weights)
    assert len(converted.weights) == len(new.weights)


def test_a_given_start_enters_the_biases() -> None:
    """No input drives the state: it can only be as large as where it starts."""

    def bias(bound: float) -> Array:
        x, start = sequence("x"), keras.Input((2,), name="start")
        layer = contractive(use_bias=False, name="c")
        model = functional([x, start], layer(x, initial_state=start))
        layer.cell.kernel.assign(np.zeros((FEATURES, 2)))
        converted = to_unitary(model, input_bound={"x": 1.0, "start": bound})
        return to_numpy(converted.get_layer("c").cell.bias)[2:]

    np.testing.assert_allclose(bias(100.0), 100.0 * bias(1.0), rtol=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_frozen_model_stays_frozen(trainable: bool) -> None:
    for model in (several(), sequential(contractive())):
        model.trainable = trainable
        converted = to_unitary(model, input_bound=BOUND)
        assert converted.trainable == trainable
        assert bool(converted.trainable_weights) == trainable


def test_the_state_of_an_lstm_has_no_bound_but_a_promised_one() -> None:
    x = sequence("x")
    *_, memory = L.LSTM(2, **STATE, name="lstm")(x)
    h = contractive(name="behind")(x, initial_state=memory)
    model = functional(x, h)
    with pytest.raises(ValueError, match=r"the `initial_state` given to 'behind'"):
        to_unitary(model, input_bound=BOUND)
    bound = {"x": BOUND, "lstm": 4.0}
    assert verified(model, to_unitary(model, input_bound=bound), bound).equivalent
    broken = {"x": BOUND, "lstm": 1e-3}
    report = verified(model, to_unitary(model, input_bound=broken), broken)
    reason = "behind: what it starts from leaves the range for it"
    assert reason in report.reasons


def same_names() -> Any:
    x = sequence("x")
    one = inner(L.Conv1DTranspose(3, 2), contractive(FEATURES, **SEQUENCE, name="c"))
    other = inner(L.Conv1DTranspose(3, 2), contractive(name="c"), name="other")
    return functional(x, other(one(x)))


def test_a_bound_names_a_layer_in_a_nested_model() -> None:
    x = sequence("x")
    nested = inner(L.Conv1DTranspose(3, 2), contractive(FEATURES, **SEQUENCE, name="c"))
    model = functional(x, contractive(name="behind")(nested(x)))
    with pytest.raises(ValueError, match="what enters 'c'"):
        to_unitary(model, input_bound={"x": BOUND})
    bound = {"x": BOUND, "c": 50.0}
    assert verified(model, to_unitary(model, input_bound=bound), bound).equivalent


def test_a_nested_model_called_by_names_takes_its_inputs_by_name() -> None:
    small, large = keras.Input((STEPS, 1), name="z"), keras.Input((STEPS, 1), name="a")
    ends = [contractive(name="s")(small), contractive(name="l")(large)]
    within = keras.Model([small, large], ends, name="within")
    x = keras.Input((STEPS, 1), name="x")
    model = functional(x, within({"a": L.Rescaling(100.0)(x), "z": x}))
    converted = to_unitary(model, input_bound=1.0)
    assert verified(model, converted, 1.0).equivalent
    biases = [
        to_numpy(converted.get_layer("within").get_layer(name).cell.bias)[2:].min()
        for name in ("s", "l")
    ]
    assert biases[1] < 10.0 * biases[0]


def test_directions_that_need_other_numbers_of_states() -> None:
    """An orthogonal matrix needs no added states: Keras foresees another number."""
    x = sequence("x")
    for turned in (False, True):
        layer = L.Bidirectional(simple(**STATE), name="both")
        y, forward, backward = layer(x)
        model = functional(x, [y, L.Dense(2)(backward), L.Dense(2)(forward)])
        orthogonal = layer.backward_layer if turned else layer.forward_layer
        orthogonal.cell.recurrent_kernel.assign([[0.0, 1.0], [-1.0, 0.0]])
        converted = to_unitary(model, input_bound=BOUND, horizon=STEPS)
        new = converted.get_layer("both")
        sizes = {new.forward_layer.cell.units, new.backward_layer.cell.units}
        assert sizes == {2, 4}
        report = verify_equivalence(
            model,
            converted,
            input_bound=BOUND,
            horizon=STEPS,
            batch_size=2,
            search=False,
        )
        assert report.equivalent, report


def test_a_stateful_model_is_verified_up_to_a_horizon() -> None:
    x = keras.Input(batch_shape=(3, STEPS, FEATURES), name="x")
    layer = simple(stateful=True, name="s")
    model = functional(x, layer(x))
    layer.cell.recurrent_kernel.assign(0.99 * np.eye(2))
    layer.cell.bias.assign([1.0, 1.0])
    converted = to_unitary(model, input_bound=BOUND, horizon=STEPS)
    report = verify_equivalence(
        model, converted, input_bound=BOUND, horizon=STEPS, batch_size=8, search=False
    )
    assert report.equivalent, report


def test_a_stateful_gru_that_is_given_a_start_has_no_range() -> None:
    x = keras.Input(batch_shape=(3, STEPS, FEATURES), name="x")
    start = keras.Input(batch_shape=(3, 2), name="start")
    layer = L.GRU(2, **SEQUENCE, stateful=True, name="gru")
    layer(x, initial_state=start)
    with pytest.raises(ValueError, match="what enters 'behind'"):
        to_unitary(
            functional(
                [x, start], contractive(name="behind")(layer(x, initial_state=start))
            ),
            input_bound=BOUND,
        )


def test_two_tables_bound_the_tokens_by_the_smaller() -> None:
    tokens = keras.Input((4,), name="tokens")
    tables = [L.Embedding(rows, 3, name=f"rows_{rows}") for rows in (9, 4)]
    h = L.Add()([table(tokens) for table in tables])
    model = functional(tokens, contractive()(h))
    assert verified(model, to_unitary(model, input_bound={}), {}).equivalent


def test_a_bound_by_a_name_that_two_layers_have_is_refused() -> None:
    bound = {"x": BOUND, "c": 50.0}
    with pytest.raises(ValueError, match=r"Received: input_bound=\['c'\].*of its own"):
        to_unitary(same_names(), input_bound=bound)
    model = same_names()
    model.get_layer("other").get_layer("c").name = "d"
    bound["d"] = 5000.0
    assert verified(model, to_unitary(model, input_bound=bound), bound).equivalent


def test_the_input_of_a_nested_model_is_no_input() -> None:
    model = nested_twice()
    name = model.get_layer("inner").inputs[0].name
    with pytest.raises(ValueError, match=f"Received: input_bound=.'{name}'"):
        to_unitary(model, input_bound={"x": 1.0, name: 1.0})


def test_a_stateful_layer_that_is_called_twice_needs_a_bound() -> None:
    x = keras.Input(batch_shape=(4, STEPS, FEATURES), name="x")
    layer = contractive(FEATURES, **SEQUENCE, stateful=True, name="s")
    model = functional(x, layer(layer(x)))
    with pytest.raises(
        ValueError, match=r"a stateful layer, called twice.*'s': \.\.\."
    ):
        to_unitary(model, input_bound=BOUND)
    bound = {"x": BOUND, "s": 100.0}
    assert verified(model, to_unitary(model, input_bound=bound), bound).equivalent


def another_second_layer() -> Any:
    """Like `shared` with one layer, but for the layer of the second call."""
    x = sequence("x")
    h = contractive(FEATURES, **SEQUENCE, name="twice")(x)
    return functional(x, contractive(FEATURES, name="other", **SEQUENCE)(h))


def one_layer_twice() -> Any:
    x = sequence("x")
    layer = contractive(FEATURES, **SEQUENCE, name="twice")
    return functional(x, layer(layer(x)))


def copy_weights(source: Any, target: Any) -> None:
    """From layer to layer of the same path."""
    others = dict(leaves(source))
    for path, layer in leaves(target):
        if path in others:
            layer.set_weights(others[path].get_weights())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (one_layer_twice, another_second_layer),
        (states_of_both, lambda: states_of_both(swapped=True)),
    ],
    ids=["a shared layer that is not", "the forward state for the backward one"],
)
def test_another_wiring_is_reported(
    right: Callable[[], Any], wrong: Callable[[], Any]
) -> None:
    model, other = right(), wrong()
    copy_weights(model, other)
    converted = to_unitary(other, input_bound=BOUND)
    assert verified(other, converted).equivalent
    reasons = verified(model, converted).reasons
    assert any("outputs differ" in reason for reason in reasons)


def test_another_scale_is_reported_in_half_precision() -> None:
    # At norm 0.999 rounding may change the states by half of their size.
    def wired(scale: float) -> Any:
        x = sequence("x")
        layer = ku.ContractiveRNN(2, name="c", dtype="mixed_bfloat16")
        return functional(x, L.Rescaling(scale, name="scale")(layer(x)))

    model, other = wired(1.0), wired(0.25)
    copy_weights(model, other)
    converted = to_unitary(other, input_bound=BOUND)
    assert verified(other, converted).equivalent
    (difference,) = verified(model, converted).differences
    assert f"{model.name}: outputs differ by 0.7" in difference


def test_other_outputs_are_reported() -> None:
    model = sequential(contractive(name="c"), L.Dense(2, name="d"))
    longer = functional(model.inputs, [model.outputs[0], model.outputs[0]])
    report = verified(model, to_unitary(longer, input_bound=BOUND))
    assert f"{model.name}: its outputs are others" in report.reasons


@pytest.mark.parametrize(
    ("path", "weight", "reason"),
    [
        ("inner/c", 2, "inner/c: the bias of an added state is beyond"),
        ("inner/d", 0, "inner/d: its weights are not the original's"),
        ("each/inside/c", 0, "each/inside/c: the input kernel is not"),
    ],
)
def test_a_wrong_weight_inside_is_reported(path: str, weight: int, reason: str) -> None:
    x = sequence("x")
    within = inner(contractive(name="c"), name="inside", features=1)
    each = L.TimeDistributed(within, name="each")
    nested = inner(L.Dense(2, name="d"), contractive(**SEQUENCE, name="c"))
    model = functional(x, each(L.Reshape((STEPS, 2, 1))(nested(x))))
    converted = to_unitary(model, input_bound=BOUND)
    assert verified(model, converted).equivalent
    layer = dict(leaves(converted))[path]
    values = layer.get_weights()
    values[weight] = 0.9 * values[weight]
    layer.set_weights(values)
    assert reason in "\n".join(verified(model, converted).reasons)


def test_a_bias_below_what_the_starts_need_is_reported() -> None:
    """It was converted for smaller ones."""
    model = encoder_decoder()
    z, start = sequence("z", steps=4), keras.Input((2,), name="start")
    decoder = contractive(**SEQUENCE, name="decoder")
    alone = functional([z, start], decoder(z, initial_state=start))
    decoder.set_weights(model.get_layer("decoder").get_weights())
    bound = {"z": BOUND, "start": 1e-6}
    bias = to_unitary(alone, input_bound=bound).get_layer("decoder").cell.bias
    converted = to_unitary(model, input_bound={"x": 100.0, "z": BOUND})
    assert verified(model, converted, {"x": 100.0, "z": BOUND}).equivalent
    converted.get_layer("decoder").cell.bias.assign(bias)
    report = verified(model, converted, {"x": 100.0, "z": BOUND})
    reason = "decoder: the bias of an added state is beyond what is proved"
    assert reason in report.reasons


def test_a_layer_shared_in_one_model_only_is_compared_twice() -> None:
    x = sequence("x")
    layer = contractive(name="c")
    first = inner(layer, name="first")
    second = inner(layer, name="second")
    model = functional(x, [first(x), second(x)])
    apart = functional(
        x, [inner(contractive(name="c"), name=name)(x) for name in ("first", "second")]
    )
    copy_weights(model, apart)
    converted = to_unitary(apart, input_bound=BOUND)
    assert verified(model, converted).equivalent
    cell = converted.get_layer("second").get_layer("c").cell
    cell.bias.assign(to_numpy(cell.bias) + np.array([0.0, 0.0, 0.0, 1e-3]))
    reasons = verified(model, converted).reasons
    assert reasons == ("second/c: the bias of an added state is beyond what is proved",)


def test_names_of_layers_are_no_difference() -> None:
    model = sequential(contractive(name="c"))
    other = sequential(contractive(name="other"))
    assert verified(model, to_unitary(other, input_bound=BOUND)).equivalent


@pytest.mark.parametrize("rest", [50.0, -50.0])
def test_a_layer_that_is_given_a_start_may_also_start_at_rest(rest: float) -> None:
    x, start = sequence("x"), keras.Input((1,), name="start")
    layer = contractive(1, learn_initial_state=True, name="c")
    model = functional([x, start], layer(x, initial_state=start))
    layer.cell.learned_initial_state.assign([rest])
    converted = to_unitary(model, input_bound=BOUND)
    assert verified(model, converted).equivalent


def test_a_model_is_compared_with_a_model() -> None:
    model = sequential(contractive(name="c"))
    layer = to_unitary(model, input_bound=BOUND).get_layer("c")
    with pytest.raises(ValueError, match="a Sequential or a functional model"):
        verify_equivalence(model, layer, input_bound=BOUND)

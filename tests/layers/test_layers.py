"""Whatever `SimpleRNN` does, the layers do: the same numbers from the same weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers import (
    BATCH,
    CELLS,
    FEATURES,
    STEPS,
    TOLERANCE,
    UNITS,
    Array,
    built,
    each_layer,
    each_variant,
    normal,
    randomize,
    sequences,
    to_numpy,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "last": {},
    "sequences": {"return_sequences": True},
    "state": {"return_state": True},
    "sequences-and-state": {"return_sequences": True, "return_state": True},
    "backwards": {"go_backwards": True, "return_sequences": True},
    "unrolled": {"unroll": True, "return_sequences": True, "return_state": True},
    "unrolled-backwards": {"unroll": True, "go_backwards": True},
    "tanh": {"activation": "tanh"},
}


def twin(layer: Any, **options: Any) -> Any:
    """Return a `SimpleRNN` that does what `layer` does, but starts at zero.

    A scale `d` goes into its weights and its activation: `h_t = φ(d∘z_t) / d`, with
    `z_t = h_{t-1} diag(d) R diag(1/d) + x_t K + b`.
    """
    d = np.asarray(layer.state_scale or np.ones(layer.units), "float32")
    scale = ops.convert_to_tensor(d)
    arguments = {"use_bias": layer.use_bias, "go_backwards": layer.go_backwards}
    arguments |= {"return_sequences": layer.return_sequences, **options}
    arguments["activation"] = lambda z: layer.activation(z * scale) / scale
    simple = keras.layers.SimpleRNN(layer.units, **arguments)
    kernel = layer.cell.kernel
    simple.build((BATCH, None, kernel.shape[0]))
    weights = layer.get_weights()[: len(simple.weights)]
    weights[1] = d[:, None] * weights[1] / d
    if layer.resting_state is not None:
        # Keras' own step is centred on 0.
        weights[2] = weights[2] - np.asarray(layer.resting_state) @ weights[1]
    simple.set_weights(weights)
    return simple


def start_of(layer: Any) -> Array:
    """Return the initial state of a batch, as a `SimpleRNN` takes it."""
    learned, resting = layer.cell.learned_initial_state, layer.resting_state
    start = np.asarray(resting or np.zeros(layer.units))
    if learned is not None:
        start = to_numpy(learned)
    return np.tile(start, (BATCH, 1)).astype("float32")


def assert_close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(
        to_numpy(actual), to_numpy(expected), rtol=0, atol=TOLERANCE["float32"]
    )


@each_layer
@each_variant
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_same_numbers_as_simple_rnn(
    make_layer: Callable[..., Any], variant: dict[str, Any], options: dict[str, Any]
) -> None:
    layer = built(make_layer(UNITS, **variant, **options))
    x, simple = sequences(), twin(layer, **(options | {"return_state": True}))
    expected, expected_state = simple(x, initial_state=[start_of(layer)])

    got = layer(x)
    outputs, *states = got if layer.return_state else (got,)
    assert_close(outputs, expected[..., : layer.cell.output_size])
    if layer.return_state:
        m = layer.output_units
        assert [s.shape[-1] for s in states] == (
            [UNITS] if m is None else [m, UNITS - m]
        )
        assert_close(ops.concatenate(states, axis=-1), expected_state)


@each_layer
@each_variant
def test_shapes_are_computed_without_data(
    make_layer: Callable[..., Any], variant: dict[str, Any]
) -> None:
    layer = make_layer(UNITS, return_sequences=True, return_state=True, **variant)
    symbolic = layer(keras.Input((STEPS, FEATURES), batch_size=BATCH))
    assert [s.shape for s in symbolic] == [tuple(y.shape) for y in layer(sequences())]


@each_layer
@each_variant
@pytest.mark.parametrize("unroll", [False, True])
def test_stateful_goes_on_where_it_ended(
    make_layer: Callable[..., Any], variant: dict[str, Any], unroll: bool
) -> None:
    options = {"return_sequences": True, "unroll": unroll}
    layer = built(make_layer(UNITS, stateful=True, **options, **variant), steps=3)
    x = sequences(6)
    whole = twin(layer)(x, initial_state=[start_of(layer)])
    m = layer.cell.output_size
    assert_close(layer(x[:, :3]), whole[:, :3, :m])
    assert_close(layer(x[:, 3:]), whole[:, 3:, :m])
    layer.reset_state()
    assert_close(layer(x[:, :3]), whole[:, :3, :m])


@each_layer
def test_stateful_model_predicts_as_simple_rnn(make_layer: Callable[..., Any]) -> None:
    # On JAX Keras' `predict` does not keep the state from batch to batch (3.15.1).
    layer = built(make_layer(UNITS, stateful=True), steps=3)
    simple = twin(layer, stateful=True)
    x = np.concatenate([sequences(3), sequences(3)])
    inputs = keras.Input((3, FEATURES), batch_size=BATCH)
    ours = keras.Model(inputs, layer(inputs)).predict(x, BATCH, verbose=0)
    theirs = keras.Model(inputs, simple(inputs)).predict(x, BATCH, verbose=0)
    assert_close(ours, theirs)
    if keras.config.backend() != "jax":
        assert np.max(np.abs(ours[:BATCH] - ours[BATCH:])) > 0.01, "the state was kept"


@each_layer
def test_reset_state_restores_what_was_learned_since(
    make_layer: Callable[..., Any],
) -> None:
    layer = make_layer(UNITS, stateful=True, learn_initial_state=True)
    layer.build((BATCH, 2, FEATURES))
    assert_close(layer.states[0], np.zeros((BATCH, UNITS)))
    layer.cell.learned_initial_state.assign(np.arange(UNITS))
    layer.reset_state()
    assert_close(layer.states[0], np.tile(np.arange(UNITS), (BATCH, 1)))


@each_layer
def test_reset_state_does_nothing_without_states(
    make_layer: Callable[..., Any],
) -> None:
    layer = make_layer(UNITS)
    layer.reset_state()
    assert layer.states is None


START = normal(BATCH, UNITS, seed=2).astype("float32")
GIVEN: dict[str, tuple[dict[str, Any], Callable[[], Any], Array]] = {
    "tensor": ({}, lambda: START, START),
    "list": ({}, lambda: [START], START),
    "tuple": ({}, lambda: (START,), START),
    "over-learned": ({"learn_initial_state": True}, lambda: START, START),
    "both-parts": (
        {"output_units": 2},
        lambda: [START[:, :2], START[:, 2:]],
        START,
    ),
    "first-part": (
        {"output_units": 2},
        lambda: START[:, :2],
        START * np.array([1, 1, 0, 0, 0], "float32"),
    ),
    "list-of-first-part": (
        {"output_units": 2},
        lambda: [START[:, :2]],
        START * np.array([1, 1, 0, 0, 0], "float32"),
    ),
}


@each_layer
@pytest.mark.parametrize("given", GIVEN)
def test_initial_state(make_layer: Callable[..., Any], given: str) -> None:
    variant, make_state, start = GIVEN[given]
    layer = built(make_layer(UNITS, return_sequences=True, **variant))
    expected = twin(layer)(sequences(), initial_state=[start])
    got = layer(sequences(), initial_state=make_state())
    assert_close(got, expected[..., : layer.cell.output_size])


@each_layer
def test_the_rest_of_a_given_state_starts_as_it_would_without(
    make_layer: Callable[..., Any],
) -> None:
    layer = built(make_layer(UNITS, output_units=2, learn_initial_state=True))
    learned = to_numpy(layer.cell.learned_initial_state)
    assert np.all(learned[2:] != 0), "the premise"
    first = np.broadcast_to(learned[:2], (BATCH, 2))
    got = layer(sequences(), initial_state=first)
    np.testing.assert_array_equal(to_numpy(got), to_numpy(layer(sequences())))


@each_layer
@pytest.mark.parametrize("output_units", [None, 2])
def test_initial_state_in_a_functional_model(
    make_layer: Callable[..., Any], output_units: int | None
) -> None:
    encoder = make_layer(UNITS, return_state=True)
    decoder = make_layer(
        UNITS if output_units is None else 8, output_units=output_units
    )
    width = decoder.cell.output_size
    inputs = keras.Input((STEPS, FEATURES))
    state = keras.layers.Dense(width)(encoder(inputs)[1])
    model = keras.Model(inputs, decoder(inputs, initial_state=state))
    randomize(decoder.cell)
    got = model.predict(sequences(), verbose=0)
    value = keras.Model(inputs, state).predict(sequences(), verbose=0)
    padded = np.pad(value, ((0, 0), (0, decoder.units - width)))
    expected = twin(decoder)(sequences(), initial_state=[padded])
    assert_close(got, expected[..., :width])


@each_layer
@pytest.mark.parametrize(
    ("output_units", "widths"),
    [(None, [4]), (None, [2, 3]), (2, [3]), (2, [3, 2]), (2, [2, 2]), (2, [5])],
)
def test_initial_state_of_a_wrong_width_is_refused(
    make_layer: Callable[..., Any], output_units: int | None, widths: list[int]
) -> None:
    layer = built(make_layer(UNITS, output_units=output_units))
    states = [np.zeros((BATCH, width), "float32") for width in widths]
    expected = r"\[5\]" if output_units is None else r"\[2, 3\]"
    message = rf"`initial_state` of '.+' must hold .*{expected}.*Received: widths \["
    with pytest.raises(ValueError, match=message):
        layer(sequences(), initial_state=states)


@each_layer
@pytest.mark.parametrize("output_units", [None, 2])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional(
    make_layer: Callable[..., Any], output_units: int | None, return_sequences: bool
) -> None:
    layer = make_layer(
        UNITS, output_units=output_units, return_sequences=return_sequences
    )
    both = keras.layers.Bidirectional(layer)
    both.build((BATCH, STEPS, FEATURES))
    forward, backward = both.forward_layer, both.backward_layer
    randomize(forward.cell)
    randomize(backward.cell)
    m, x = layer.cell.output_size, sequences()
    right, left = twin(forward)(x)[..., :m], twin(backward)(x)[..., :m]
    if return_sequences:
        left = ops.flip(left, axis=1)
    assert backward.go_backwards
    assert backward.output_units == output_units
    assert_close(both(x), ops.concatenate([right, left], axis=-1))


def stacks() -> dict[str, Callable[..., Any]]:
    """The ways to write a stack of cells."""
    return {
        "list": lambda cells: keras.layers.RNN(cells, return_sequences=True),
        "stacked": lambda cells: keras.layers.RNN(
            keras.layers.StackedRNNCells(cells), return_sequences=True
        ),
    }


@pytest.mark.parametrize("make_stack", stacks().values(), ids=stacks())
@pytest.mark.parametrize("output_units", [None, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_stacked_cells(
    make_stack: Callable[..., Any], output_units: int | None, masked: bool
) -> None:
    first = CELLS["unitary"](UNITS, output_units=output_units)
    second = CELLS["contractive"](UNITS + 1, "tanh", output_units=output_units)
    stack = make_stack([first, second])
    stack.build((BATCH, STEPS, FEATURES))
    cells = [randomize(first), randomize(second)]
    x, value = sequences(), sequences()
    mask = np.ones((BATCH, STEPS), bool)
    mask[0, 2:4] = mask[1, 5:] = not masked
    for cell in cells:
        simple = keras.layers.SimpleRNN(
            cell.units, cell.activation, return_sequences=True
        )
        simple.build(value.shape)
        simple.set_weights(cell.get_weights())
        value = simple(value, mask=mask)[..., : cell.output_size]
    assert_close(stack(x, mask=mask if masked else None), value)


class Subclassed(keras.Model):
    """Two layers of ours in a subclassed model."""

    def __init__(self, make_layer: Callable[..., Any]) -> None:
        super().__init__()
        self.lower = make_layer(UNITS, return_sequences=True, output_units=2)
        self.upper = make_layer(UNITS, learn_initial_state=True)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.upper(self.lower(x, training=training), training=training)


@each_layer
def test_models_of_every_kind_agree(make_layer: Callable[..., Any]) -> None:
    x, y = sequences(), normal(BATCH, UNITS).astype("float32")
    subclassed = Subclassed(make_layer)
    subclassed.compile("sgd", "mse", jit_compile=False)
    subclassed.fit(x, y, verbose=0)
    lower, upper = subclassed.lower, subclassed.upper
    randomize(lower.cell)
    randomize(upper.cell)

    inputs = keras.Input((STEPS, FEATURES))
    functional = keras.Model(inputs, upper(lower(inputs)))
    sequential = keras.Sequential([lower, upper])
    value = twin(lower)(x)[..., :2]
    expected = twin(upper)(value, initial_state=[start_of(upper)])
    for model in (subclassed, functional, sequential):
        assert_close(model.predict(x, verbose=0), expected)


@each_layer
def test_cloned_model_is_the_same_with_weights_of_its_own(
    make_layer: Callable[..., Any],
) -> None:
    inputs = keras.Input((STEPS, FEATURES))
    layer = make_layer(UNITS, "tanh", output_units=2, learn_initial_state=True)
    model = keras.Model(inputs, layer(inputs))
    randomize(layer.cell)
    clone = keras.models.clone_model(model)
    assert not any(a is b for a, b in zip(clone.weights, model.weights, strict=True))
    clone.set_weights(model.get_weights())
    before = to_numpy(model(sequences()))
    np.testing.assert_array_equal(to_numpy(clone(sequences())), before)
    randomize(clone.layers[-1].cell).kernel.assign(np.zeros((FEATURES, UNITS)))
    np.testing.assert_array_equal(to_numpy(model(sequences())), before)


@each_layer
def test_any_length_and_batch_size(make_layer: Callable[..., Any]) -> None:
    inputs = keras.Input((None, FEATURES))
    layer = make_layer(UNITS, output_units=2, learn_initial_state=True)
    model = keras.Model(inputs, layer(inputs))
    for steps in (1, 4):
        x = sequences(steps)
        expected = twin(layer)(x)[:, :2]
        assert_close(model.predict(x, verbose=0, batch_size=2), expected)


@each_layer
@pytest.mark.parametrize(
    "x", [np.ones((2, 3)), np.ones((2, 3, 4, 5))], ids=["2d", "4d"]
)
def test_input_must_be_sequences(make_layer: Callable[..., Any], x: Array) -> None:
    with pytest.raises(ValueError, match="expected ndim=3"):
        make_layer(UNITS)(x)

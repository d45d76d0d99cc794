"""The fused recurrence gives what Keras' loop over the same cell gives, and says so."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import recurrence
from keras_urnn._backend.loops import scan
from keras_urnn.layers import fusing
from keras_urnn.recurrence import blocks, products, schedule
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    UNITS,
    Array,
    compile_model,
    each_layer,
    nearest_on_set,
    normal,
    precision,
    randomize,
    smooth,
    to_numpy,
)

# Gradients, relative to the largest of them.
CLOSE = {"float32": 1e-5, "float64": 1e-10}
# XLA is a choice on TensorFlow alone.
JIT_COMPILE = ["auto", True] if keras.config.backend() == "tensorflow" else ["auto"]
OPTIONS: dict[str, dict[str, Any]] = {
    "last": {},
    "sequences": {"return_sequences": True},
    "state": {"return_state": True, "return_sequences": True},
    "backwards": {"go_backwards": True},
    "backwards-sequences": {"go_backwards": True, "return_sequences": True},
    "no-bias": {"use_bias": False},
    "output-units": {"output_units": 2, "return_sequences": True},
    "scaled": {"state_scale": [1.0, 4.0, 0.5, 1.0, 2.0]},
    "checkpoint": {"checkpoint_every": 3},
    "checkpoint-sequences": {"checkpoint_every": 3, "return_sequences": True},
    "checkpoint-past-the-end": {"checkpoint_every": 100},
    "zero-output": {"zero_output_for_mask": True, "return_sequences": True},
    "stateful": {"stateful": True},
}
each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def model_of(
    recurrent: Any, masked: bool, steps: int = STEPS, features: int = FEATURES
) -> Any:
    """A model that trains what goes into the recurrence and what comes out of it."""
    inputs = keras.Input((steps, FEATURES), batch_size=BATCH)
    masks = keras.Input((steps,), batch_size=BATCH, dtype="bool")
    x = keras.layers.Dense(features, name="before")(inputs)
    outputs = recurrent(x, mask=masks if masked else None)
    if not isinstance(outputs, (list, tuple)):
        outputs = [outputs]
    wide = [keras.layers.Dense(2, smooth)(output) for output in outputs]
    flat = [ops.reshape(output, (BATCH, -1)) for output in wide]
    merged = ops.concatenate(flat, axis=-1)
    return keras.Model([inputs, masks], keras.layers.Dense(1)(merged))


def plain_twin(layer: Any, masked: bool, steps: int, features: int) -> Any:
    """The same model around Keras' own loop over the same cell."""
    config = {**layer.get_config(), "checkpoint_every": None}
    twin = not_fused(type(layer).from_config(config))
    return model_of(twin, masked, steps, features)


def not_fused(layer: Any) -> Any:
    """The layer itself, with a cell whose step no fused recurrence knows."""
    layer.cell.__class__ = type("Cell", (type(layer.cell),), {"call": _call})
    assert not layer.uses_fused_recurrence
    return layer


def _call(self: Any, sequence: Any, states: Any, training: bool = False) -> Any:
    return super(type(self), self).call(sequence, states, training=training)


def assert_same(
    layer: Any,
    masked: bool,
    dtype: str,
    close: float | None = None,
    steps: int = STEPS,
    features: int = FEATURES,
    xla: bool = False,
) -> None:
    assert layer.uses_fused_recurrence, layer.plain_recurrence_reason
    ours = model_of(layer, masked, steps, features)
    theirs = plain_twin(layer, masked, steps, features)
    matrix = nearest_on_set(layer.cell, normal(UNITS, UNITS, seed=3))
    layer.cell.recurrent_kernel.assign(matrix)
    randomize(layer.cell)
    tolerance = close or CLOSE[dtype]
    expected, largest = same_gradients(ours, theirs, dtype, tolerance, steps, xla)
    # Of the kernels before the layer and in it; `R` is not used in the only step from
    # a start at zero.
    for gradient in (expected[0], expected[2], expected[3]):
        assert np.max(np.abs(gradient)) > 1e-3 * largest or steps == 1


def same_gradients(
    ours: Any, theirs: Any, dtype: str, tolerance: float, steps: int, xla: bool
) -> tuple[list[Array], float]:
    """The gradients of two models with the weights of the first, and the largest."""
    theirs.set_weights(ours.get_weights())
    mask = np.random.default_rng(2).random((BATCH, steps)) < 0.6
    x = [normal(BATCH, steps, FEATURES, seed=1).astype(dtype), mask]
    y = normal(BATCH, 1, seed=4)
    found = gradients.of_error(ours, x, y, "xla" if xla else True)
    # The loop is compiled by none: what it gives is the same.
    expected = gradients.of_error(theirs, x, y, compiled=False)
    largest = max(np.max(np.abs(gradient)) for gradient in expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest)
    return expected, largest


each_masked = pytest.mark.parametrize(
    "masked", [False, True], ids=["all-steps", "masked"]
)


def layer_with(options: dict[str, Any]) -> Any:
    learned = not options.get("stateful")  # which trains no start
    return ku.ContractiveRNN(UNITS, learn_initial_state=learned, **options)


@each_option
def test_same_as_the_loop_with_a_mask(options: dict[str, Any]) -> None:
    with precision("float64"):
        assert_same(layer_with(options), True, "float64")


def in_float32(name: str) -> Any:
    often = name in ("last", "sequences", "checkpoint")
    marks = [] if often else [pytest.mark.once]
    return pytest.param(OPTIONS[name], id=name, marks=marks)


@pytest.mark.parametrize("options", [in_float32(name) for name in OPTIONS])
def test_same_as_the_loop(options: dict[str, Any]) -> None:
    assert_same(layer_with(options), False, "float32")


@pytest.mark.parametrize("activation", [None, *recurrence.DERIVATIVES])
def test_same_for_each_activation(activation: str | None) -> None:
    dtype = "float64"
    if (keras.config.backend(), activation) == ("jax", "tanh"):
        # Keras' tanh gives float32 there, and its loops, SimpleRNN's too, refuse that.
        dtype = "float32"
    with precision(dtype):
        layer = ku.UnitaryRNN(UNITS, activation, return_sequences=True)
        assert_same(layer, True, dtype)


# Around the sizes of blocks: one, whole ones with and without a rest.
@pytest.mark.parametrize("steps", [1, 2, 32, 64, 67, 131])
def test_same_for_each_number_of_steps(steps: int) -> None:
    with precision("float64"):
        layer = ku.UnitaryRNN(UNITS, return_sequences=True)
        assert_same(layer, False, "float64", steps=steps)


# XLA, and with it JAX, takes few features, and few units, on paths of their own. Its
# blocks are apart, or rounds of a loop. Through the identity alone much of a gradient
# gets back to the initial state.
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("features", "activation", "tiny"), [(1, "relu", True), (6, None, False)]
)
def test_same_under_xla(
    features: int,
    activation: str | None,
    tiny: bool,
    apart: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "_is_tiny", lambda *_: tiny)
    monkeypatch.setattr(schedule, "_OVERLAP_WIDTH", UNITS if apart else UNITS + 1)
    given = activation is not None
    with precision("float64"):
        layer = ku.UnitaryRNN(
            UNITS, activation, learn_initial_state=True, return_sequences=given
        )
        sizes = {"steps": 131, "features": features}
        assert_same(layer, given, "float64", **sizes, xla=True)


def test_a_step_is_tiny_by_its_units_and_its_work() -> None:
    tiny = {(512, 8), (None, 8), (10, 16), (4, 24)}
    larger = {(32, 12), (None, 12), ("symbol", 9), (1, 32)}
    assert {step for step in tiny | larger if products._is_tiny(*step)} == tiny


def test_same_under_xla_with_checkpoints() -> None:
    with precision("float64"):
        layer = ku.UnitaryRNN(UNITS, checkpoint_every=3)
        assert_same(layer, False, "float64", xla=True)


@pytest.mark.parametrize("rounds", [False, True])
def test_the_bias_is_in_no_product_that_rounds(
    rounds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "rounds_products", lambda: rounds)
    seen: list[Any] = []
    with_ones = products._with_ones

    def spy(x: Any) -> Any:
        seen.append(x)
        return with_ones(x)

    monkeypatch.setattr(products, "_with_ones", spy)
    with precision("float64"):
        layer = ku.UnitaryRNN(UNITS)
        assert_same(layer, False, "float64", features=6)
    assert bool(seen) != (rounds or keras.config.backend() == "torch")


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Halve the batch at `UNITS` units already; what is halved gets into the list."""
    cut: list[Any] = []
    halves = blocks.halves

    def spy(tensor: Any) -> Any:
        cut.append(tensor)
        return halves(tensor)

    monkeypatch.setattr(schedule, "_HALVED", (UNITS,))
    monkeypatch.setattr(blocks, "halves", spy)
    return cut


@pytest.mark.parametrize("xla", [False, True], ids=["no-xla", "xla"])
@each_masked
def test_same_in_halves(xla: bool, masked: bool, halved: list[Any]) -> None:
    with precision("float64"):
        layer = ku.UnitaryRNN(UNITS, return_sequences=not masked)
        assert_same(layer, masked, "float64", xla=xla)
    assert bool(halved) == (keras.config.backend() == "tensorflow" and not xla)


def test_a_batch_of_one_in_halves(halved: list[Any]) -> None:
    layer = ku.UnitaryRNN(UNITS, return_sequences=True)
    inputs = keras.Input((STEPS, FEATURES))
    model = keras.Model(inputs, layer(inputs))
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    several = to_numpy(model.predict_on_batch(x))
    one = to_numpy(model.predict_on_batch(x[:1]))
    np.testing.assert_allclose(one, several[:1], rtol=0, atol=1e-6)
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(x[:1], one + 1.0))


@pytest.fixture
def on_cudnn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Take the way of a GPU with cuDNN; what goes it gets into the list.

    PyTorch has the functions for a CPU too.
    """
    if keras.config.backend() != "torch":
        pytest.skip("cuDNN's recurrence is taken on PyTorch")
    from keras_urnn._backend import cudnn_recurrence

    taken: list[Any] = []
    run = cudnn_recurrence.run

    def spy(*arguments: Any) -> Any:
        taken.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(cudnn_recurrence, "on_cudnn", lambda _: True)
    monkeypatch.setattr(cudnn_recurrence, "run", spy)
    return taken


@each_masked
@each_option
def test_same_on_cudnn(
    options: dict[str, Any], masked: bool, on_cudnn: list[Any]
) -> None:
    with precision("float64"):
        assert_same(layer_with(options), masked, "float64")
    assert bool(on_cudnn) == (not masked and "checkpoint_every" not in options)


@pytest.mark.parametrize(("activation", "has"), [("tanh", True), ("sigmoid", False)])
def test_same_activation_on_cudnn(
    activation: str, has: bool, on_cudnn: list[Any]
) -> None:
    with precision("float64"):
        assert_same(layer_with({"activation": activation}), False, "float64")
    assert bool(on_cudnn) == has


def test_full_float32_on_cudnn(
    on_cudnn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from keras_urnn._backend import cudnn_recurrence

    seen = []

    def look(*_: Any) -> None:
        seen.append(torch.backends.cudnn.rnn.fp32_precision)

    def spy(*arguments: Any) -> Any:
        states, last = torch.rnn_relu(*arguments)
        look()
        last.register_hook(look)
        return states, last

    monkeypatch.setitem(cudnn_recurrence.FUNCTIONS, "relu", spy)
    outputs = ku.UnitaryRNN(UNITS)(ops.convert_to_tensor(normal(BATCH, 3, FEATURES)))
    look()
    outputs.sum().backward()
    assert seen == ["ieee", seen[1], "ieee"]
    assert seen[1] != "ieee"
    assert len(on_cudnn) == 1


def test_the_gradient_twice_on_cudnn(on_cudnn: list[Any]) -> None:
    x = ops.convert_to_tensor(normal(BATCH, STEPS, FEATURES)).requires_grad_()
    outputs = ku.UnitaryRNN(UNITS)(x)
    outputs.sum().backward(retain_graph=True, inputs=[x])
    first = to_numpy(x.grad).copy()
    outputs.sum().backward(inputs=[x])
    assert np.max(np.abs(first)) > 0.0
    np.testing.assert_allclose(to_numpy(x.grad), 2.0 * first, rtol=1e-6, atol=0)
    assert on_cudnn


def test_second_derivatives_on_cudnn(on_cudnn: list[Any]) -> None:
    assert_second_derivatives("tanh")
    assert on_cudnn


def test_same_in_half_precision() -> None:
    with precision("mixed_bfloat16"):
        layer = ku.UnitaryRNN(UNITS, return_sequences=True)
        # 7 steps' roundings of 2^-8 each, in sums of 5 products.
        assert_same(layer, False, "float32", close=0.1)


@pytest.mark.once
@pytest.mark.parametrize("activation", [None, *recurrence.DERIVATIVES])
def test_same_gradients_in_float16(activation: str | None) -> None:
    with precision("mixed_float16"):
        layer = ku.UnitaryRNN(UNITS, activation, return_sequences=True)
        # 7 steps' roundings of 2^-11 each, in sums of 5 products.
        assert_same(layer, True, "float32", close=0.02)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_outputs_in_float16(policy: str) -> None:
    layer = ku.UnitaryRNN(UNITS, dtype=policy)
    assert layer.uses_fused_recurrence
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    outputs = layer(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    wide = ku.UnitaryRNN(UNITS)
    wide.build(x.shape)
    wide.set_weights(layer.get_weights())
    # 7 steps' roundings of 2^-11 each, in sums of 5 products.
    np.testing.assert_allclose(to_numpy(outputs), to_numpy(wide(x)), rtol=0, atol=0.02)


@each_layer
def test_same_dropout_of_the_inputs(make_layer: Callable[..., Any]) -> None:
    assert_same(make_layer(UNITS, dropout=0.5, seed=3), False, "float32")


def test_one_operation_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return recurrence.fused_recurrence(*args, **kwargs)

    monkeypatch.setattr(fusing, "fused_recurrence", spy)
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    ku.UnitaryRNN(UNITS)(x)
    assert len(calls) == 1
    ku.UnitaryRNN(UNITS, unroll=True)(x)
    ku.UnitaryRNN(UNITS, "elu")(x)
    assert len(calls) == 1


PLAIN: dict[str, tuple[dict[str, Any], str]] = {
    "unroll": ({"unroll": True}, "unroll=True"),
    "activation": ({"activation": "elu"}, "activation"),
    "own-function": ({"activation": lambda z: z}, "activation"),
    "recurrent-dropout": ({"recurrent_dropout": 0.1}, "recurrent_dropout"),
    "resting-state": ({"resting_state": 5 * [0.5]}, "resting_state"),
    "inexact-scale": ({"state_scale": 5 * [3.0]}, "state_scale"),
    "scaled-tanh": ({"state_scale": 5 * [2.0], "activation": "tanh"}, "state_scale"),
}
each_plain = pytest.mark.parametrize(("options", "named"), PLAIN.values(), ids=PLAIN)


@each_layer
@each_plain
def test_layer_says_why_it_runs_the_loop(
    make_layer: Callable[..., Any], options: dict[str, Any], named: str
) -> None:
    layer = make_layer(UNITS, **options)
    assert not layer.uses_fused_recurrence
    assert named in layer.plain_recurrence_reason


@each_layer
@each_plain
def test_checkpoints_need_the_fused_recurrence(
    make_layer: Callable[..., Any], options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match="checkpoint_every") as error:
        make_layer(UNITS, checkpoint_every=2, **options)
    assert named in str(error.value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_bad_checkpoint(value: Any) -> None:
    with pytest.raises(ValueError, match="`checkpoint_every` must be a positive"):
        ku.UnitaryRNN(UNITS, checkpoint_every=value)


@each_layer
def test_large_layers_are_fused_too(make_layer: Callable[..., Any]) -> None:
    assert make_layer(1024).uses_fused_recurrence


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_passes_through(bad: float) -> None:
    layer = ku.UnitaryRNN(UNITS, return_sequences=True)
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    x[0, 3] = bad
    simple = keras.layers.SimpleRNN(UNITS, "relu", return_sequences=True)
    simple.build(x.shape)
    layer.build(x.shape)
    simple.set_weights(layer.get_weights())
    ours, theirs = to_numpy(layer(x)), to_numpy(simple(x))
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    assert not np.all(np.isfinite(ours))


class Lengths(keras.utils.PyDataset):
    """Batches of sequences that differ in length: `fit` knows no number of steps."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        super().__init__()
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        steps = self.lengths[index]
        x = normal(BATCH, steps, FEATURES, seed=index).astype("float32")
        x[0, 1 + steps // 2 :] = 0.0  # which `Masking` leaves out
        return x, normal(BATCH, 1, seed=9).astype("float32")


# JAX knows the number of steps whenever it compiles: one row is enough there.
NOT_ON_JAX = [pytest.mark.once] if keras.config.backend() == "jax" else []


@pytest.mark.parametrize("xla", JIT_COMPILE)
@pytest.mark.parametrize(
    ("masked", "options"),
    [
        pytest.param(False, {}, id="last", marks=NOT_ON_JAX),
        pytest.param(
            False, {"return_sequences": True}, id="sequences", marks=NOT_ON_JAX
        ),
        pytest.param(
            True, {"return_sequences": True, "checkpoint_every": 3}, id="masked-few"
        ),
    ],
)
def test_any_number_of_steps_in_one_model(
    masked: bool, options: dict[str, Any], xla: bool | str
) -> None:
    def model(layer: Any, **how: Any) -> Any:
        before = [keras.layers.Masking()] if masked else []
        recurrent = [keras.layers.Dense(FEATURES), layer]
        pool = [keras.layers.GlobalAveragePooling1D()] * layer.return_sequences
        inputs, output = keras.Input((None, FEATURES)), keras.layers.Dense(1)
        whole = keras.Sequential([inputs, *before, *recurrent, *pool, output])
        return compile_model(whole, "sgd", "mse", **how)

    # None, less than a block, whole blocks, with a rest. XLA compiles for each length,
    # and JAX the loop of Keras, too: `test_same_for_each_number_of_steps` has more.
    lengths = (1, 20, 31) if xla is True else (1, 5, 20, 31, 40)
    batches = Lengths((1, 31) if keras.config.backend() == "jax" else lengths)
    layer = ku.UnitaryRNN(UNITS, learn_initial_state=True, **options)
    assert layer.uses_fused_recurrence
    twin = type(layer).from_config({**layer.get_config(), "checkpoint_every": None})
    fused = model(layer, jit_compile=xla)
    plain = model(not_fused(twin), run_eagerly=True)
    plain.set_weights(fused.get_weights())
    start = fused.get_weights()
    for cell in (layer.cell, twin.cell):
        # Projections take longer to compile than the rest, once for each length, and
        # would hide a kernel that went astray by a multiple.
        cell.recurrent_kernel.constraint = None
    for one in (fused, plain):
        one.fit(batches, shuffle=False, verbose=0)
    for a, b, c in zip(fused.get_weights(), plain.get_weights(), start, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
        assert np.max(np.abs(a - c)) > 1e-4
    found, expected = (one.predict(batches, verbose=0) for one in (fused, plain))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_mask_of_numbers_is_one_of_booleans(dtype: str) -> None:
    layer = ku.UnitaryRNN(UNITS, return_sequences=True)
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    mask = np.random.default_rng(2).random((BATCH, STEPS)) < 0.6
    expected = to_numpy(layer(x, mask=ops.convert_to_tensor(mask)))
    found = to_numpy(layer(x, mask=ops.convert_to_tensor(mask.astype(dtype))))
    np.testing.assert_array_equal(found, expected)


def test_no_features_are_a_system_without_input() -> None:
    layer = ku.UnitaryRNN(UNITS, learn_initial_state=True)
    model = keras.Sequential([keras.Input((STEPS, 0)), layer])
    model.compile("sgd", "mse")
    randomize(layer.cell)
    x = np.zeros((BATCH, STEPS, 0), "float32")
    state = layer.get_initial_state(BATCH)
    for t in range(STEPS):
        output, state = layer.cell(ops.convert_to_tensor(x[:, t]), state)
    found = model.predict_on_batch(x)
    np.testing.assert_allclose(found, to_numpy(output), rtol=0, atol=1e-5)
    before = to_numpy(layer.cell.bias).copy()
    model.train_on_batch(x, found + 1.0)
    assert np.max(np.abs(to_numpy(layer.cell.bias) - before)) > 1e-4


def test_second_derivatives_are_right() -> None:
    assert_second_derivatives("sigmoid")


def test_second_derivatives_with_a_mask_in_several_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_BLOCK", "_WRITTEN_OUT_BLOCK"):
        monkeypatch.setattr(schedule, name, 3)
    for options in ({"return_sequences": True}, {"checkpoint_every": 3}):
        assert_second_derivatives("sigmoid", masked=True, **options)


def assert_second_derivatives(
    activation: str, masked: bool = False, **options: Any
) -> None:
    with precision("float64"):
        layer = ku.UnitaryRNN(UNITS, activation, **options)
        layer.build((BATCH, STEPS, FEATURES))
        x = normal(BATCH, STEPS, FEATURES)
        mask = np.random.default_rng(2).random((BATCH, STEPS)) < 0.6
        mask[:, 0] = True  # before the first output there is none to repeat

        def fused(a: Any) -> Any:
            outputs = layer(a, mask=ops.convert_to_tensor(mask) if masked else None)
            return ops.sum(ops.square(outputs))

        def stepwise(a: Any) -> Any:
            (state,), outputs = layer.get_initial_state(BATCH), []
            for t in range(STEPS):
                new, _ = layer.cell(a[:, t], [state])
                state = ops.where(mask[:, t, None], new, state) if masked else new
                outputs.append(state)
            shown = outputs if layer.return_sequences else outputs[-1:]
            return ops.sum(ops.square(ops.stack(shown)))

        expected = gradients.second_derivative(stepwise, x)
        found = gradients.second_derivative(fused, x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
        assert np.max(np.abs(expected)) > 1e-4


def test_blocks_that_are_compiled_apart_are_traced_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if keras.config.backend() == "torch":
        pytest.skip("blocks that XLA compiles apart")
    monkeypatch.setattr(schedule, "_OVERLAP_WIDTH", UNITS)
    traced: list[bool] = []

    def counted(*args: Any, **options: Any) -> Any:
        traced.append(options.get("inner", False))
        return scan(*args, **options)

    monkeypatch.setattr(blocks, "scan", counted)
    counts = []
    for steps in (128, 256):  # 2 blocks, and 4
        model = keras.Sequential([keras.Input((steps, FEATURES)), ku.UnitaryRNN(UNITS)])
        compile_model(model, "sgd", "mse", jit_compile=True)
        model.train_on_batch(np.zeros((2, steps, FEATURES)), np.zeros((2, UNITS)))
        counts.append(sum(traced))
        traced.clear()
    assert counts[0] == counts[1]


def test_xla_makes_room_for_a_block_as_its_loop_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if keras.config.backend() != "tensorflow":
        pytest.skip("TensorFlow's loops under XLA")
    import tensorflow as tf

    monkeypatch.setattr(schedule, "_OVERLAP_WIDTH", UNITS)
    layer = ku.UnitaryRNN(UNITS)
    layer.build((BATCH, 128, FEATURES))
    weights = layer.trainable_variables

    @tf.function(jit_compile=True)
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, [weight.value for weight in weights])

    x = tf.constant(normal(BATCH, 128, FEATURES), "float32")
    text = gradients.experimental_get_compiler_ir(x)(stage="optimized_hlo")
    block = rf"= f32\[64,{BATCH},{UNITS}\]\S*"
    assert re.findall(rf"{block} dynamic-update-slice\(", text)
    # Zeros would be made once for all blocks before the first, and copied for each.
    assert not re.findall(rf"{block} copy\(", text)

"""The matrix is on its set after every step of every optimizer of Keras."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests import gradients
from tests.helpers import (
    BATCH,
    CELLS,
    FEATURES,
    STEPS,
    UNITS,
    assert_on_its_set,
    compile_model,
    each_layer,
    each_variant,
    normal,
    precision,
    randomize,
    sequences,
    smooth,
    to_numpy,
)

LARGE = 0.3  # learning rate: one step throws the matrix far off its set


def every_optimizer() -> dict[str, Callable[[], Any]]:
    """Return a factory of each optimizer that Keras exports."""
    by_hand = {
        "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.Adam(LARGE), initial_scale=8.0
        ),
        "MultiOptimizer": lambda: keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(
                keras.optimizers.SGD(LARGE),
                {".*recurrent_kernel": keras.optimizers.Adam(LARGE)},
            )
        ),
        # Its default accumulator makes the first steps minute.
        "Adagrad": lambda: keras.optimizers.Adagrad(LARGE, 1e-7),
        "Adadelta": lambda: keras.optimizers.Adadelta(1000.0),
    }
    classes = {
        name: value
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    del classes["Optimizer"]
    return {
        name: by_hand.get(name, partial(value, LARGE))
        for name, value in classes.items()
    }


OPTIMIZERS = every_optimizer()
POLICIES = ["float32", "float64", "mixed_float16", "mixed_bfloat16"]


def cells_of(model: Any) -> list[Any]:
    return [layer.cell for layer in model.layers if hasattr(layer, "cell")]


def make_model() -> Any:
    """Return a model with a unitary, a contractive and a learned-start layer."""
    return keras.Sequential(
        [
            keras.Input((3, FEATURES)),
            ku.UnitaryRNN(UNITS, "tanh", return_sequences=True, unroll=True),
            ku.ContractiveRNN(UNITS, "tanh", unroll=True, learn_initial_state=True),
            keras.layers.Dense(1),
        ]
    )


def compiled(optimizer: Any, jit_compile: bool = False) -> Any:
    return compile_model(make_model(), optimizer, "mse", jit_compile=jit_compile)


def assert_steps_stay_on_the_set(model: Any, steps: int) -> None:
    cells = cells_of(model)
    before = [to_numpy(cell.recurrent_kernel) for cell in cells]
    y = 10.0 * normal(BATCH, 1)
    for step in range(steps):
        model.train_on_batch(normal(BATCH, 3, FEATURES, seed=step), y)
        for cell in cells:
            assert_on_its_set(cell)
    for cell, kernel in zip(cells, before, strict=True):
        # Far more than rounding: without projection the matrix would be off its set.
        assert np.max(np.abs(to_numpy(cell.recurrent_kernel) - kernel)) > 1e-3


def test_every_optimizer_is_in_the_table() -> None:
    assert {"SGD", "Adam", "Muon", "Lamb", "LossScaleOptimizer"} <= set(OPTIMIZERS)
    assert len(OPTIMIZERS) >= 15


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_on_the_set_after_every_step_of_every_optimizer(name: str) -> None:
    model = compiled(OPTIMIZERS[name]())
    assert_steps_stay_on_the_set(model, 2)


def can_step(policy: str, name: str) -> bool:
    """Tell whether Keras 3.15.1 makes this step outside `fit`, whatever the layer."""
    backend = keras.config.backend()
    # Muon multiplies float64 by float32, which TensorFlow refuses.
    muon = (backend, policy, name) == ("tensorflow", "float64", "Muon")
    scaled = (backend, name) == ("jax", "LossScaleOptimizer")
    return not muon and not scaled


EVERYWHERE = [
    (policy, name)
    for policy in POLICIES
    for name in OPTIMIZERS
    if can_step(policy, name)
]


@pytest.mark.parametrize(("policy", "name"), EVERYWHERE)
def test_on_the_set_whatever_the_gradient(policy: str, name: str) -> None:
    with precision(policy):
        cells = [make_cell(UNITS, use_bias=False) for make_cell in CELLS.values()]
        for cell in cells:
            cell.build((BATCH, FEATURES))
        before = [to_numpy(cell.recurrent_kernel) for cell in cells]
        kernels = [cell.recurrent_kernel for cell in cells]
        optimizer = OPTIMIZERS[name]()
        for step in range(2):
            gradient = normal(UNITS, UNITS, seed=step)
            gradients = [keras.ops.cast(gradient, k.dtype) for k in kernels]
            optimizer.apply(gradients, kernels)
            for cell in cells:
                assert_on_its_set(cell)
    for kernel, start in zip(kernels, before, strict=True):
        assert np.max(np.abs(to_numpy(kernel) - start)) > 1e-3


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_on_the_set_when_trained_under_every_policy(policy: str) -> None:
    with precision(policy):
        # Adam is wrapped in a LossScaleOptimizer under mixed_float16; steps that
        # overflow are skipped.
        model = compiled(keras.optimizers.Adam(0.1))
        assert_steps_stay_on_the_set(model, 4)


def test_on_the_set_when_compiled() -> None:
    # PyTorch's compiler takes a minute and compiles no loop: there it is not used.
    jit_compile = keras.config.backend() != "torch"
    model = compiled(keras.optimizers.Adam(0.1), jit_compile)
    assert_steps_stay_on_the_set(model, 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_on_the_set_after_a_step_of_any_size(scale: float) -> None:
    for make_cell in CELLS.values():
        cell = make_cell(17)
        cell.build((BATCH, FEATURES))
        before = to_numpy(cell.recurrent_kernel)
        keras.optimizers.SGD(scale).apply(
            [keras.ops.convert_to_tensor(normal(17, 17), "float32")],
            [cell.recurrent_kernel],
        )
        assert_on_its_set(cell)
        assert np.any(to_numpy(cell.recurrent_kernel) != before)


def test_accumulation_leaves_the_matrix_until_it_updates() -> None:
    model = compiled(keras.optimizers.Adam(0.1, gradient_accumulation_steps=3))
    cells = cells_of(model)
    starts = [to_numpy(cell.recurrent_kernel) for cell in cells]
    for step in range(6):
        model.train_on_batch(normal(BATCH, 3, FEATURES, seed=step), normal(BATCH, 1))
        for cell, start in zip(cells, starts, strict=True):
            assert_on_its_set(cell)
            moved = np.max(np.abs(to_numpy(cell.recurrent_kernel) - start))
            # Steps that only accumulate project what is on the set: nothing changes.
            assert (moved == 0.0) if step < 2 else (moved > 1e-3)


@each_layer
def test_plain_rnn_over_the_cell_stays_on_the_set(
    make_layer: Callable[..., Any],
) -> None:
    cell = make_layer(UNITS, "tanh").cell
    rnn = keras.layers.RNN(cell, unroll=True)
    model = keras.Sequential([keras.Input((3, FEATURES)), rnn, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(LARGE), "mse", jit_compile=False)
    assert_steps_stay_on_the_set(model, 2)


@each_layer
def test_loaded_weights_are_projected_at_the_next_step(
    make_layer: Callable[..., Any],
) -> None:
    layer = make_layer(UNITS, "tanh", use_bias=False, unroll=True)
    model = keras.Sequential([keras.Input((2, FEATURES)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    model.set_weights([normal(FEATURES, UNITS), 3.0 * normal(UNITS, UNITS)])
    with pytest.raises(AssertionError):
        assert_on_its_set(layer.cell)
    model.train_on_batch(normal(BATCH, 2, FEATURES), normal(BATCH, UNITS))
    assert_on_its_set(layer.cell)


@each_layer
@pytest.mark.parametrize("how", ["argument", "attribute"])
def test_frozen_layer_is_not_changed(make_layer: Callable[..., Any], how: str) -> None:
    arguments = {"trainable": False} if how == "argument" else {}
    layer = make_layer(UNITS, learn_initial_state=True, unroll=True, **arguments)
    if how == "attribute":
        layer.trainable = False
    dense = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((3, FEATURES)), layer, dense])
    randomize(layer.cell)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before, dense_before = layer.get_weights(), dense.get_weights()
    model.fit(normal(BATCH, 3, FEATURES), normal(BATCH, 1), verbose=0)
    for weight, value in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert np.any(dense.get_weights()[0] != dense_before[0])
    assert layer.trainable_weights == []


@each_layer
@each_variant
def test_gradients_are_finite_differences(
    make_layer: Callable[..., Any], variant: dict[str, Any]
) -> None:
    x, step = normal(BATCH, STEPS, FEATURES), 1e-6
    with precision("float64"):
        layer = make_layer(UNITS, smooth, return_sequences=True, **variant)
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
        randomize(layer.cell)
        y = normal(BATCH, STEPS, layer.cell.output_size, seed=8)
        found = gradients.of_error(model, x, y, compiled=False)
        for weight, gradient in zip(layer.weights, found, strict=True):
            start = to_numpy(weight)
            direction = normal(*start.shape, seed=9)
            losses = []
            for sign in (1, -1):
                weight.assign(start + sign * step * direction)
                losses.append(np.mean((to_numpy(layer(x)) - y) ** 2))
            weight.assign(start)
            slope = (losses[0] - losses[1]) / (2 * step)
            # Central differences are right to 1e-9.
            assert slope == pytest.approx(np.sum(gradient * direction), abs=2e-7)
            assert np.max(np.abs(gradient)) > 1e-4


@each_layer
def test_gradients_are_those_of_simple_rnn(make_layer: Callable[..., Any]) -> None:
    x, y = sequences(), normal(BATCH, UNITS).astype("float32")
    inputs = keras.Input((STEPS, FEATURES))
    layer, simple = make_layer(UNITS, "relu"), keras.layers.SimpleRNN(UNITS, "relu")
    ours = keras.Model(inputs, layer(inputs))
    theirs = keras.Model(inputs, simple(inputs))
    theirs.set_weights(ours.get_weights())
    found, expected = (gradients.of_error(model, x, y) for model in (ours, theirs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)  # values of 1, as outputs
        assert np.max(np.abs(a)) > 1e-3


def penalty(weight: Any) -> Any:
    """A regularizer of the user's own: not the same for each weight."""
    return 0.1 * keras.ops.sum(keras.ops.square(weight) + 0.5 * weight)


@each_layer
@pytest.mark.parametrize("name", ["kernel", "recurrent_kernel", "bias"])
def test_regularizers_add_losses(make_layer: Callable[..., Any], name: str) -> None:
    argument = name.replace("recurrent_kernel", "recurrent") + "_regularizer"
    layer = make_layer(UNITS, **{argument: penalty})
    layer.build((BATCH, STEPS, FEATURES))
    randomize(layer.cell)
    (loss,) = layer.losses
    w = to_numpy(getattr(layer.cell, name))
    # Sums of at most 25 terms of about 1, in float32.
    assert to_numpy(loss) == pytest.approx(0.1 * np.sum(w**2 + 0.5 * w), abs=1e-5)


@each_layer
def test_activity_regularizer_adds_a_loss(make_layer: Callable[..., Any]) -> None:
    layer = make_layer(UNITS, activity_regularizer=keras.regularizers.L2(0.1))
    y = to_numpy(layer(sequences()))
    (loss,) = layer.losses
    # Keras divides by the batch size.
    assert to_numpy(loss) == pytest.approx(0.1 * np.sum(y**2) / BATCH, abs=1e-5)
    assert to_numpy(loss) > 0.01


@each_layer
def test_constraints_of_the_other_weights_are_applied(
    make_layer: Callable[..., Any],
) -> None:
    layer = make_layer(
        UNITS,
        unroll=True,
        kernel_constraint="non_neg",
        bias_constraint=keras.constraints.UnitNorm(axis=0),
    )
    model = keras.Sequential([keras.Input((2, FEATURES)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    assert np.min(to_numpy(layer.cell.kernel)) < 0.0
    model.train_on_batch(normal(BATCH, 2, FEATURES), normal(BATCH, UNITS))
    assert np.min(to_numpy(layer.cell.kernel)) >= 0.0
    bias_norm = np.linalg.norm(to_numpy(layer.cell.bias))
    assert bias_norm == pytest.approx(1.0, abs=1e-4)  # Keras adds 1e-7 to a small norm


@each_layer
def test_learned_initial_state_is_trained(make_layer: Callable[..., Any]) -> None:
    layer = make_layer(UNITS, "tanh", learn_initial_state=True)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    compile_model(model, keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    x, y = sequences(), normal(BATCH, UNITS).astype("float32")
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    assert np.min(np.abs(to_numpy(layer.cell.learned_initial_state))) > 1e-3

"""`project`: the set kept where Keras' optimizers don't keep it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import EPSILON, assert_on_its_set, normal, to_numpy

BACKEND = keras.config.backend()
X = normal(16, 6, 2).astype("float32")
Y = X.sum(axis=(1, 2))[:, None]


def dense() -> Any:
    return keras.layers.Dense(3, kernel_constraint=ku.UnitaryProjection())


def frozen() -> Any:
    return ku.UnitaryRNN(4, trainable=False)


# What is projected, and how many kernels it has.
HOLDERS: dict[str, tuple[Callable[[], Any], int]] = {
    "layer": (lambda: ku.UnitaryRNN(4), 1),
    "contractive": (lambda: ku.ContractiveRNN(4, max_norm=0.5), 1),
    "frozen": (frozen, 1),
    "wrapped-cell": (lambda: keras.layers.RNN(ku.UnitaryRNNCell(4)), 1),
    "bidirectional": (lambda: keras.layers.Bidirectional(ku.UnitaryRNN(4)), 2),
    "input-kernel": (
        lambda: ku.UnitaryRNN(4, kernel_constraint=ku.ContractiveProjection()),
        2,
    ),
    "dense": (dense, 1),
    "nested": (
        lambda: keras.Sequential([keras.Sequential([ku.UnitaryRNN(4)]), dense()]),
        2,
    ),
}


def projected(holder: Any) -> list[Any]:
    kinds = (ku.UnitaryProjection, ku.ContractiveProjection)
    return [w for w in holder.weights if isinstance(w.constraint, kinds)]


def off_the_set(make: Callable[[], Any]) -> Any:
    """Return what `make` makes, built, each projected kernel twice random numbers."""
    holder = make()
    holder(X)
    for seed, weight in enumerate(projected(holder)):
        weight.assign(2.0 * normal(*weight.shape, seed=seed))
    return holder


@pytest.mark.parametrize("name", HOLDERS)
def test_projects_and_says_how_far(name: str) -> None:
    make, count = HOLDERS[name]
    holder = off_the_set(make)
    before = {w.path: to_numpy(w) for w in holder.weights}
    expected = {w.path: to_numpy(w.constraint(w)) for w in projected(holder)}
    changes = ku.project(holder)
    assert len(changes) == count
    assert changes.keys() == expected.keys()
    for weight in holder.weights:
        value = expected.get(weight.path, before[weight.path])
        np.testing.assert_array_equal(to_numpy(weight), value)
        moved = np.max(np.abs(value - before[weight.path]))
        assert changes.get(weight.path, 0.0) == moved
    assert all(change > 0.1 for change in changes.values()), "the premise"


@pytest.mark.parametrize("name", HOLDERS)
def test_what_is_on_the_set_stays_bit_for_bit(name: str) -> None:
    holder = off_the_set(HOLDERS[name][0])
    ku.project(holder)
    before = holder.get_weights()
    assert set(ku.project(holder).values()) == {0.0}
    for old, new in zip(before, holder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_projects_a_cell() -> None:
    cell = ku.UnitaryRNNCell(4)
    cell.build((None, 2))
    cell.recurrent_kernel.assign(3.0 * np.eye(4))
    assert ku.project(cell) == {cell.recurrent_kernel.path: 2.0}


def test_a_kernel_with_nan_is_reported() -> None:
    layer = ku.UnitaryRNN(4)
    layer.build((None, None, 2))
    layer.cell.recurrent_kernel.assign(np.full((4, 4), np.nan))
    (change,) = ku.project(layer).values()
    assert np.isnan(change)


@pytest.mark.parametrize(
    "value", [None, "model", 3, np.eye(3), ku.UnitaryRNN, keras.optimizers.SGD()]
)
def test_refuses_what_is_no_layer(value: Any) -> None:
    with pytest.raises(TypeError, match="`model` must be a model, layer or cell"):
        ku.project(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ku.UnitaryRNN(3),
        lambda: ku.UnitaryRNNCell(3),
        lambda: keras.Sequential([ku.UnitaryRNN(3)]),
    ],
)
def test_refuses_what_is_not_built(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"`model` must be built.*without weights"):
        ku.project(make())


@pytest.mark.parametrize("constraint", [None, "non_neg"])
def test_refuses_a_model_with_nothing_to_project(constraint: Any) -> None:
    layer = keras.layers.Dense(3, kernel_constraint=constraint)
    layer.build((None, 2))
    with pytest.raises(ValueError, match="must be given a model with a projected"):
        ku.project(layer)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch compiles no such function")
def test_refuses_to_be_compiled() -> None:
    layer = off_the_set(lambda: ku.UnitaryRNN(4))
    before = layer.get_weights()

    def step(x: Any) -> Any:
        ku.project(layer)
        return x

    if BACKEND == "jax":
        import jax

        compiled = jax.jit(step)
    else:
        import tensorflow as tf

        compiled = tf.function(step)
    with pytest.raises(ValueError, match="outside of functions that are compiled"):
        compiled(X)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def own_step(model: Any, rate: float) -> None:
    """Take one step of gradient descent without Keras' optimizers."""
    if BACKEND == "torch":
        import torch

        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        optimizer.zero_grad()
        torch.mean((model(X) - torch.tensor(Y)) ** 2).backward()
        optimizer.step()
        return
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X) - Y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
    else:
        import jax

        def loss_of(weights: Any) -> Any:
            out, _ = model.stateless_call(weights, model.non_trainable_variables, X)
            return jax.numpy.mean((out - Y) ** 2)

        gradients = jax.grad(loss_of)([v.value for v in model.trainable_variables])
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        weight.assign(weight - rate * gradient)


@pytest.mark.parametrize("make", [ku.UnitaryRNN, ku.ContractiveRNN])
def test_a_loop_without_keras_optimizers(make: Callable[..., Any]) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([make(4, activation="tanh"), keras.layers.Dense(1)])
    model(X)
    cell = model.layers[0].cell
    moved = []
    for _ in range(4):
        own_step(model, 0.3)
        moved += ku.project(model).values()
        assert_on_its_set(cell)
    # A step may lead into the ball of the contractive matrices; not each of them does.
    assert max(moved) > 4 * 4 * EPSILON["float32"], "the premise: it leaves the set"

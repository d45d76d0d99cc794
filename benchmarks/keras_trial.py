"""What Keras runs as a contestant: a layer, and the products that are its limit."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from contestants import (
    CLASSES,
    CONTESTANTS,
    LEARNING_RATE,
    SEED,
    STREAMED,
    Entry,
    Shape,
    data,
)
from keras import ops
from measuring import rounds, timed

PROJECTED = 10  # matrices of a round
ROUND = 4.0  # seconds that are enough for the batches of a round

Rounds = Iterator[dict[str, Any]]


class KerasTrial:
    """Times a layer, of `CONTESTANTS` or given, in a model with a softmax on top.

    It trains by `fit`, predicts by `predict`, takes single steps of the layer's cell,
    and calls its recurrent constraint.
    """

    def __init__(
        self, entry: Entry, shape: Shape, layer: Callable[..., Any] | None = None
    ) -> None:
        self.jit, self.shape = entry.jit_compile, shape
        self.layer = layer or CONTESTANTS[entry.contestant].layer
        assert self.layer is not None, "a contestant of this kind has a layer"
        self.model = self._build()

    def training(self) -> Rounds:
        x, y = data(self.shape)
        weights = self.model.get_weights()
        clock = Clock(self.shape.per_round)
        fit = {"batch_size": self.shape.batch, "shuffle": False, "verbose": 0}
        while True:
            # A `fit` for each round: the older its data's threads, the longer, up to a
            # minute, TensorFlow waits for their end.
            self.model.fit(x, y, callbacks=[clock], **fit)
            self.model.set_weights(weights)
            about = {"loss": clock.loss, **_path(self.model.layers[0])}
            samples = clock.batches * self.shape.batch
            x, y = x[:samples], y[:samples]
            yield {**clock.told(), "about": about}

    def inference(self) -> Rounds:
        x, _ = data(self.shape)
        clock = Clock(self.shape.per_round)
        predict = {"batch_size": self.shape.batch, "callbacks": [clock], "verbose": 0}
        while True:
            self.model.predict(x, **predict)
            clock.stop()
            x = x[: clock.batches * self.shape.batch]
            yield clock.told()

    def streaming(self) -> Rounds:
        assert self.layer is not None, "checked when it was made"
        cell = self.layer(self.shape.units).cell
        cell.build((1, self.shape.features))
        states = cell.get_initial_state(batch_size=1)
        x = ops.ones((1, self.shape.features))
        step = _step(cell, self.jit)

        def call() -> object:
            nonlocal states
            output, states = step(x, states)
            return ops.convert_to_numpy(output)

        yield from rounds(call, STREAMED)

    def projection(self) -> Rounds:
        # The first layer stands for all of them.
        kernel: Any = getattr(self.model.layers[0].cell, "recurrent_kernel", None)
        constraint = getattr(kernel, "constraint", None)
        if constraint is None:
            return
        away = np.random.default_rng(SEED).choice([-1.0, 1.0], kernel.shape)
        stepped = ops.convert_to_numpy(kernel) + LEARNING_RATE * away
        matrix = ops.convert_to_tensor(stepped.astype("float32"))
        projected, returned = (
            _compiled(function, self.jit) for function in (constraint, ops.copy)
        )
        first = timed_call(projected, matrix, calls=1)
        while True:
            # In a step it has no call of its own.
            seconds = timed_call(projected, matrix) - timed_call(returned, matrix)
            yield {"seconds": seconds, "first": first}

    def _build(self) -> Any:
        assert self.layer is not None, "checked when it was made"
        keras.utils.set_random_seed(SEED)
        shape = self.shape
        below = [
            self.layer(shape.units, return_sequences=True)
            for _ in range(shape.layers - 1)
        ]
        top = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")
        inputs = keras.Input((shape.steps, shape.features))
        model = keras.Sequential([inputs, *below, self.layer(shape.units), top])
        model.compile(
            keras.optimizers.Adam(LEARNING_RATE),
            "sparse_categorical_crossentropy",
            jit_compile=self.jit,
        )
        return model


class ProductTrial:
    """Times the machine's limit, as a training step: the products of a forward pass.

    `h @ W`, of a `(batch, units)` and a `(units, units)` matrix, `steps` times in a row
    in one compiled function, in float32. It has the loop's overhead in it.
    """

    def __init__(self, entry: Entry, shape: Shape) -> None:
        self.jit, self.shape = entry.jit_compile, shape

    def training(self) -> Rounds:
        rng = np.random.default_rng(SEED)
        h = rng.normal(size=(self.shape.batch, self.shape.units)).astype("float32")
        # Orthogonal, so that the numbers stay of one size.
        w = np.linalg.qr(rng.normal(size=(self.shape.units, self.shape.units)))[0]
        given = [ops.convert_to_tensor(each) for each in (h, w.astype("float32"))]
        products = _compiled(_products(self.shape.steps), self.jit)
        yield from rounds(lambda: ops.convert_to_numpy(products(*given)))


class Clock(keras.callbacks.Callback):
    """Runs from the beginning of the first batch, and sees when the second begins.

    It does nothing at the end of a batch: a callback that does makes Keras wait for
    each step, which `fit` by itself does not.
    """

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches  # of a round; fewer where they turn out to be slow
        self._start = self._second = 0.0
        self._first: float | None = None
        self.seconds = (0.0, 0.0)  # of a batch, and of the very first one
        self.loss = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 0:
            self._start = time.perf_counter()
        elif batch == 1:
            self._second = time.perf_counter()
            if self._first is None:
                self._first = self._second - self._start

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.on_train_batch_begin(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.loss = float(logs["loss"])  # Keras has waited for the last step
        self.stop()

    def told(self) -> dict[str, Any]:
        return dict(zip(("seconds", "first"), self.seconds, strict=True))

    def stop(self) -> None:
        end = time.perf_counter()
        if self._first is None:
            self._first = end - self._start
        self.seconds = ((end - self._start) / self.batches, self._first)
        if self.batches > 1:
            usual = (end - self._second) / (self.batches - 1)
            self.batches = min(self.batches, math.ceil(ROUND / usual))


def timed_call(function: Any, matrix: Any, calls: int = PROJECTED) -> float:
    return timed(lambda: ops.convert_to_numpy(function(matrix)), calls)


def _path(layer: Any) -> dict[str, Any]:
    """Return which path a layer of ours takes, where it says so."""
    fused = getattr(layer, "uses_fused_recurrence", None)
    return {} if fused is None else {"uses_fused_recurrence": fused}


def _step(cell: Any, jit: bool) -> Any:
    """Return `cell(x, states)` as one would deploy it on the active backend."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x, states: cell(x, states), jit_compile=jit)
    if keras.config.backend() == "jax":
        import jax

        stateless = jax.jit(cell.stateless_call)
        weights = [
            [variable.value for variable in variables]
            for variables in (cell.trainable_variables, cell.non_trainable_variables)
        ]
        return lambda x, states: stateless(*weights, x, states)[0]
    import torch

    return torch.no_grad()(lambda x, states: cell(x, states))


def _products(steps: int) -> Callable[..., object]:
    """Return the loop `h @ W`, so many times, as the active backend writes one."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        def loop(h: Any, w: Any) -> object:
            return tf.while_loop(
                lambda i, _: i < steps, lambda i, h: (i + 1, tf.matmul(h, w)), (0, h)
            )[1]

        return loop
    if keras.config.backend() == "jax":
        import jax

        return lambda h, w: jax.lax.fori_loop(0, steps, lambda _, h: h @ w, h)
    import torch

    def products(h: Any, w: Any) -> object:
        buffers = [torch.clone(h), torch.empty_like(h)]
        with torch.no_grad():
            for t in range(steps):
                torch.mm(buffers[t % 2], w, out=buffers[(t + 1) % 2])
        return buffers[steps % 2]

    return products


def _compiled(function: Any, jit: bool) -> Any:
    """Return a function as a training step of the active backend runs it."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit)
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    return function

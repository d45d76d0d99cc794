"""Training one system on one task: what a trial of `compare.py` does."""

import math
import time
from collections.abc import Iterator
from typing import Any

import keras
import machine
import numpy as np
import tasks
from systems import SYSTEMS

HELD_OUT = 500  # sequences that the losses are taken on
HELD_OUT_SEED = 2**31  # above those of the trials


def batches(task: tasks.Task, size: int, seed: int) -> Iterator[tasks.Batch]:
    """Yield training batches without an end, the same ones for each system."""
    rng = np.random.default_rng(seed)
    while True:
        yield task.draw(rng, size)


def build_model(task: tasks.Task, system: str, width: int) -> Any:
    """Return a model of one recurrent layer and a dense one."""
    layer = SYSTEMS[system].make(width, return_sequences=task.per_step)
    inputs = keras.Input((task.steps, task.features))
    return keras.Sequential([inputs, layer, keras.layers.Dense(task.outputs)])


def loss_of(task: tasks.Task) -> keras.losses.Loss:
    """Return the mean over the sequences, and the steps if each has an answer."""
    if task.classes:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.losses.MeanSquaredError()


def learn(
    trial: dict[str, Any], settings: dict[str, Any], data_dir: str | None = None
) -> dict[str, Any]:
    """Train one system; return its losses and what it took."""
    task = tasks.make(trial["task"], trial["delay"], settings["dataset"], data_dir)
    # Else the process keeps each model, and what was compiled for it.
    keras.utils.clear_session()
    keras.utils.set_random_seed(trial["seed"])
    model = build_model(task, trial["system"], trial["width"])
    model.compile(
        keras.optimizers.Adam(settings["learning_rate"], global_clipnorm=1.0),
        loss_of(task),
        # `torch.compile` would write out the steps of the loop.
        jit_compile=keras.config.backend() != "torch",
    )
    every, size = settings["every"], settings["batch_size"]
    held_out = task.held_out(np.random.default_rng(HELD_OUT_SEED), HELD_OUT)
    start = time.perf_counter()
    history = model.fit(
        batches(task, size, trial["seed"]),
        steps_per_epoch=every,
        epochs=settings["steps"] // every,
        shuffle=False,
        validation_data=held_out,
        validation_batch_size=HELD_OUT,
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    return {
        "losses": [
            loss if math.isfinite(loss) else None for loss in history["val_loss"]
        ],
        "baseline": task.baseline,
        "loss": task.loss,
        "parameters": sum(math.prod(one.shape) for one in model.trainable_weights),
        "seconds": round(seconds, 1),
        "settings": settings,
        "environment": machine.environment(),
    }

"""A recurrent classifier of pixel sequences, and a training that survives a kill."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pixels
from checkpoints import BEST, add_piece, load, recorders, restore
from files import RunError
from free_rnn import free_rnn

import keras_urnn as ku

MAX_NORM = 0.999
CYCLE = ku.initializers.Cycle()


contractive = partial(ku.ContractiveRNN, max_norm=MAX_NORM)
LAYERS: dict[str, Any] = {
    "contractive": contractive,
    "contractive from a cycle": partial(contractive, recurrent_initializer=CYCLE),
    "unitary": ku.UnitaryRNN,
    "unitary from a cycle": partial(ku.UnitaryRNN, recurrent_initializer=CYCLE),
    "plain": free_rnn,
}
EVALUATION_BATCH = 500


class ShuffledBatches(keras.utils.PyDataset):
    """Batches in an order that depends on the seed and the epoch alone.

    So a resumed run sees the batches that an uninterrupted one would see. What
    does not fill a batch is left out of the epoch: one shape, one compilation.
    """

    def __init__(self, split: pixels.Split, batch_size: int, seed: int) -> None:
        super().__init__()
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        order = np.random.default_rng([self.seed, epoch])
        self.order = order.permutation(len(self.split.y))

    def __len__(self) -> int:
        return len(self.split.y) // self.batch_size

    def __getitem__(self, index: int) -> tuple[pixels.Array, pixels.Array]:
        chosen = self.order[index * self.batch_size :][: self.batch_size]
        return self.split.x[chosen], self.split.y[chosen]


def check_batch_size(batch_size: int, task: pixels.Task) -> None:
    samples = len(task.train.y)
    if batch_size > samples:
        raise RunError(
            f"--batch-size must be at most the number of training images, "
            f"{samples}. Received: {batch_size}."
        )


def build(kind: str, steps: int, units: int, policy: str = "float32") -> Any:
    """Return the classifier (samples, steps, 1) -> (samples, 10)."""
    return keras.Sequential(
        [
            keras.Input((steps, 1)),
            LAYERS[kind](units, activation="relu", name="recurrent", dtype=policy),
            keras.layers.Dense(pixels.CLASSES, activation="softmax", dtype="float32"),
        ],
        name=kind,
    )


def train(
    model: Any,
    task: pixels.Task,
    folder: Path,
    *,
    optimizer: keras.optimizers.Optimizer,
    batch_size: int,
    epochs: int,
    seed: int,
    jit_compile: bool | str = "auto",
    callbacks: Iterable[keras.callbacks.Callback] = (),
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Train from the latest backup in `folder` on; leave the best epoch's weights.

    `jit_compile="auto"` is no XLA on a CPU; measured, see README.md. `ended` says of
    what the backup and the log hold whether that is all: a kill may have come after
    the last epoch.
    """
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    batches = ShuffledBatches(task.train, batch_size, seed)
    shuffle = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: batches.start_epoch(epoch)
    )
    done = restore(model, folder, steps_per_epoch=len(batches))
    print(f"\n{folder.name}: {done} of {epochs} epochs done", flush=True)
    last = done if ended() else epochs
    if done < last:
        add_piece(folder, done)
    model.fit(
        batches,
        shuffle=False,  # done above; Keras would shuffle by the state of `random`
        validation_data=tuple(task.validation),
        validation_batch_size=EVALUATION_BATCH,
        initial_epoch=done,
        epochs=last,
        callbacks=[
            shuffle,
            *monitors(model),
            *recorders(folder),
            *callbacks,
        ],
    )
    load(model, folder / BEST)


def monitors(model: Any) -> list[keras.callbacks.Callback]:
    """Return what logs how far the recurrent matrix is from its set, if it has one."""
    kernel = model.get_layer("recurrent").cell.recurrent_kernel
    return [] if kernel.constraint is None else [ku.callbacks.UnitarityMonitor()]


def guess(model: Any, split: pixels.Split) -> pixels.Array:
    """Return the class that the model gives each sequence."""
    predicted = model.predict(split.x, batch_size=EVALUATION_BATCH, verbose=0)
    return predicted.argmax(-1)

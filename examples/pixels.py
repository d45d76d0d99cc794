"""Pixel-by-pixel digits: the data of the examples, and nothing else.

An image becomes a sequence of its pixels in one fixed random order, the same
for all images, with values from 0 to 1. Two data sets:

- `digits`: the 1,797 scans of 8 x 8 pixels that ship inside scikit-learn, so
  64 steps and no download;
- `mnist`: the 70,000 scans of 28 x 28 pixels from tensorflow-datasets, so
  784 steps, with the split of 55,000 / 5,000 / 10,000 that the paper needs to
  stop early without looking at the test set.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from files import RunError
from numpy.typing import NDArray

DATASETS = ("digits", "mnist")
CLASSES = 10
PERMUTATION_SEED = 92916  # the order that most papers on permuted MNIST use
DIGITS_SPLIT_SEED = 0  # part of the task, so that every run sees the same split
DIGITS_VALIDATION = 297
DIGITS_TEST = 360
MNIST_VALIDATION = 5_000

Array = NDArray[Any]


class MissingDataError(RunError):
    """The data can't be had; the message says what to do."""


class Split(NamedTuple):
    """Sequences `x` of shape (samples, steps, 1) and their classes `y`."""

    x: Array
    y: Array


class Task(NamedTuple):
    """One data set, permuted and split into disjoint parts."""

    train: Split
    validation: Split
    test: Split

    @property
    def steps(self) -> int:
        return int(self.train.x.shape[1])


def load(dataset: str, data_dir: str | None = None) -> Task:
    """Return the permuted task named `"digits"` or `"mnist"`.

    Args:
        dataset: string, one of `DATASETS`.
        data_dir: string or `None`. Where tensorflow-datasets keeps MNIST;
            with `None` the environment variable `TFDS_DATA_DIR`, and without
            that its own default. Not used by `"digits"`. Defaults to `None`.

    Raises:
        MissingDataError: when a package or the data set is missing.
    """
    if dataset == "digits":
        return _digits()
    if dataset == "mnist":
        return _mnist(data_dir)
    raise ValueError(f"`dataset` must be one of {DATASETS}. Received: {dataset!r}.")


def permutation(steps: int) -> Array:
    """Return the fixed order in which the `steps` pixels are read."""
    return np.random.RandomState(PERMUTATION_SEED).permutation(steps)


def to_sequences(images: Array, largest: float) -> Array:
    """Flatten, scale to [0, 1] and permute: (samples, steps, 1) in float32."""
    pixels = images.reshape(len(images), -1).astype("float32") / largest
    return pixels[:, permutation(pixels.shape[1]), None]


def _digits() -> Task:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDataError(
            "The digits come with scikit-learn, which is not installed: "
            "`pip install scikit-learn`."
        ) from error
    digits = load_digits()
    x, y = to_sequences(digits.images, 16.0), digits.target.astype("int32")

    def hold_out(x: Array, y: Array, size: int) -> tuple[Split, Split]:
        x, held_x, y, held_y = train_test_split(
            x, y, test_size=size, stratify=y, random_state=DIGITS_SPLIT_SEED
        )
        return Split(x, y), Split(held_x, held_y)

    rest, test = hold_out(x, y, DIGITS_TEST)
    train, validation = hold_out(*rest, DIGITS_VALIDATION)
    return Task(train, validation, test)


def _mnist(data_dir: str | None) -> Task:
    directory = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    _check_directory(directory)
    train, test = _read_mnist(directory)
    x, y = to_sequences(train[0], 255.0), train[1].astype("int32")
    cut = len(x) - MNIST_VALIDATION  # the stored order is already a shuffled one
    return Task(
        Split(x[:cut], y[:cut]),
        Split(x[cut:], y[cut:]),
        Split(to_sequences(test[0], 255.0), test[1].astype("int32")),
    )


def _check_directory(directory: str | None) -> None:
    # tensorflow-datasets would create a mistyped directory and download again.
    if directory is not None and not Path(directory).is_dir():
        raise MissingDataError(
            f"The data directory must exist. Received: {directory!r}. Create it "
            "to have MNIST downloaded there, or name the one that holds "
            "`mnist/` by --data-dir or TFDS_DATA_DIR."
        )


def _read_mnist(directory: str | None) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingDataError(
            f"MNIST is read by tensorflow-datasets, which failed to import "
            f"({error}): `pip install tensorflow-datasets importlib_resources`. "
            "Or use --dataset digits, which needs no download."
        ) from error
    _leave_gpu_to_keras()
    try:
        stored = tfds.load(
            "mnist",
            split=["train", "test"],
            batch_size=-1,
            as_supervised=True,
            data_dir=directory,
        )
    except Exception as error:  # whatever went wrong, the way out is the same
        raise MissingDataError(
            f"MNIST could be neither read nor downloaded "
            f"({type(error).__name__}: {error}). Prepare it where there is a "
            'network by `python -c "import tensorflow_datasets as t; '
            "t.load('mnist', data_dir='DIR')\"`, then pass --data-dir DIR (or set "
            "TFDS_DATA_DIR). Or use --dataset digits, which needs no download."
        ) from error
    return tfds.as_numpy(stored)


def _leave_gpu_to_keras() -> None:
    # Where TensorFlow only reads files, it must not claim the GPU's memory.
    if keras.config.backend() != "tensorflow":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")

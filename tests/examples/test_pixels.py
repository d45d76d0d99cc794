"""The data of the examples: shapes, order, disjoint splits, honest errors."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pixels
import pytest


@pytest.fixture(scope="module")
def digits() -> pixels.Task:
    return pixels.load("digits")


def test_digits_are_sequences_of_64_pixels_between_0_and_1(digits: pixels.Task) -> None:
    assert digits.steps == 64
    for split, samples in zip(digits, (1140, 297, 360), strict=True):
        assert split.x.shape == (samples, 64, 1)
        assert split.x.dtype == np.float32
        assert split.y.shape == (samples,)
        assert split.x.min() == 0.0
        assert split.x.max() == 1.0


def test_digits_are_split_without_loss_or_overlap(digits: pixels.Task) -> None:
    from sklearn.datasets import load_digits

    expected = sorted(image.tobytes() for image in load_digits().images / 16)
    back = np.argsort(pixels.permutation(64))
    images = np.concatenate([split.x[:, back, 0] for split in digits])
    assert sorted(image.tobytes() for image in images.astype("float64")) == expected


def test_digits_are_stratified(digits: pixels.Task) -> None:
    for split in digits:
        shares = np.bincount(split.y, minlength=10) / len(split.y)
        np.testing.assert_allclose(shares, 0.1, rtol=0, atol=0.01)


def test_digits_are_the_same_each_time(digits: pixels.Task) -> None:
    for split, again in zip(digits, pixels.load("digits"), strict=True):
        np.testing.assert_array_equal(split.x, again.x)
        np.testing.assert_array_equal(split.y, again.y)


def test_permutation_is_the_usual_one() -> None:
    order = pixels.permutation(784)
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    np.testing.assert_array_equal(order[:5], [319, 576, 323, 107, 355])


def test_pixels_are_read_in_the_permuted_order() -> None:
    image = np.arange(64).reshape(1, 8, 8)
    sequence = pixels.to_sequences(image, 1.0)
    np.testing.assert_array_equal(sequence[0, :, 0], pixels.permutation(64))


def test_unknown_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="cifar"):
        pixels.load("cifar")


def test_mistyped_data_directory_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "mistyped"
    with pytest.raises(pixels.MissingDataError, match=r"must exist.*TFDS_DATA_DIR"):
        pixels.load("mnist", str(missing))
    assert not missing.exists()


def test_data_directory_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "from-environment"))
    with pytest.raises(pixels.MissingDataError, match="from-environment"):
        pixels.load("mnist")


@pytest.mark.parametrize(
    ("dataset", "module", "advice"),
    [
        ("mnist", "tensorflow_datasets", "pip install tensorflow-datasets"),
        ("digits", "sklearn.datasets", "pip install scikit-learn"),
    ],
)
def test_missing_package_is_named(
    dataset: str, module: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setitem(sys.modules, module, None)  # makes its import fail
    with pytest.raises(pixels.MissingDataError, match=advice):
        pixels.load(dataset)


def test_failed_download_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    class Offline:
        load = staticmethod(no_network)

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", Offline)
    with pytest.raises(pixels.MissingDataError, match=r"no network.*--data-dir"):
        pixels.load("mnist", str(tmp_path))


def test_mnist_is_split_into_55000_5000_and_10000() -> None:
    directory = os.environ.get("TFDS_DATA_DIR")
    if directory is None or not (Path(directory) / "mnist").is_dir():
        pytest.skip("no MNIST in TFDS_DATA_DIR")
    task = pixels.load("mnist")
    assert task.steps == 784
    for split, samples in zip(task, (55_000, 5_000, 10_000), strict=True):
        assert split.x.shape == (samples, 784, 1)
        assert (split.x.min(), split.x.max()) == (0.0, 1.0)
        assert set(split.y.tolist()) == set(range(10))

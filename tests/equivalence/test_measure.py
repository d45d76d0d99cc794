"""The bound that is measured is the largest |x| per feature of all the data."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import measure_input_bound
from tests.equivalence.layers import build
from tests.equivalence.networks import FEATURES, Array

pytestmark = pytest.mark.each_backend

DATA = np.random.default_rng(0).normal(size=(6, 5, FEATURES)).astype("float32")
DATA[4, 2] = [-7.0, 8.0, -0.0]
EXPECTED = np.abs(DATA.astype("float64")).max(axis=(0, 1))
Y = np.full((6, 1), 100.0)


class Batches(keras.utils.PyDataset):
    """Three batches, by number."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        rows = slice(2 * index, 2 * index + 2)
        return DATA[rows], Y[rows]


def generated() -> Iterator[Array]:
    yield from np.split(DATA, 3)


def loaded() -> Any:
    """The data loader of the active backend, where it has one."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((DATA, Y)).batch(4)
    if keras.config.backend() == "torch":
        import torch

        tensors = torch.from_numpy(DATA), torch.from_numpy(Y)
        pairs = torch.utils.data.TensorDataset(*tensors)
        return torch.utils.data.DataLoader(pairs, batch_size=4)
    return [(keras.ops.convert_to_tensor(DATA), Y)]


SOURCES: dict[str, Callable[[], Any]] = {
    "array": lambda: DATA,
    "four-axes": lambda: DATA[:, :, None],
    "tensor": lambda: keras.ops.convert_to_tensor(DATA),
    "list": lambda: np.split(DATA, 3),
    "pairs": lambda: [(batch, Y) for batch in np.split(DATA, 3)],
    "weighted": lambda: [(DATA, Y, Y)],
    "lists": lambda: [[DATA, Y]],
    "generator": generated,
    "py-dataset": Batches,
    "loader": loaded,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_it_is_the_largest_of_each_feature(make: Callable[[], Any]) -> None:
    found = measure_input_bound(make())
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "bool"])
def test_every_kind_of_real_number_is_measured(dtype: str) -> None:
    found = measure_input_bound(np.ones((1, 1, 2), dtype))
    np.testing.assert_array_equal(found, [1.0, 1.0])


def test_bfloat16_is_measured() -> None:
    x = keras.ops.cast(keras.ops.full((2, 3, 2), -1.5), "bfloat16")
    np.testing.assert_array_equal(measure_input_bound(x), [1.5, 1.5])


def test_the_smallest_integer_is_measured() -> None:
    # |-128| is no int8.
    found = measure_input_bound(np.array([[[-128, 3]]], "int8"))
    np.testing.assert_array_equal(found, [128.0, 3.0])


def test_a_feature_that_is_always_0_is_named() -> None:
    x = DATA.copy()
    x[..., 1] = 0.0
    with pytest.warns(UserWarning, match=r"features \[1\] are 0.*bound is set"):
        found = measure_input_bound(x)
    assert found[1] == np.finfo("float64").tiny
    np.testing.assert_array_equal(found[[0, 2]], EXPECTED[[0, 2]])
    layer = build(ku.ContractiveRNN(4))
    assert ku.to_unitary(layer, input_bound=found).built


def test_it_is_ready_for_the_conversion() -> None:
    layer = build(ku.ContractiveRNN(4))
    bound = measure_input_bound(DATA)
    converted = ku.to_unitary(layer, input_bound=bound)
    report = ku.verify_equivalence(
        layer, converted, input_bound=bound, steps=20, search=False
    )
    assert report.equivalent, report


def broken(value: float) -> Array:
    x = DATA.copy()
    x[3, 1, 2] = value
    return x


REFUSED: dict[str, tuple[type[Exception], Callable[[], Any], str]] = {
    "nan": (ValueError, lambda: broken(np.nan), "finite.*NaN or Inf"),
    "inf": (ValueError, lambda: broken(np.inf), "finite.*NaN or Inf"),
    "minus-inf": (ValueError, lambda: [broken(-np.inf)], "finite.*NaN or Inf"),
    "one-axis": (ValueError, lambda: DATA[0, 0], r"shape \(3,\).*x\[None\]"),
    "two-axes": (ValueError, lambda: DATA[0], r"shape \(5, 3\).*x\[None\]"),
    "no-rows": (ValueError, lambda: DATA[:0], r"shape \(0, 5, 3\)"),
    "no-batches": (ValueError, list, "no batch"),
    "features": (
        ValueError,
        lambda: [DATA, DATA[..., :2]],
        "of 3 features throughout.*2 features",
    ),
    "complex": (TypeError, lambda: 1j * DATA, "dtype complex"),
    "text": (TypeError, lambda: "data", "str"),
    "text-array": (TypeError, lambda: np.full((1, 1, 1), "1"), "dtype <U1"),
    "objects": (TypeError, lambda: np.full((1, 1, 1), None), "dtype object"),
    "pair": (TypeError, lambda: (DATA, Y), "tuple.*the inputs alone"),
    "dict": (TypeError, lambda: {"x": DATA}, "dict.*one by one"),
    "batch-of-dicts": (TypeError, lambda: [{"x": DATA}], "dict.*begins with one"),
    "numbers": (TypeError, lambda: [[1.0, 2.0]], "float"),
    "empty-pair": (TypeError, lambda: [()], "tuple"),
    "number": (TypeError, lambda: 3.0, "float"),
    "nothing": (TypeError, lambda: None, "NoneType"),
}


@pytest.mark.parametrize(("kind", "make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_bound_is_refused(
    kind: type[Exception], make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(kind, match=f"`x` must be.*{words}"):
        measure_input_bound(make())

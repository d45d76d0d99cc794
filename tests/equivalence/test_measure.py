"""The bound that is measured is the largest |x| per feature of all the data."""

import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
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


class Foreign:
    """An array of a library that isn't known here."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return DATA


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
    "objects": lambda: DATA.astype(object),
    "fractions": lambda: [[[Fraction(float(x)) for x in EXPECTED]]],
    "of-another-library": lambda: Foreign(),
    "not-masked": lambda: np.ma.array(DATA),
    "tensor": lambda: keras.ops.convert_to_tensor(DATA),
    "nested-lists": DATA.tolist,
    "iterator": lambda: iter(np.split(DATA, 3)),
    "list-of-one": lambda: [DATA],
    "nested-lists-in-turn": lambda: (part.tolist() for part in np.split(DATA, 3)),
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


# Numbers that a double doesn't hold: the bound is the double above.
BETWEEN: dict[str, Any] = {
    "int64": np.array([[[2**62 + 1]]]),
    "minus-int64": np.array([[[-(2**62) - 1]]]),
    "uint64": np.array([[[2**64 - 1]]], "uint64"),
    "python": [[[2**80 + 1]]],
    "beside-a-float": [[[2**53 + 1], [1.5]]],
    "fraction": [[[Fraction(1, 3)]]],
    "decimal": [[[Decimal("0.1")]]],
    "tiny": [[[Fraction(1, 10**400)]]],
    "longdouble": np.array([[[1]]], np.longdouble) + np.finfo(np.longdouble).eps,
}


@pytest.mark.parametrize("x", BETWEEN.values(), ids=BETWEEN)
def test_what_no_double_holds_is_rounded_up(x: Any) -> None:
    (found,) = measure_input_bound(x)
    exact = abs(np.asarray(x, dtype=object).flat[0])
    exact = int(exact) if isinstance(exact, int | np.integer) else exact
    assert np.nextafter(found, 0.0) < exact <= found


# Steps of padding, for each a way to say so.
PADDED = np.concatenate([DATA, np.full((6, 3, FEATURES), -100.0, "float32")], axis=1)
KEPT = np.any(PADDED != -100.0, axis=-1)
MASKS: dict[str, Callable[[], Any]] = {
    "booleans": lambda: (PADDED, KEPT),
    "numbers": lambda: (PADDED, KEPT.astype("float32")),
    "lists": lambda: (PADDED, KEPT.tolist()),
    "tensors": lambda: tuple(map(keras.ops.convert_to_tensor, (PADDED, KEPT))),
    "four-axes": lambda: (PADDED[:, :, None], KEPT),
    "four-axes-all": lambda: (PADDED[:, :, None], KEPT[:, :, None]),
    "batches": lambda: (iter(np.split(PADDED, 3)), np.split(KEPT, 3)),
    "pairs": lambda: ([(PADDED[:2], Y), (PADDED[2:], Y)], [KEPT[:2], KEPT[2:]]),
    "a-batch-of-padding": lambda: (iter([PADDED, PADDED]), [KEPT, 0 * KEPT]),
    "nan": lambda: (np.where(KEPT[..., None], PADDED, np.nan), KEPT),
    "masked-array": lambda: (np.ma.masked_equal(PADDED, -100.0), None),
    "both": lambda: (np.ma.masked_equal(PADDED, DATA.max()), KEPT),
    "objects": lambda: (PADDED.astype(object), KEPT),
}


@pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)
def test_padding_is_left_out(make: Callable[[], Any]) -> None:
    x, mask = make()
    expected = EXPECTED
    if make is MASKS["both"]:
        assert DATA[4, 2, 1] == DATA.max()
        others = np.delete(DATA.reshape(-1, FEATURES), 4 * 5 + 2, axis=0)
        expected = np.where([False, True, False], np.abs(others).max(axis=0), EXPECTED)
    np.testing.assert_array_equal(measure_input_bound(x, mask=mask), expected)
    assert measure_input_bound(PADDED).min() == 100.0


REFUSED_MASKS: dict[str, tuple[type[Exception], Callable[[], Any], str]] = {
    "longer": (ValueError, lambda: KEPT, r"shape \(6, 5\)\. Received.*\(6, 8\)"),
    "batch": (ValueError, lambda: KEPT[:4, :5], r"\(6, 5\)\. Received.*\(4, 5\)"),
    "features": (ValueError, lambda: DATA != 0.0, r"shape \(6, 5, 3\)"),
    "one-axis": (ValueError, lambda: np.ones(6, bool), r"shape \(6,\)"),
    "number": (ValueError, lambda: 1, r"shape \(\)"),
    "all": (ValueError, lambda: np.zeros((6, 5)), r"features \[0, 1, 2\]"),
    "halves": (ValueError, lambda: np.full((6, 5), 0.5), "besides 0 and 1"),
    "nan": (ValueError, lambda: np.full((6, 5), np.nan), "besides 0 and 1"),
    "text": (ValueError, lambda: np.full((6, 5), "1"), "dtype is <U1"),
    "ragged": (ValueError, lambda: [[True], [True, False]], "can't be read"),
}


@pytest.mark.parametrize(
    ("kind", "make", "words"), REFUSED_MASKS.values(), ids=REFUSED_MASKS
)
def test_other_masks_are_refused(
    kind: type[Exception], make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(kind, match=words):
        measure_input_bound(DATA, mask=make())


def test_a_mask_goes_with_each_batch() -> None:
    batches, full = np.split(DATA, 3), np.ones((2, 5))
    for masks, words in (([full] * 2, "more batches"), ([full] * 4, "more masks")):
        with pytest.raises(ValueError, match=f"`mask` must be an iterable.*{words}"):
            measure_input_bound(iter(batches), mask=masks)
    with pytest.raises(TypeError, match="`mask` must be an iterable of one mask"):
        measure_input_bound(iter(batches), mask=full)


def test_a_feature_whose_entries_are_all_masked_has_no_bound() -> None:
    x = np.ma.array(DATA, mask=np.zeros(DATA.shape, bool))
    x[..., 1] = np.ma.masked
    with pytest.raises(ValueError, match=r"only masked entries of the features \[1\]"):
        measure_input_bound(x)


def ragged() -> Any:
    """Sequences of several lengths in one tensor, as this backend has them."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.ragged.constant([DATA[0].tolist(), DATA[1, :2].tolist()])
    if keras.config.backend() == "torch":
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "a prototype"
            return torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    return [DATA[0].tolist(), DATA[1, :2].tolist()]


def sparse() -> Any:
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.sparse.from_dense(DATA)
    if keras.config.backend() == "torch":
        import torch

        return torch.from_numpy(DATA).to_sparse()
    from jax.experimental import sparse as of_jax

    # Not `fromdense`, which takes 18 s to compile.
    return of_jax.BCOO((np.ones(1), np.zeros((1, 3), int)), shape=DATA.shape)


def itself() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


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
        lambda: iter([DATA, DATA[..., :2]]),
        "of 3 features throughout.*2 features",
    ),
    "complex": (TypeError, lambda: 1j * DATA, "dtype is complex"),
    "text": (TypeError, lambda: "data", "str"),
    "text-array": (TypeError, lambda: np.full((1, 1, 1), "1"), "dtype is <U1"),
    "objects": (TypeError, lambda: np.full((1, 1, 1), None), "NoneType is no real"),
    "dates": (TypeError, lambda: np.full((1, 1, 1), "2020", "M8[D]"), "datetime64"),
    "durations": (TypeError, lambda: np.ones((1, 1, 1), "m8[s]"), "timedelta64"),
    "duration": (TypeError, lambda: np.full((1, 1, 1), np.timedelta64(1)), "timedelta"),
    "text-objects": (TypeError, lambda: np.full((1, 1, 1), "1", object), "str is no"),
    "complex-list": (TypeError, lambda: [[[1j, 1.0]]], "dtype is complex"),
    "complex-objects": (TypeError, lambda: (1j * DATA).astype(object), "complex is no"),
    "beyond": (ValueError, lambda: [[[10**400]]], "beyond the largest double"),
    "ragged-lists": (
        TypeError,
        lambda: [[[1.0], [2.0]], [[1.0]]],
        "can't be read as an array.*Pad sequences",
    ),
    "ragged": (TypeError, ragged, "can't be read as an array.*Pad sequences"),
    "sparse": (TypeError, sparse, "can't be read as an array"),
    "symbolic": (TypeError, lambda: keras.Input((5, 3)), "symbolic tensor"),
    "x-and-y": (TypeError, lambda: [DATA, DATA], "list of arrays.*iter"),
    "sequences": (TypeError, lambda: [DATA[0], DATA[1, :2]], r"sequence\[None\]"),
    "itself": (TypeError, itself, "list"),
    "pair": (TypeError, lambda: (DATA, Y), "tuple.*the inputs alone"),
    "dict": (TypeError, lambda: {"x": DATA}, "dict.*one by one"),
    "batch-of-dicts": (TypeError, lambda: [{"x": DATA}], "dict.*begins with one"),
    "numbers": (ValueError, lambda: [[1.0, 2.0]], r"shape \(1, 2\)"),
    "empty-pair": (TypeError, lambda: [()], "tuple"),
    "number": (TypeError, lambda: 3.0, "float"),
    "nothing": (TypeError, lambda: None, "NoneType"),
}


@pytest.mark.parametrize(("kind", "make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_bound_is_refused(
    kind: type[Exception], make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(kind, match=f"(?s)`x` must be.*{words}"):
        measure_input_bound(make())

"""`measure_input_bound`: measure the argument `input_bound` on data."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.ranges.intervals import SMALLEST_NORMAL, Array

Mask = NDArray[np.bool_]

_MOST_AXES = 64  # of NumPy's arrays
_EXPECTED = "an array of real numbers of shape (batch, time, features), or batches"


def measure_input_bound(x: Any, mask: Any = None) -> Array:
    """Measure the largest |x| of each feature of some data.

    It is what `keras_urnn.to_unitary`, `prune_inactive` and `verify_equivalence` take
    as `input_bound`. They need a bound on all inputs that will ever be used, and a
    bound measured on some data may not hold for others. Measure the training and the
    test data and all others that you have, and multiply by a factor of safety; or clip
    the inputs, and give that bound instead.

        bound[f] = max over batch and time, where mask, of |x[batch, time, f]|

    The maximum is over every axis but the last, without the steps that `mask` leaves
    out. Numbers that float64 can't hold, as large integers, are rounded up.

    Args:
        x: array or tensor of shape `(batch, time, features)` (more axes before the
            last are allowed), nested lists of numbers of that shape, or an iterable of
            batches that ends: a generator, a `keras.utils.PyDataset`, a
            `tf.data.Dataset`, a PyTorch `DataLoader`, or a list of pairs. A batch is
            such an array, or a tuple or list of which it is the first, as `(x, y)` for
            `fit`. The masked entries of a `numpy.ma.MaskedArray` are left out.
        mask: array of booleans, or of 0 and 1, of shape `(batch, time)` (or of more of
            the axes of `x` before the last), an iterable of one for each batch, or
            `None`. As in Keras a step where it is False is padding, and is left out:
            for a padding value `-10` it is `np.any(x != -10, axis=-1)`, as for
            `keras.layers.Masking(-10)`. Defaults to `None`: no step is padding.

    Returns:
        A float64 array of shape `(features,)`. A feature that is always 0 gets the
        smallest normal number, as a bound must be positive, and a warning says so.

    Raises:
        ValueError: when there are no data, or none that the mask keeps, fewer than
            three axes, another number of features in some batch, NaN or Inf, or when
            the mask has another shape or other numbers.
        TypeError: when the data are not real numbers: text, complex numbers, dates,
            objects, ragged, sparse or symbolic tensors; or a dict or a list of several
            arrays (measure several inputs one by one).

    Example:
        ```python
        x = np.random.default_rng(0).uniform(-1.0, 1.0, (8, 10, 3))
        bound = keras_urnn.measure_input_bound(x)  # shape (3,)
        layer = keras_urnn.ContractiveRNN(4)
        y = layer(x)  # shape (8, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.5 * bound)
        ```
    """
    largest: Array | None = None
    for batch, its_mask in _with_masks(x, mask):
        found = _largest(batch, its_mask)
        if largest is not None and found.shape != largest.shape:
            advice = "Bounds are per feature; measure different inputs one by one."
            sizes = f"a batch of {found.size} features"
            raise _checks.error(
                "x", f"of {largest.size} features throughout", sizes, advice
            )
        largest = found if largest is None else np.maximum(largest, found)
    if largest is None:
        raise _checks.error("x", _EXPECTED, "no batch", "An iterator may be used up.")
    if np.any(largest < 0.0):
        features = np.flatnonzero(largest < 0.0).tolist()
        masked = f"only masked entries of the features {features}"
        advice = (
            "A mask is True where there are data, and False where there is padding."
        )
        expected = "data that a mask leaves something of"
        raise _checks.error("x", expected, masked, advice)
    return _positive(largest)


def _with_masks(x: Any, mask: Any) -> Iterator[tuple[Any, Any]]:
    """The batches, each with its mask."""
    if _is_one_array(x):
        yield x, mask
        return
    if mask is None:
        yield from ((batch, None) for batch in _batches(x))
        return
    advice = "A mask goes with each batch; give a single array of data a single mask."
    expected = "an iterable of one mask for each batch, as `x` is one of batches"
    if _numbers.is_array(mask) or not isinstance(mask, Iterable):
        raise _checks.type_error("mask", expected, mask, advice)
    missing = object()
    for batch, its_mask in zip_longest(_batches(x), mask, fillvalue=missing):
        if batch is missing or its_mask is missing:
            more = "masks" if batch is missing else "batches"
            raise _checks.error("mask", expected, f"more {more}", advice)
        yield batch, its_mask


def _batches(x: Any) -> Iterator[Any]:
    if isinstance(x, str | bytes | Mapping | tuple) or not isinstance(x, Iterable):
        advice = (
            "Pass the inputs alone (of a tuple `(x, y)`: `x`), and several inputs one "
            "by one."
        )
        raise _checks.type_error("x", _EXPECTED, type(x).__name__, advice)
    if isinstance(x, list) and sum(map(_numbers.is_array, x)) > 1:
        # Keras takes a list for the inputs of a model, or it may be `[x, y]`.
        advice = (
            "Pass the inputs alone, and several inputs one by one; batches of one "
            "input as an iterator, `iter(batches)`; sequences of several lengths one "
            "by one, `(sequence[None] for sequence in sequences)`."
        )
        raise _checks.type_error("x", _EXPECTED, "a list of arrays", advice)
    for batch in x:
        pair = isinstance(batch, tuple | list) and not _is_one_array(batch)
        yield batch[0] if pair and len(batch) > 0 else batch


def _is_one_array(x: Any) -> bool:
    """Whether `x` is an array, a tensor or a nested list of numbers."""
    if _numbers.is_array(x):
        return True
    leaf = x
    for _ in range(_MOST_AXES):
        leaf = leaf[0] if isinstance(leaf, list) and leaf else leaf
    return leaf is not x and isinstance(leaf, Number | str)


def _largest(batch: Any, mask: Any) -> Array:
    """The largest |x| per feature of a batch, -Inf where the masks leave nothing."""
    if not _is_one_array(batch):
        advice = (
            "Each batch must be an array, or a tuple `(x, y)` that begins with one."
        )
        raise _checks.type_error("x", _EXPECTED, type(batch).__name__, advice)
    values = _values(batch)
    kept = np.broadcast_to(True, values.shape)
    if mask is not None:
        kept = _kept(mask, values.shape)
    if np.ma.is_masked(batch):
        kept = kept & ~np.ma.getmaskarray(batch)
    if not np.all(kept):
        # What is left out may be NaN.
        values = np.where(kept, values, np.zeros((), values.dtype))
    # A float64 for each number of a batch would be a copy.
    values = values.reshape(-1, values.shape[-1])
    ends = np.stack([values.min(axis=0), values.max(axis=0)])
    ends = _numbers.in_float64(ends, outwards=True)
    if not np.all(np.isfinite(ends)):
        advice = "Clean the data first: no bound holds for these."
        found = "NaN or Inf in the data, or a number beyond the largest double"
        raise _checks.error("x", "finite", found, advice)
    seen = kept.reshape(-1, len(ends[0])).any(axis=0)
    return np.where(seen, np.abs(ends).max(axis=0), -np.inf)


def _values(batch: Any) -> NDArray[Any]:
    advice = (
        "A bound is on the numbers that enter the recurrence. Pad sequences of several "
        "lengths, and give the `mask`."
    )
    values = _numbers.array_of(
        "x",
        np.ma.getdata(batch) if np.ma.isMaskedArray(batch) else batch,
        _EXPECTED,
        advice,
        booleans=True,
        wrong_kind=_checks.type_error,
    )
    if values.ndim < 3 or values.size == 0:
        advice = "Give a single sequence a first axis: `x[None]`."
        raise _checks.error("x", _EXPECTED, f"shape {values.shape}", advice)
    if values.dtype.kind == "O":
        return _numbers.in_float64(values, outwards=True)
    return values


def _kept(mask: Any, shape: tuple[int, ...]) -> Mask:
    """The mask, spread over the axes of the data, or raise."""
    steps = " or ".join(str(shape[:axes]) for axes in range(2, len(shape)))
    expected = f"an array of booleans of shape {steps}"
    advice = "It is True where there are data, and False where there is padding."
    found = _numbers.array_of("mask", mask, expected, advice, booleans=True)
    if found.ndim < 2 or found.ndim == len(shape) or found.shape != shape[: found.ndim]:
        raise _checks.error("mask", expected, f"shape {found.shape}", advice)
    if not np.all((found == 0) | (found == 1)):
        raise _checks.error("mask", expected, "numbers besides 0 and 1", advice)
    spread = found.astype(bool).reshape(found.shape + (1,) * (len(shape) - found.ndim))
    return np.broadcast_to(spread, shape)


def _positive(largest: Array) -> Array:
    zero = largest == 0.0
    if np.any(zero):
        smallest = SMALLEST_NORMAL["float64"]
        warnings.warn(
            f"features {np.flatnonzero(zero).tolist()} are 0 throughout these data: "
            f"their bound is set to {smallest:.3g}, as it must be positive. Any other "
            "value of theirs breaks it; give them the bound that they may reach.",
            stacklevel=3,
        )
        largest = np.where(zero, smallest, largest)
    return largest

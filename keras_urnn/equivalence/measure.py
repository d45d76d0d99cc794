"""`measure_input_bound`: the argument `input_bound`, from data."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.intervals import SMALLEST_NORMAL, Array

_EXPECTED = "an array of real numbers of shape (batch, time, features), or batches"


def measure_input_bound(x: Any) -> Array:
    """Measure the largest |x| of each feature of some data.

    It is what `keras_urnn.to_unitary`, `prune_inactive` and `verify_equivalence` take
    as `input_bound`. They need a bound on all inputs there will ever be: what is
    measured on some data promises nothing for others. Measure the training and the
    test data and what else is at hand, and multiply by a factor of safety; or clip
    the inputs, and give that bound instead.

        bound[f] = max over batch and time of |x[batch, time, f]|

    Every axis but the last is gone through, padding and masked steps included.

    Args:
        x: array or tensor of shape `(batch, time, features)` (more axes before the
            last are allowed), or an iterable of batches that ends: a list, a
            generator, a `keras.utils.PyDataset`, a `tf.data.Dataset` or a PyTorch
            `DataLoader`. A batch is such an array, or a tuple or list of which it is
            the first, as `(x, y)` for `fit`.

    Returns:
        A float64 array of shape `(features,)`. A feature that is always 0 gets the
        smallest normal number, as a bound must be positive, and a warning says so.

    Raises:
        ValueError: when there are no data, fewer than three axes, another number of
            features in some batch, or NaN or Inf.
        TypeError: when the data are not real numbers: text, complex, objects, or a
            dict (measure its inputs one by one).

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
    for batch in _batches(x):
        found = _largest(batch)
        if largest is not None and found.shape != largest.shape:
            advice = "Bounds are per feature; measure different inputs one by one."
            sizes = f"a batch of {found.size} features"
            raise _checks.error(
                "x", f"of {largest.size} features throughout", sizes, advice
            )
        largest = found if largest is None else np.maximum(largest, found)
    if largest is None:
        raise _checks.error("x", _EXPECTED, "no batch", "An iterator may be used up.")
    return _positive(largest)


def _batches(x: Any) -> Iterator[Any]:
    if _is_array(x):
        yield x
    elif isinstance(x, str | bytes | Mapping | tuple) or not isinstance(x, Iterable):
        advice = (
            "Pass the inputs alone (of a tuple `(x, y)`: `x`), and several inputs one "
            "by one."
        )
        raise _checks.type_error("x", _EXPECTED, type(x).__name__, advice)
    else:
        for batch in x:
            pair = isinstance(batch, tuple | list) and len(batch) > 0
            yield batch[0] if pair else batch


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x)


def _largest(batch: Any) -> Array:
    if not _is_array(batch):
        advice = (
            "Each batch must be an array, or a tuple `(x, y)` that begins with one."
        )
        raise _checks.type_error("x", _EXPECTED, type(batch).__name__, advice)
    values = keras.ops.convert_to_numpy(batch)
    # NumPy has no bfloat16: it is a kind of its own.
    if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
        advice = "A bound is on the numbers that enter the recurrence."
        raise _checks.type_error("x", _EXPECTED, f"dtype {values.dtype}", advice)
    if values.ndim < 3 or values.size == 0:
        advice = "Give a single sequence a first axis: `x[None]`."
        raise _checks.error("x", _EXPECTED, f"shape {values.shape}", advice)
    # A float64 for each number of a batch would be a copy.
    values = values.reshape(-1, values.shape[-1])
    ends = np.stack([values.min(axis=0), values.max(axis=0)]).astype(np.float64)
    if not np.all(np.isfinite(ends)):
        advice = "Clean the data first: no bound holds for these."
        raise _checks.error("x", "finite", "NaN or Inf in the data", advice)
    return np.abs(ends).max(axis=0)


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

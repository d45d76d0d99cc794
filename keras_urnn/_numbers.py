"""Numbers from outside: real, finite and in float64, or the reason why they aren't.

NumPy's casts say nothing: a complex number loses its imaginary part, a masked entry
its mask, a large integer its last digits, and text and dates become numbers.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks

Array = NDArray[np.float64]

# What NumPy and the backends raise where they can't make an array.
_UNREADABLE = (AttributeError, RuntimeError, TypeError, ValueError)


def real_numbers(
    argument: str, value: Any, expected: str, advice: str, *, outwards: bool = False
) -> Array:
    """Return real and finite numbers in float64, or raise a `ValueError`.

    Args:
        argument: string. What the error calls them.
        value: array or tensor, nested list, or number.
        expected: string. What the error says they should be.
        advice: string. What the error says to do.
        outwards: boolean. Whether to round what float64 doesn't hold away from 0, as a
            bound must be, instead of to the nearest. Defaults to `False`.
    """
    array = array_of(argument, value, expected, advice)
    found = in_float64(array, outwards=outwards)
    if not np.all(np.isfinite(found)):
        reason = "It holds NaN or Inf, or a number beyond the largest double."
        raise _checks.error(argument, expected, value, f"{reason} {advice}")
    return found


def real_array(argument: str, value: Any, expected: str, advice: str) -> Array:
    """Return real numbers in float64, NaN and Inf among them, or raise.

    A `TypeError` where they are no real numbers, a `ValueError` beyond a double.

    Args:
        argument: string. What the error calls them.
        value: array or tensor, nested list, or number.
        expected: string. What the error says they should be.
        advice: string. What the error says to do.
    """
    kind = _checks.type_error
    array = array_of(argument, value, expected, advice, booleans=True, wrong_kind=kind)
    found = in_float64(array, outwards=False)
    if array.dtype.kind == "O" and not np.all(np.isfinite(found)):
        reason = "It holds a number beyond the largest double."
        raise _checks.error(argument, expected, value, f"{reason} {advice}")
    return found


def array_of(
    argument: str,
    value: Any,
    expected: str,
    advice: str,
    *,
    booleans: bool = False,
    wrong_kind: Callable[[str, str, Any, str], Exception] = _checks.error,
) -> NDArray[Any]:
    """Return real numbers as a NumPy array of the dtype that they came in, or raise.

    Args:
        argument: string. What the error calls them.
        value: array or tensor, nested list, or number.
        expected: string. What the error says they should be.
        advice: string. What the error says to do.
        booleans: boolean. Whether those count as numbers. Defaults to `False`.
        wrong_kind: makes the error. Defaults to `_checks.error`, a `ValueError`.
    """
    try:
        array = _read(value)
        reason = _objection(array, booleans)
    except _UNREADABLE as problem:
        first_line = str(problem).partition("\n")[0]
        reason = f"It can't be read as an array: {first_line:.200}."
    if reason:
        raise wrong_kind(argument, expected, value, f"{reason} {advice}")
    return array


def in_float64(array: NDArray[Any], *, outwards: bool) -> Array:
    """The numbers of an `array_of` in float64; Inf where they are beyond it."""
    if array.dtype.kind == "O":
        found = np.array([_as_float(x) for x in array.flat]).reshape(array.shape)
    else:
        with np.errstate(over="ignore"):
            found = array.astype(np.float64)
    if not outwards or not _is_wide(array.dtype):
        return found
    exact = array.astype(object)
    pairs = [_outwards(*pair) for pair in zip(found.flat, exact.flat, strict=True)]
    return np.array(pairs, np.float64).reshape(array.shape)


def is_array(value: Any) -> bool:
    """Whether `value` is an array or a tensor, of whatever library."""
    if isinstance(value, np.ndarray | np.generic | keras.KerasTensor):
        return True
    return bool(keras.ops.is_tensor(value)) or hasattr(value, "__array__")


def _read(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):
        raise TypeError("a symbolic tensor has no numbers yet")
    if np.ma.is_masked(value):
        raise ValueError("masked entries are not data")
    if isinstance(value, keras.Variable):
        value = value.value
    if keras.ops.is_tensor(value):
        return _of_tensor(value)
    if not isinstance(value, list | tuple):
        return np.asarray(value)
    parts = [_read(part) if _holds_parts(part) else part for part in value]
    array = np.asarray(parts)
    if array.dtype.kind == "f" and np.any(np.abs(array) >= np.float64(2**53)):
        # Beside floats NumPy rounds integers, those from 2^53 on.
        return np.array(parts, dtype=object)
    return array


def _holds_parts(part: Any) -> bool:
    if isinstance(part, float | int):
        return False  # at once, as most are
    return isinstance(part, list | tuple) or is_array(part)


def _of_tensor(tensor: Any) -> NDArray[Any]:
    if keras.config.backend() == "torch":
        return keras.ops.convert_to_numpy(tensor)
    array = np.asarray(tensor)
    if array.dtype.kind == "O":
        # `convert_to_numpy` would fill up with zeros what is sparse or ragged.
        raise TypeError(
            f"a {type(tensor).__name__} of {tensor.dtype} is no dense array"
        )
    return array


def _objection(array: NDArray[Any], booleans: bool) -> str:
    """Why these are no real numbers; nothing where they are."""
    dtype = array.dtype
    if dtype.kind == "O":
        wrong = [type(x).__name__ for x in array.flat if not _is_real(x)]
        return f"A {wrong[0]} is no real number." if wrong else ""
    # NumPy has no bfloat16 and no float8: they are kinds of their own.
    if dtype.kind in "iuf" or dtype.name.startswith(("bfloat16", "float8")):
        return ""
    if dtype.kind == "b" and booleans:
        return ""
    return f"Its dtype is {dtype}, and only real numbers will do."


def _is_real(x: Any) -> bool:
    return isinstance(x, Real | Decimal) and not isinstance(x, bool)


def _is_wide(dtype: np.dtype[Any]) -> bool:
    """Whether float64 doesn't hold all numbers of this dtype."""
    return dtype.kind == "O" or dtype.itemsize > (4 if dtype.kind in "iu" else 8)


def _as_float(x: Any) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf
    except ValueError:  # a signalling NaN
        return math.nan


def _outwards(nearest: float, exact: Any) -> float:
    """The first double from `nearest` on that is no nearer to 0 than `exact`."""
    if not math.isfinite(nearest):
        return nearest
    if isinstance(exact, Integral):
        exact = int(exact)  # NumPy would round its own to compare them
    if abs(nearest) < abs(exact):
        return math.nextafter(nearest, math.inf if exact > 0 else -math.inf)
    return nearest

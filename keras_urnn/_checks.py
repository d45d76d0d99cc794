"""Argument checks: what was passed, what was expected, what to do."""

import math
import reprlib
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np


class _Short(reprlib.Repr):
    """A `repr` with a few entries of what is long, and of arrays the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 8
        # Many strings are findings in words, which have to be told in full.
        self.maxstring, self.maxother = 2000, 300

    def repr1(self, x: Any, level: int) -> str:
        try:
            shape, dtype = tuple(x.shape), x.dtype
        except (AttributeError, RuntimeError, TypeError, ValueError):
            return super().repr1(x, level)
        if isinstance(x, np.ndarray | np.generic) and x.size <= 8:
            return repr(x)
        ends = ""
        if isinstance(x, np.ndarray) and x.size and x.dtype.kind in "iuf":
            ends = f", from {x.min():.6g} to {x.max():.6g}"
        return f"<{type(x).__name__} of shape {shape}, dtype {dtype}{ends}>"

    def repr_int(self, x: int, level: int) -> str:
        # Python writes out no integer of more than 4300 digits.
        if x.bit_length() > 200:
            return f"<int of {x.bit_length()} bits>"
        return repr(x)


_SHORT = _Short()


def shown(value: Any) -> str:
    """How an error writes a value out: in short, as arrays of thousands of numbers."""
    found = _SHORT.repr(value)
    # Lists in lists may still be long. Strings are findings in words.
    whole = isinstance(value, str) or len(found) <= 500
    return found if whole else f"{found[:400]} ..."


def message(argument: str, expected: str, received: Any, advice: str) -> str:
    """One sentence each: the expectation, what came, and the way out."""
    found = shown(received)
    return f"`{argument}` must be {expected}. Received: {argument}={found}. {advice}"


def error(argument: str, expected: str, received: Any, advice: str) -> ValueError:
    """A `ValueError` to raise, for a value outside its range."""
    return ValueError(message(argument, expected, received, advice))


def type_error(argument: str, expected: str, received: Any, advice: str) -> TypeError:
    """A `TypeError` to raise, for a value of the wrong kind."""
    return TypeError(message(argument, expected, received, advice))


def is_integer(value: Any) -> bool:
    """Whether `value` is an integer; `True` and `False` are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a real, finite number; `True` and `False` are not."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer or a fraction beyond the largest double
        return False


def numbers(argument: str, value: Any, size: int, advice: str) -> list[float]:
    """Return `size` finite numbers as a list of `float`, or raise."""
    given = value.tolist() if isinstance(value, np.ndarray) else value
    if (
        not isinstance(given, list | tuple)
        or len(given) != size
        or not all(is_number(number) for number in given)
    ):
        raise error(argument, f"a sequence of {size} finite numbers", value, advice)
    return [float(number) for number in given]


def positive_integer(
    argument: str, value: Any, advice: str, most: int | None = None
) -> int:
    """Return `value` as an `int`, or raise; at most `most`, where that is given."""
    if not is_integer(value) or value < 1 or (most is not None and value > most):
        limit = "" if most is None else f", at most {most}"
        raise error(argument, f"a positive integer{limit}", value, advice)
    return int(value)


def positive_number(argument: str, value: Any, advice: str) -> float:
    """Return `value` as a `float` where it is above 0 and finite, or raise."""
    if not is_number(value) or not value > 0.0:
        raise error(argument, "a positive, finite number", value, advice)
    return float(value)


def boolean(argument: str, value: Any, advice: str) -> bool:
    """Return `value` as a `bool`, or raise: "no" is true where Python is asked."""
    if not isinstance(value, bool | np.bool_):
        raise type_error(argument, "True or False", value, advice)
    return bool(value)


def rate(argument: str, value: Any) -> float:
    """Return the dropout rate `value` as a `float`, or raise."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        advice = (
            "It is the fraction of the entries that is dropped: 0 drops none, and "
            "all of them can't be dropped."
        )
        raise error(argument, "a number in [0, 1)", value, advice)
    return float(value)


def max_norm(value: Any, argument: str = "max_norm") -> float:
    """Return the bound on a spectral norm as a `float`, or raise."""
    if not is_number(value) or not 0.0 < value <= 1.0:
        advice = "It is the largest spectral norm that the matrix may have."
        if is_number(value) and value > 1.0:
            advice = (
                "Norms above 1 are not contractive; for an unconstrained kernel use "
                "`keras.layers.SimpleRNN`."
            )
        elif is_number(value):
            advice = (
                "Only the zero matrix has norm 0, and none a smaller one; for steps "
                "that do not depend on each other use `keras.layers.Dense`."
            )
        raise error(argument, "a number in (0, 1]", value, advice)
    return float(value)


def one_of(argument: str, value: Any, choices: Collection[str], advice: str) -> str:
    """Return `value` where it is one of `choices`, or raise."""
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(f'"{choice}"' for choice in choices)
        raise error(argument, f"one of {names}", value, advice)
    return value

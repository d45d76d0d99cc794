"""Argument checks: what was passed, what was expected, what to do."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np


def message(argument: str, expected: str, received: Any, advice: str) -> str:
    """One sentence each: the expectation, what came, and the way out."""
    return (
        f"`{argument}` must be {expected}. Received: {argument}={received!r}. {advice}"
    )


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
    return (
        isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    )


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


def positive_integer(argument: str, value: Any, advice: str) -> int:
    """Return `value` as an `int`, or raise."""
    if not is_integer(value) or value < 1:
        raise error(argument, "a positive integer", value, advice)
    return int(value)


def rate(argument: str, value: Any) -> float:
    """Return the dropout rate `value` as a `float`, or raise."""
    if not is_number(value) or not 0.0 <= value < 1.0:
        advice = (
            "It is the fraction of the entries that is dropped: 0 drops none, and "
            "all of them can't be dropped."
        )
        raise error(argument, "a number in [0, 1)", value, advice)
    return float(value)


def max_norm(value: Any) -> float:
    """Return the bound on a spectral norm as a `float`, or raise."""
    if not is_number(value) or not 0.0 < value <= 1.0:
        advice = (
            "Norms above 1 are not contractive; for an unconstrained kernel use "
            "`keras.layers.SimpleRNN`."
        )
        raise error("max_norm", "a number in (0, 1]", value, advice)
    return float(value)


def one_of(argument: str, value: Any, choices: Collection[str], advice: str) -> str:
    """Return `value` where it is one of `choices`, or raise."""
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(f'"{choice}"' for choice in choices)
        raise error(argument, f"one of {names}", value, advice)
    return value

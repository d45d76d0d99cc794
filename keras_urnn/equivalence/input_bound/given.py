"""The argument `input_bound`: the range of the inputs that the caller promises."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.ranges.intervals import Interval, symmetric

InputBound = ArrayLike | Mapping[str, ArrayLike] | None

_EXPECTED = "a positive, finite number, or an array of them, one per feature"
_ADVICE = (
    "It is the largest |x| that the inputs can take: the added states are switched "
    "off for all inputs within it, and for those only. From data take "
    "`input_bound=keras_urnn.measure_input_bound(x)`; for a feature that is always 0 "
    "any positive number will do."
)


# Its squares, and products with weights, don't overflow float64.
_LARGEST = 2.0**500
_UNNAMED = (
    "Give it a name, `keras.Input(..., name=...)`, or take the one that Keras made up: "
    "`input_bound={model.inputs[0].name: ...}`."
)


def is_unnamed(name: str) -> bool:
    """Whether Keras made this name of an input up."""
    return re.fullmatch(r"keras_tensor(_\d+)?", name) is not None


def written(name: str) -> str:
    """How an error calls an input, or a layer, of this name."""
    return "an input that has no name" if is_unnamed(name) else repr(name)


class InputBounds:
    """The checked argument `input_bound`, looked up by layer name.

    Args:
        input_bound: float, array of shape `(features,)`, or dict from layer names to
            these. A number or an array bounds the inputs of the model, layer or cell.
            A dict entry bounds what enters the model by the input of that name, what
            enters the recurrent layer of that name, or what leaves any other layer.
    """

    def __init__(self, input_bound: InputBound) -> None:
        self.given = input_bound
        if isinstance(input_bound, Mapping):
            self._named = {name: _checked(b) for name, b in input_bound.items()}
            self._default = None
        else:
            self._named = {}
            self._default = _checked(input_bound)

    def check_names(self, known: Collection[str]) -> None:
        """Raise where the dict has a name that is not among `known`."""
        unknown = [name for name in self._named if name not in known]
        if unknown:
            named = sorted(name for name in known if not is_unnamed(name))
            advice = f"The names here are {named}."
            if len(named) < len(known):
                advice += f" An input has none. {_UNNAMED}"
            expected = "a dict by the names of inputs and layers"
            raise _checks.error("input_bound", expected, unknown, advice)

    def named(self, name: str) -> Interval | None:
        """The range promised under this name, if any."""
        return self._named.get(name)

    def of_input(self, name: str) -> Interval:
        """The range of the inputs called `name`, or raise."""
        interval = self._named.get(name, self._default)
        if interval is None and is_unnamed(name):
            expected = "a dict with a bound for each input, and one has no name"
            raise _checks.error(
                "input_bound", expected, self.given, f"{_UNNAMED} {_ADVICE}"
            )
        if interval is None:
            advice = f"Add it: `input_bound={{{name!r}: ...}}`. {_ADVICE}"
            expected = f"a dict with a bound for {name!r}"
            raise _checks.error("input_bound", expected, self.given, advice)
        return interval

    def of_layer(self, name: str, features: int) -> Interval:
        """The range of the inputs of a layer or cell that is no part of a model."""
        self.check_names([name])
        return fit(self.of_input(name), features, name, self.given)


def _checked(bound: Any) -> Interval:
    values = _numbers.real_numbers(
        "input_bound", bound, _EXPECTED, _ADVICE, outwards=True
    )
    if values.ndim > 1 or values.size == 0 or not np.all(values > 0.0):
        raise _checks.error("input_bound", _EXPECTED, bound, _ADVICE)
    if np.max(values) > _LARGEST:
        expected = f"at most {_LARGEST:.3g}"
        advice = "Nothing could be computed with such inputs, or with their squares."
        raise _checks.error("input_bound", expected, bound, advice)
    return symmetric(values)


def fit(interval: Interval, features: int, name: str, given: Any) -> Interval:
    """Write `interval` out for `features` features, or raise."""
    if interval.lower.ndim and interval.lower.shape != (features,):
        expected = (
            f"a number or an array of {features} numbers, the features of "
            f"{written(name)}"
        )
        raise _checks.error("input_bound", expected, given, _ADVICE)
    return interval.spread(features)

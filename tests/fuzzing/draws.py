"""Random choices that a seed and the index of a call decide alone."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Maker = Callable[["Draw"], Any]
Row = Callable[["Draw"], Any]


class Draw:
    """The choices of one call: the same for the same seed and index."""

    def __init__(self, seed: int, index: int) -> None:
        self.generator = np.random.default_rng((seed, index))
        # Keras seeds its initializers by this.
        random.seed(self.below(2**31))

    def below(self, count: int) -> int:
        return int(self.generator.integers(count))

    def chance(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[Any], weights: Sequence[float]) -> Any:
        ends = np.cumsum(weights)
        at = self.generator.random() * ends[-1]
        return options[int(np.searchsorted(ends, at, side="right"))]

    def normal(self, *shape: int) -> Any:
        return self.generator.standard_normal(shape)


def one_of(*options: Any) -> Maker:
    """Make an argument that is one of these values."""
    return lambda draw: draw.pick(options)


def fixed(value: Any) -> Maker:
    """Make an argument that is always this value."""
    return lambda draw: value

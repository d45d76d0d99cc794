"""The pieces of an activation that is affine in pieces."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_urnn.equivalence.ranges.intervals import Array


class Pieces(NamedTuple):
    """`φ(z) = slopes[i] z + offsets[i]` for `z` between `ends[i - 1]` and `ends[i]`.

    Attributes:
        ends: array of shape `(p - 1,)`, increasing.
        slopes: array of shape `(p,)`.
        offsets: array of shape `(p,)`.
    """

    ends: Array
    slopes: Array
    offsets: Array

    @classmethod
    def of(
        cls, ends: Sequence[float], slopes: Sequence[float], offsets: Sequence[float]
    ) -> "Pieces":
        """Make pieces from lists of numbers."""
        parts = (np.asarray(part, dtype=np.float64) for part in (ends, slopes, offsets))
        return cls(*parts)

    @property
    def is_homogeneous(self) -> bool:
        """Whether `φ(d z) = d φ(z)` for all `d > 0`."""
        return not np.any(self.ends) and not np.any(self.offsets)

    def slope(self, z: Array) -> Array:
        """The slope of `φ` at each number; an end belongs to the piece below it."""
        return self.slopes[np.searchsorted(self.ends, z)]

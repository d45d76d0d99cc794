"""Which numbers count as zero, and which of these decisions were close."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.matrices.dilation import norm_tolerance

Array = NDArray[np.float64]

# Singular values of float64 matrices carry errors of some n * 2^-52 of the norm; a
# hundred times that is the least that can be told from zero after a few of them.
_LEAST_EPSILON = 2.0**-45
_NOISE = 2.0**-47
_CLOSE = 100.0


def unit_tolerance(size: int, epsilon: float) -> float:
    """How far from 1 a norm or a modulus still counts as 1."""
    return norm_tolerance(size, max(epsilon, _LEAST_EPSILON))


@dataclass
class Decisions:
    """Rank decisions on a system whose weights are known up to rounding.

    A singular value counts as 0 up to `size * epsilon` of the norm, the change that
    the rounding of the stored weights can make. What lies between the noise of the
    float64 computation and a hundred times that tolerance is noted as a doubt.

    Attributes:
        size: integer. The number of states.
        epsilon: float. Machine epsilon of the weights as they are stored.
        doubts: list of strings, one for each decision that was close.
    """

    size: int
    epsilon: float
    doubts: list[str] = field(default_factory=list)

    @property
    def tolerance(self) -> float:
        """What counts as 0, relative to the norm."""
        return self.size * max(self.epsilon, _LEAST_EPSILON)

    @property
    def unit_tolerance(self) -> float:
        """How far from 1 a modulus still counts as 1."""
        return unit_tolerance(self.size, self.epsilon)

    def above(self, singular: Array, scale: float, what: str) -> NDArray[np.bool_]:
        """Tell which of the singular values count as positive."""
        tolerance = self.tolerance * scale
        noise = self.size * _NOISE * scale
        for value in singular[(singular > noise) & (singular <= _CLOSE * tolerance)]:
            self.doubts.append(
                f"{what}: singular value {value:.3g}, tolerance {tolerance:.3g}"
            )
        return singular > tolerance

    def doubt_gap(self, gap: float, what: str) -> None:
        """Note where a modulus counts as below 1, but by little."""
        if self.unit_tolerance < gap <= _CLOSE * self.unit_tolerance:
            self.doubts.append(
                f"{what}: below 1 by {gap:.3g}, tolerance {self.unit_tolerance:.3g}"
            )

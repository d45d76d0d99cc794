"""Compare the outputs of two networks, and bound the effect of rounding on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_urnn.equivalence.ranges.intervals import STORAGE_ROUNDOFF, Array

# How far rounding may move outputs over a few steps, relative to the largest: the two
# networks add the same terms in another order.
OUTPUT_TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-6,
    "bfloat16": 2.0**-4,
    "float16": 2.0**-7,
}


def rounding_tolerance(dtype: str, growth: float, steps: int) -> float:
    """How far rounding may move the outputs of a recurrence, relative to the largest.

    A step multiplies an earlier error by at most `growth` (`Recurrence.growth`). A
    recurrence with `growth < 1` adds up the roundings of its last `1 / (1 - growth)`
    steps: at 0.999 in float32 that is 6e-5 at worst (measured: 3e-6 at n = 1, 3e-7 from
    n = 4 on). Never more than 1/2, where differences would mean nothing.
    """
    steps = telling_steps(dtype, growth, steps)
    grown = steps * max(growth, 1.0) ** (steps - 1)
    memory = grown if growth >= 1.0 else min(grown, 1.0 / (1.0 - growth))
    accumulated = STORAGE_ROUNDOFF[dtype] * memory
    return float(min(OUTPUT_TOLERANCE[dtype] + accumulated, 0.5))


def telling_steps(dtype: str, growth: float, steps: int) -> int:
    """The number of steps before rounding errors may be as large as the outputs.

    That is all steps, unless a step may multiply rounding errors by more than 1:
    hard_silu is steeper than the identity in places, and a threshold jumps.
    """
    if growth <= 1.0 + 1e-6:
        return steps
    return max(1, min(steps, int(-np.log(STORAGE_ROUNDOFF[dtype]) / np.log(growth))))


@dataclass(frozen=True)
class Observation:
    """The result of running two networks on the same inputs.

    Attributes:
        name: string. What was run.
        absolute: float. `max|y - y'|`.
        relative: float. The same over `max|y|`.
        tolerance: float. The largest `relative` that rounding may explain.
        largest_added: float. The largest distance of an added state from its rest.
        distance: float. The smallest distance of an added state's pre-activation from
            the end of the half-line where it rests; infinite where none was in view.
        inside: bool. Whether the inputs stayed in the range that the proof is for.
        in_float64: bool. Whether it was run in float64 in place of its own dtype.
    """

    name: str
    absolute: float
    relative: float
    tolerance: float
    largest_added: float = 0.0
    distance: float = float("inf")
    inside: bool = True
    in_float64: bool = False

    @property
    def differences(self) -> list[str]:
        """Why this run shows that the two are different."""
        # Written so that NaN fails.
        if self.relative <= self.tolerance:
            return []
        where = " in float64" if self.in_float64 else ""
        found = f"outputs differ by {self.relative:.3g}, relative{where}"
        return [f"{self.name}: {found}, where rounding makes {self.tolerance:.1g}"]

    @property
    def objections(self) -> list[str]:
        """Why this run contradicts the assumptions of the proof."""
        found = []
        if not self.largest_added == 0.0:
            found.append(
                f"{self.name}: an added state left its rest by {self.largest_added:.3g}"
            )
        if not self.inside:
            found.append(f"{self.name}: what enters it leaves the range given for it")
        return found


def compare(name: str, expected: Array, found: Array, tolerance: float) -> Observation:
    """Compare the outputs of two runs, relative to `max|y|`."""
    absolute = float(np.max(np.abs(expected - found)))
    scale = float(np.max(np.abs(expected)))
    relative = absolute / scale if absolute and scale else absolute
    return Observation(name, absolute, relative, tolerance)


def nudge(x: Array, *dtypes: str) -> Array:
    """Inputs moved by about as much as storing them in the coarsest dtype may."""
    unit = max(STORAGE_ROUNDOFF[dtype] for dtype in dtypes)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], x.shape)
    return x + unit * signs * (1.0 + np.abs(x))


def compare_nudged(
    name: str, expected: Array, found: Array, nudged: Array, dtypes: Sequence[str]
) -> Observation:
    """Compare two runs where no theorem bounds the effect of rounding.

    The effect is measured: `nudged` are the outputs of the first network for inputs or
    weights that were moved by about their rounding. Sequences are compared as long as
    the effect stays below 1e-3: later steps could differ by rounding alone.
    """
    if expected.ndim < 3:
        expected, found, nudged = (y[:, None] for y in (expected, found, nudged))
    scale = float(np.max(np.abs(expected))) or 1.0
    axes = (0, *range(2, expected.ndim))
    moved = np.max(np.abs(nudged - expected), axis=axes) / scale
    grown = np.maximum.accumulate(moved)
    steps = max(1, int(np.sum(grown < 1e-3)))
    base = 10.0 * max(OUTPUT_TOLERANCE[dtype] for dtype in dtypes)
    tolerance = min(0.5, base + 30.0 * float(grown[steps - 1]))
    return compare(name, expected[:, :steps], found[:, :steps], tolerance)

"""Evidence for and against the equivalence of two networks, and how it is gathered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_urnn.equivalence.progress import advance
from keras_urnn.equivalence.ranges.intervals import MACHINE_EPSILON, Array
from keras_urnn.equivalence.verification.cell_pair import CellPair
from keras_urnn.equivalence.verification.cell_runs import run_both, run_both_in_float64
from keras_urnn.equivalence.verification.comparison import Observation
from keras_urnn.equivalence.verification.markov_parameters import (
    Comparison,
    compare_regions,
)
from keras_urnn.equivalence.verification.proof import objections
from keras_urnn.equivalence.verification.trial_inputs import (
    Sampling,
    searched_inputs,
    trial_inputs,
)

STAGES = 3  # that `examine_cells` shows in the progress bar


@dataclass(frozen=True, eq=False)
class Trial:
    """How two networks are tried: on which inputs, and for how long.

    Attributes:
        sampling: `Sampling`.
        horizon: integer or `None`.
        search: boolean. Whether inputs on which they differ are searched for, too.
    """

    sampling: Sampling
    horizon: int | None
    search: bool


@dataclass(eq=False)
class Evidence:
    """All that was found of two networks.

    Attributes:
        pairs: the cells that were checked against the proof.
        observations: the runs.
        comparisons: of affine regions.
        differences: strings. Evidence that the two are different, besides the runs.
        gaps: strings. The steps that a proof of their equivalence lacks.
    """

    pairs: list[CellPair] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def add(self, other: "Evidence") -> None:
        """Add other findings to these."""
        self.pairs += other.pairs
        self.observations += other.observations
        self.comparisons += other.comparisons
        self.differences += other.differences
        self.gaps += other.gaps


def examine_cells(
    pair: CellPair, trial: Trial, entered: Sequence[Array] = ()
) -> Evidence:
    """Check two cells against the proof, and run them side by side.

    Args:
        pair: the two.
        trial: `Trial`.
        entered: arrays of shape `(batch, time, features)`, more inputs to run them on
            in their own dtype: those of a run of the model around them. Defaults to
            `()`.
    """
    found = Evidence([pair])
    if not pair.is_comparable:
        found.differences.append(f"{pair.name}: {pair.shapes}")
        return found
    comparison = _compared_regions(pair, trial.sampling)
    if comparison is not None:
        found.comparisons.append(comparison)
        if not comparison.is_equal:
            found.differences.append(
                f"{pair.name}: in an affine region the Markov parameters differ by "
                f"{comparison.difference:.3g}, relative, where rounding makes "
                f"{comparison.tolerance:.1g}"
            )
    # Networks that are equal in these regions may differ elsewhere: only an empty list
    # of `objections` is a proof.
    found.gaps += objections(pair, trial.horizon)
    inputs = [trial_inputs(pair, trial.sampling)]
    advance()
    if trial.search:
        inputs.append(searched_inputs(pair, trial.sampling))
    advance()
    found.observations += run_both(pair, [*inputs, *entered])
    found.observations += [run_both_in_float64(pair, x) for x in inputs]
    advance()
    return found


def _compared_regions(pair: CellPair, sampling: Sampling) -> Comparison | None:
    x = sampling.inputs(pair.sampled, (pair.sampled.lower.size,))
    stored = [MACHINE_EPSILON[one.stored_dtype] for one in pair.recurrences]
    unit = 0.0 if pair.is_exact else float(np.max(stored))
    return compare_regions(pair.recurrences, pair.seen_through, x, sampling.steps, unit)

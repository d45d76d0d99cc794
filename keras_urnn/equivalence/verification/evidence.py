"""Evidence for and against the equivalence of two networks, and how it is gathered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from keras_urnn.equivalence.progress_bar import advance
from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.verification.cell_pair import CellPair
from keras_urnn.equivalence.verification.cell_runs import run_both, run_both_in_float64
from keras_urnn.equivalence.verification.comparison import Observation
from keras_urnn.equivalence.verification.proof import objections
from keras_urnn.equivalence.verification.trial_inputs import (
    Sampling,
    searched_inputs,
    trial_inputs,
)

# How many stages of `examine_cells` the progress bar shows.
STAGES = 3


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
        differences: strings. Evidence that the two are different, besides the runs.
        gaps: strings. The steps that a proof of their equivalence lacks.
    """

    pairs: list[CellPair] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def add(self, other: "Evidence") -> None:
        """Add other findings to these."""
        self.pairs += other.pairs
        self.observations += other.observations
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

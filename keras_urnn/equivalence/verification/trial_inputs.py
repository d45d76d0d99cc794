"""Inputs to try two networks on: random, constant, adverse, and searched for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.ranges.intervals import Array, Interval
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.cell_pair import CellPair
from keras_urnn.equivalence.verification.float64_runs import (
    InputGradient,
    input_gradient,
    trajectory,
)
from keras_urnn.equivalence.verification.gradient_search import climb

# How long the sequences are that are searched by gradient.
SEARCHED_STEPS = 100
# The longest run. A step takes some 0.1 ms on PyTorch, the slowest backend.
MOST_STEPS = 10_000
# Models have lengths of their own, and may need a thousand times the memory a step.
MOST_SEQUENCES = 1000
# The numbers of all steps of all of them have to be held at once.
MOST_IN_ALL = 100_000


@dataclass(frozen=True, eq=False)
class Sampling:
    """How many inputs to draw, how long, and from what.

    Attributes:
        steps: integer. The length of a sequence, where nothing else fixes it.
        batch_size: integer. How many sequences of each kind.
        generator: NumPy's random generator.
    """

    steps: int
    batch_size: int
    generator: np.random.Generator

    def inputs(self, entering: Interval, shape: tuple[int, ...]) -> Array:
        """Random sequences, and sequences held at a corner of the range.

        Uniform in the range, each step on its own; then as many constant ones, the
        first at the upper end of all features, the second at the lower.
        """
        size = (self.batch_size, *shape)
        uniform = self.generator.uniform(entering.lower, entering.upper, size)
        held = (self.batch_size, *(1 for _ in shape[:-1]), shape[-1])
        high = self.generator.random(held) < 0.5
        high[0], high[1:2] = True, False
        corners = np.where(high, entering.upper, entering.lower)
        return np.concatenate([uniform, np.broadcast_to(corners, size)])


def checked_sampling(
    steps: Any, batch_size: Any, seed: Any, horizon: int | None
) -> Sampling:
    """The `Sampling` of these arguments of `verify_equivalence`, or raise."""
    advice = (
        f"The two networks are run on {MOST_IN_ALL:,} steps at most, all random "
        "sequences taken together; what a proof says holds for any number."
    )
    steps = _checks.positive_integer("steps", steps, advice, MOST_STEPS)
    most = min(MOST_SEQUENCES, MOST_IN_ALL // steps)
    batch_size = _checks.positive_integer("batch_size", batch_size, advice, most)
    if not _checks.is_integer(seed) or seed < 0:
        advice = "It seeds the random inputs."
        raise _checks.error("seed", "an integer of at least 0", seed, advice)
    generator = np.random.default_rng(int(seed))
    return Sampling(min(steps, horizon or steps), batch_size, generator)


def trial_inputs(pair: CellPair, sampling: Sampling) -> Array:
    """Random, constant and adverse inputs in the range of what enters a cell."""
    old, new = pair.in_one_scale
    n, shape = old.units, (sampling.steps, len(old.kernel))
    drawn = sampling.inputs(pair.sampled, shape)
    if not pair.is_conversion:
        return drawn
    driven = _adverse(old, new.recurrent_matrix[:n, n:], pair.sampled, sampling)
    return np.concatenate([drawn, *driven])


def _adverse(
    old: Recurrence, readout: Array, entering: Interval, sampling: Sampling
) -> list[Array]:
    """Inputs that drive the added states that are driven hardest.

    While all states are on, the input `j + 1` steps back reaches added state `i`
    through the gain `K Rʲ s_i q_i`. Each feature is put to the end of its range that
    has the sign of the gain: once step by step, once at all steps by the sign of the
    sum of the gains.
    """
    steps = sampling.steps
    strongest = np.argsort(-np.linalg.norm(readout, axis=0), kind="stable")
    driven = strongest[: sampling.batch_size]
    reach = readout[:, driven]
    gains = np.zeros((steps, len(driven), entering.lower.size))
    for j in range(1, steps):
        gains[steps - 1 - j] = (old.kernel @ (old.d[:, None] * reach)).T
        reach = old.recurrent_matrix @ reach
    signs = [gains, np.broadcast_to(gains.sum(axis=0), gains.shape)]
    return [
        np.where(np.swapaxes(gain, 0, 1) > 0, entering.upper, entering.lower)
        for gain in signs
    ]


def searched_inputs(pair: CellPair, sampling: Sampling) -> Array:
    """Climb from random sequences to some on which the two cells differ most.

    For a conversion, climb also from adverse sequences to some on which an added state
    comes nearest to leaving its rest. Both searches run in float64.
    """
    short = replace(sampling, steps=min(sampling.steps, SEARCHED_STEPS))
    drawn = short.inputs(pair.sampled, (short.steps, pair.sampled.lower.size))
    back = [input_gradient(recurrence) for recurrence in pair.recurrences]
    found = climb(lambda x: [_of_difference(pair, back, *x)], [drawn], [pair.sampled])
    if pair.is_conversion and pair.new.units > pair.states:
        adverse = trial_inputs(pair, short)
        found += climb(
            lambda x: [_of_nearness(pair, back[1], *x)], [adverse], [pair.sampled]
        )
    return np.concatenate(found)


def _of_difference(pair: CellPair, back: Sequence[InputGradient], x: Array) -> Array:
    """The gradient of `Σ |y - y'|²` by the inputs."""
    runs = [trajectory(recurrence, x) for recurrence in pair.recurrences]
    first, second = pair.seen_through
    off = 2.0 * (runs[0].states @ first - runs[1].states @ second)
    return back[0](runs[0], 0.0, off @ first.T) - back[1](runs[1], 0.0, off @ second.T)


def _of_nearness(pair: CellPair, back: InputGradient, x: Array) -> Array:
    """The gradient of how near the added states come to leaving their rest.

    It is summed over the sequences; of each sequence the one pre-activation counts
    that comes nearest.
    """
    flat, n = pair.recurrences[1].flat, pair.states
    side = flat.side if flat else -1
    run = trajectory(pair.recurrences[1], x)
    nearness = (-side * run.preactivations[..., n:]).reshape(len(x), -1)
    nearest = np.zeros_like(nearness)
    nearest[np.arange(len(x)), nearness.argmax(axis=1)] = -side
    by_z = np.zeros_like(run.preactivations)
    by_z[..., n:] = nearest.reshape(by_z[..., n:].shape)
    return back(run, by_z, 0.0)

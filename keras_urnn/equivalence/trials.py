"""Inputs to try two networks on: random, constant, adverse, and searched for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _backend, _checks
from keras_urnn._backend import matmul
from keras_urnn.equivalence.double import Run, run_in_float64
from keras_urnn.equivalence.intervals import Array, Interval
from keras_urnn.equivalence.pairs import CellPair
from keras_urnn.equivalence.reachable import Recurrence
from keras_urnn.equivalence.search import climb, most_different

# How long the sequences are that are searched by gradient.
SEARCHED_STEPS = 100
# How many steps all random sequences together may have. PyTorch, the slowest, runs a
# step in some 0.1 ms, several times.
MOST_STEPS = 100_000
# Models have lengths of their own, and may need a thousand times the memory a step.
MOST_SEQUENCES = 1000


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
        f"The two networks are run for {MOST_STEPS:,} steps at most, all random "
        f"sequences taken together, and on {MOST_SEQUENCES:,} of them at most; what a "
        "proof says holds for any number."
    )
    steps = _checks.positive_integer("steps", steps, advice, MOST_STEPS)
    most = min(MOST_SEQUENCES, MOST_STEPS // steps)
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
    """Drive the added states that see most, by the sign of their linearised gain.

    While all states are on, the input `j + 1` steps back reaches added state `i`
    through `K Rʲ s_i q_i`: by its sign, each feature goes to its end of the range.
    Once with the signs of each step, once held at the sign of their sum.
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

    Of a conversion also from the adverse ones to some on which an added state comes
    nearest to leaving its rest. In float64.
    """
    short = replace(sampling, steps=min(sampling.steps, SEARCHED_STEPS))
    drawn = short.inputs(pair.sampled, (short.steps, pair.sampled.lower.size))
    old, new = (run_in_float64(recurrence) for recurrence in pair.recurrences)
    first, second = pair.seen_through
    with _backend.double_precision():
        found = most_different(
            lambda tensors: [matmul(old(tensors[0])[1], _double(first))],
            lambda tensors: [matmul(new(tensors[0])[1], _double(second))],
            [drawn],
            [pair.sampled],
        )
        if pair.is_conversion and pair.new.units > pair.states:
            found += climb(
                _nearness(pair, new), [trial_inputs(pair, short)], [pair.sampled]
            )
    return np.concatenate(found)


def _nearness(pair: CellPair, run: Run) -> Callable[[list[Any]], Any]:
    """How near an added state comes to leaving its rest, summed over the sequences."""
    flat, n = pair.recurrences[1].flat, pair.states
    side = flat.side if flat else -1

    def nearness(tensors: list[Any]) -> Any:
        z, _ = run(tensors[0])
        return ops.sum(ops.max(-side * z[..., n:], axis=(1, 2)))

    return nearness


def _double(array: Array) -> Any:
    return ops.convert_to_tensor(array, dtype="float64")

"""Run a cell and its conversion, or any two cells, side by side."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_urnn.equivalence.ranges.intervals import Array, Interval
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.cell_pair import CellPair
from keras_urnn.equivalence.verification.cell_states import StateRunner
from keras_urnn.equivalence.verification.comparison import (
    Observation,
    compare,
    compare_nudged,
    nudge,
    rounding_tolerance,
    telling_steps,
)
from keras_urnn.equivalence.verification.float64_runs import (
    activation_dtype,
    trajectory,
)


def run_both(pair: CellPair, inputs: Sequence[Array]) -> list[Observation]:
    """Run both cells on each of `inputs`, and compare what they output."""
    # The original may compute in a coarser dtype: see `arithmetic_dtype`.
    dtypes = [one.dtype for one in pair.recurrences]
    run = StateRunner((pair.old, pair.new), inputs)
    states = run.states(inputs)
    if pair.is_conversion:
        both = zip(inputs, states, strict=True)
        return [_observe_conversion(pair, x, found, dtypes) for x, found in both]
    moved = [nudge(x, *dtypes) for x in inputs]
    return [
        _compare_any(pair, found, near, dtypes)
        for found, near in zip(states, run.states(moved), strict=True)
    ]


def _observe_conversion(
    pair: CellPair, x: Array, states: tuple[Array, Array], dtypes: Sequence[str]
) -> Observation:
    seen = _compare_conversion(pair, states, dtypes, 1.0 if pair.is_exact else 10.0)
    seen = replace(seen, inside=_stays_inside(x, pair.entering))
    new, n = pair.recurrences[1], pair.states
    return _added_in_view(seen, pair, states[1], _preactivations(new, n, x, states[1]))


def run_both_in_float64(pair: CellPair, x: Array) -> Observation:
    """Run the recurrences of both cells on `x` in float64, weights as stored."""
    old, new = (trajectory(recurrence, x) for recurrence in pair.recurrences)
    states = old.states, new.states
    stored = [one.stored_dtype for one in pair.recurrences]
    if not pair.is_conversion:
        # Rounded weights move outputs about as much as rounded inputs do.
        moved = nudge(x, *stored)
        first, second = (trajectory(one, moved).states for one in pair.recurrences)
        nudged = first, second
        seen = _compare_any(pair, states, nudged, stored)
    else:
        exact = [activation_dtype(pair.old.activation, pair.states)]
        dtypes, factor = (exact, 1.0) if pair.is_exact else (stored, 10.0)
        seen = _compare_conversion(pair, states, dtypes, factor)
        added = new.preactivations[..., pair.states :]
        seen = _added_in_view(seen, pair, new.states, added)
    return replace(seen, in_float64=True)


def _compare_conversion(
    pair: CellPair, states: tuple[Array, Array], dtypes: Sequence[str], factor: float
) -> Observation:
    """Compare the first states of both; rounding is bounded by the norm."""
    growth, steps = pair.in_one_scale[0].growth, states[0].shape[1]
    steps = min(telling_steps(dtype, growth, steps) for dtype in dtypes)
    tolerance = max(rounding_tolerance(dtype, growth, steps) for dtype in dtypes)
    expected, found = _seen(pair, states)
    both = expected[:, :steps], found[:, :steps]
    return compare(pair.name, *both, factor * tolerance)


def _compare_any(
    pair: CellPair,
    states: tuple[Array, Array],
    nudged: tuple[Array, Array],
    dtypes: Sequence[str],
) -> Observation:
    """Compare any two cells; the effect of rounding on the worse one is measured."""
    expected, found = _seen(pair, states)
    first, second = _seen(pair, nudged)
    moved = np.maximum(np.abs(first - expected), np.abs(second - found))
    return compare_nudged(pair.name, expected, found, expected + moved, dtypes)


def _seen(pair: CellPair, states: tuple[Array, Array]) -> tuple[Array, Array]:
    first, second = pair.seen_through
    return states[0] @ first, states[1] @ second


def _added_in_view(
    seen: Observation, pair: CellPair, states: Array, preactivations: Array
) -> Observation:
    """Add to an observation how far the added states of a conversion were from rest."""
    flat, n = pair.recurrences[1].flat, pair.states
    if states.shape[-1] == n or flat is None:
        return seen
    largest = float(np.max(np.abs(states[..., n:] - flat.value)))
    beyond = flat.side * (preactivations - flat.edge)
    return replace(seen, largest_added=largest, distance=float(np.min(beyond)))


def _stays_inside(x: Array, entering: Interval | None) -> bool:
    """Whether `x` is in the range of the proof, which for a copy is every range."""
    if entering is None:
        return True
    return bool(np.all((entering.lower <= x) & (x <= entering.upper)))


def _preactivations(new: Recurrence, n: int, x: Array, states: Array) -> Array:
    """Those of the added states, from the states before."""
    start = np.broadcast_to(new.initial_state, states[:, :1].shape)
    before = np.concatenate([start, states[:, :-1]], axis=1)
    driven = x @ new.kernel[:, n:] + new.bias[n:]
    centred = (before - new.centre) * new.d
    return centred @ new.recurrent_matrix[:, n:] + driven

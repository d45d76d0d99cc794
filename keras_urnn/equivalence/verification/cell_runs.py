"""Run a cell and its conversion, or any two cells, side by side."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_urnn._backend import inference
from keras_urnn.equivalence.plans.copies import copy_learned
from keras_urnn.equivalence.plans.plan import leave_unset
from keras_urnn.equivalence.ranges.intervals import Array, Interval, to_float64
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.cell_pair import CellPair
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
    run = _all_states(pair, _shape_of_all(inputs))
    states = _run(run, inputs)
    if pair.is_conversion:
        both = zip(inputs, states, strict=True)
        return [_observe_conversion(pair, x, found, dtypes) for x, found in both]
    moved = [nudge(x, *dtypes) for x in inputs]
    return [
        _compare_any(pair, found, near, dtypes)
        for found, near in zip(states, _run(run, moved), strict=True)
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
        exact = [activation_dtype(pair.old.activation)]
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


def _shape_of_all(inputs: Sequence[Array]) -> tuple[int, int, int]:
    """The shape of one batch that holds all inputs: rows, the most steps, features."""
    rows, steps = sum(len(x) for x in inputs), max(x.shape[1] for x in inputs)
    return rows, steps, inputs[0].shape[-1]


def _run(
    run: Callable[[Any], Any], inputs: Sequence[Array]
) -> list[tuple[Array, Array]]:
    """The states of both for each of `inputs`, in one run: each shape is compiled."""
    whole = np.zeros(_shape_of_all(inputs))
    ends = np.cumsum([len(x) for x in inputs])
    parts = np.split(whole, ends[:-1])  # views
    for part, x in zip(parts, inputs, strict=True):
        part[:, : x.shape[1]] = x
    old, new = (np.split(to_float64(h), ends[:-1]) for h in run([whole, whole]))
    # The zeros behind a sequence do not change the states before them.
    return [
        (first[:, : x.shape[1]], second[:, : x.shape[1]])
        for first, second, x in zip(old, new, inputs, strict=True)
    ]


def _all_states(pair: CellPair, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """A compiled function from one sequence per cell to its states at each step."""
    cells = pair.old, pair.new
    inputs = [keras.Input(batch_shape=shape, dtype=_array_dtype(one)) for one in cells]
    outputs = [
        keras.layers.RNN(
            _showing_states(cell, shape), return_sequences=True, dtype=cell.dtype_policy
        )(x)
        for cell, x in zip(cells, inputs, strict=True)
    ]
    return inference(keras.Model(inputs, outputs))


def _showing_states(cell: Any, shape: tuple[int, ...]) -> Any:
    """A copy of a cell that gives all of its states."""
    config = cell.get_config()
    if config.get("output_units") is not None:
        config["output_units"] = None
    copy = type(cell).from_config(config)
    leave_unset(copy)
    copy.build((None, shape[-1]))
    copy_learned(cell, copy)
    return copy


def _array_dtype(cell: Any) -> str:
    """NumPy has no bfloat16; layers cast what they are given."""
    return "float64" if cell.compute_dtype == "float64" else "float32"


def _preactivations(new: Recurrence, n: int, x: Array, states: Array) -> Array:
    """Those of the added states, from the states before."""
    start = np.broadcast_to(new.initial_state, states[:, :1].shape)
    before = np.concatenate([start, states[:, :-1]], axis=1)
    driven = x @ new.kernel[:, n:] + new.bias[n:]
    centred = (before - new.centre) * new.d
    return centred @ new.recurrent_matrix[:, n:] + driven

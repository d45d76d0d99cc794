"""What a proof that two cells are equivalent lacks, condition by condition."""

from dataclasses import replace

import numpy as np

from keras_urnn.diagnostics import unitarity_error
from keras_urnn.equivalence.plans.unitary_weights import added_bias_bounds
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
)
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.cell_pair import CellPair
from keras_urnn.equivalence.verification.linear_maps import same_linear_maps
from keras_urnn.equivalence.verification.same_layers import policy_of, same
from keras_urnn.parametrizations import NAMES

# What rounding the entries to the weights' dtype leaves of max|UᵀU - I|. An entry
# changed by 1e-4 moves it by 1e-4 / sqrt(2 n) or more: seen up to n = 4096 in float32.
UNITARITY_TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-6,
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
}


def objections(pair: CellPair, horizon: int | None) -> list[str]:
    """What a proof of the equivalence of the two cells would lack, in words.

    There are three proofs, each for two cells of one dtype policy:

    - both are linear, and all that an input or the start does to the outputs, at any
      step, is the same in exact arithmetic;
    - one is what theorem 1 makes of the other: the first states repeat the original,
      and the added ones never leave their rest, so that they send zeros;
    - both are the same recurrence with the same numbers, seen in the same way.
    """
    findings = _of_the_arithmetic(pair)
    if not same_linear_maps(pair.recurrences, pair.seen_through, horizon):
        findings |= _of_the_numbers(pair, horizon)
    return [
        f"{pair.name}: {finding}" for finding, holds in findings.items() if not holds
    ]


def _of_the_numbers(pair: CellPair, horizon: int | None) -> dict[str, bool]:
    """What theorem 1 asks of a conversion; a copy has to be seen in the same way."""
    if pair.is_conversion:
        old, new = pair.in_one_scale
        if pair.rounds_matrix:
            old = _rounded_like(old, new, pair.new.variable_dtype)
        return {
            **_of_the_readouts(pair),
            **_of_the_cell(pair),
            **_of_the_first_states(old, new),
            **_of_the_added_states(pair, old, new, horizon),
        }
    if pair.is_copy:
        return _of_the_readouts(pair)
    return {f"no proof by theorem 1: {pair.hindrance}": False}


def _of_the_arithmetic(pair: CellPair) -> dict[str, bool]:
    cells = (pair.old, pair.new)
    policies = [policy_of(cell) for cell in cells]
    maps = [getattr(cell, "parametrization", None) for cell in cells]
    return {
        "the dtype policy is another": policies[0] == policies[1],
        "nothing is known of its parametrization": all(
            one is None or type(one) in NAMES.values() for one in maps
        ),
    }


def _of_the_readouts(pair: CellPair) -> dict[str, bool]:
    if pair.readouts is None:
        return {}
    return {"the readout is another": np.array_equal(*pair.readouts)}


def _of_the_cell(pair: CellPair) -> dict[str, bool]:
    error = unitarity_error(pair.new)
    tolerance = UNITARITY_TOLERANCE[pair.new.variable_dtype]
    not_orthogonal = f"the recurrent matrix is not orthogonal (error {error:.3g})"
    return {
        not_orthogonal: error <= tolerance,
        "the activation is another": same(pair.new.activation, pair.old.activation),
        "the state scale is another": pair.may_scale
        or np.array_equal(pair.recurrences[0].d, pair.recurrences[1].d[: pair.states]),
        "a copy has another number of states": (
            pair.new.units == pair.states or not pair.is_unitary_already
        ),
    }


def _rounded_like(old: Recurrence, new: Recurrence, dtype: str) -> Recurrence:
    """The original with the corner as its matrix, where that is its own to rounding.

    A parametrization that computes its matrix from other weights gives one that is
    assigned to `4 n eps` (law L3 of `parametrizations.base`).
    """
    n, most = old.units, 4 * new.units * MACHINE_EPSILON[dtype]
    corner = new.recurrent_matrix[:n, :n]
    near = bool(np.all(np.abs(corner - old.recurrent_matrix) <= most))
    return replace(old, recurrent_matrix=corner) if near else old


def _of_the_first_states(old: Recurrence, new: Recurrence) -> dict[str, bool]:
    n = old.units
    corner = new.recurrent_matrix[:n, :n]
    parts = {
        "the corner is not the original's recurrent matrix": (
            corner,
            old.recurrent_matrix,
        ),
        "the input kernel is not the original's": (new.kernel[:, :n], old.kernel),
        "the bias is not the original's": (new.bias[:n], old.bias),
        "the initial state is not the original's": (
            new.initial_state[:n],
            old.initial_state,
        ),
        "the resting state is not the original's": (new.centre[:n], old.centre),
    }
    return {finding: np.array_equal(*both) for finding, both in parts.items()}


def _of_the_added_states(
    pair: CellPair, old: Recurrence, new: Recurrence, horizon: int | None
) -> dict[str, bool]:
    n, rest = old.units, old.flat.value if old.flat else 0.0
    findings = {
        "an added state sees the input": not np.any(new.kernel[:, n:]),
        "an added state has a scale": pair.is_unitary_already
        or bool(np.all(new.d[n:] == 1.0)),
        "an added state does not start at rest": bool(
            np.all(new.initial_state[n:] == rest)
        ),
        "an added state sends something at rest": bool(np.all(new.centre[n:] == rest)),
    }
    if new.units > n and not pair.is_unitary_already:
        finding = "the bias of an added state is beyond what is proved"
        findings[finding] = _is_far_enough(pair, old, new, horizon)
    return findings


def _is_far_enough(
    pair: CellPair, old: Recurrence, new: Recurrence, horizon: int | None
) -> bool:
    """Whether the biases of the added states keep them at rest for all inputs."""
    if pair.entering is None or old.flat is None:
        return False
    bounds = added_bias_bounds(
        old, new.recurrent_matrix, pair.entering, horizon, pair.start
    )
    # `>=` is False for NaN, which is no proof.
    return bool(np.all(old.flat.side * new.bias[old.units :] >= bounds))

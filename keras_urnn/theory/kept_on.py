"""Whether some inputs hold a set of states on and the others off: a linear program."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.theory.decisions import unit_tolerance
from keras_urnn.theory.system import System

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Bounds = tuple[float | None, float | None]

# Ten times the feasibility tolerance of the solver (HiGHS), in units of the biases.
LEAST_MARGIN = 1e-6


class Steps(NamedTuple):
    """Steps `H = L H R + X K + offset`, one row each, while all states are on.

    Attributes:
        previous: array of shape `(steps, steps)`, `L`: which row is the state before.
        offset: array of shape `(steps, n)`: the bias, and what the start brings in.
    """

    previous: Array
    offset: Array


def forgets_its_start(system: System) -> bool:
    """Whether all runs on the same inputs come together.

    `|relu(y) - relu(z)| <= |y - z|`, so that the distance of two runs shrinks with
    the norm of `R` where that is below 1, and entry by entry is at most
    `|h - h'| @ |R|ᵗ`, which vanishes where the spectral radius of `|R|` is below 1.
    """
    matrix = system.recurrent_matrix
    tolerance = unit_tolerance(system.units, system.epsilon)
    if np.linalg.norm(matrix, 2) < 1.0 - tolerance:
        return True
    return bool(np.max(np.abs(np.linalg.eigvals(np.abs(matrix)))) < 1.0 - tolerance)


def steps_to_hold(system: System) -> Steps:
    """The steps on which a set of states is to be held on, for long enough.

    Where the start is forgotten one steady state under a constant input is enough:
    it attracts every run, and neighbouring input sequences stay near it for as long
    as one likes. Otherwise `4 n` steps from the initial state: the Hankel matrix is
    read off `2 n` of them, and equal to that of another system of up to `2 n` states
    where `3 n` of its entries are.
    """
    if forgets_its_start(system):
        return Steps(np.ones((1, 1)), system.bias[None])
    count = 4 * system.units
    offset = np.tile(system.bias, (count, 1))
    offset[0] += system.initial_state @ system.recurrent_matrix
    return Steps(np.eye(count, k=-1), offset)


def margin(system: System, steps: Steps, on: Mask, entering: Interval | None) -> float:
    """By how much inputs can hold the states `on` above 0 and the others below.

    The largest `s <= 1` with `h >= s` for the states on and pre-activations of at
    most `-s` for those off, at all steps, in units of the biases and bounded inputs.
    """
    return float(_solve(system, steps, on, entering, np.ones((system.units, 1)))[0])


def margins(system: System, steps: Steps, on: Mask, entering: Interval | None) -> Array:
    """The margin of each state where the sum of all of them is as large as can be."""
    return _solve(system, steps, on, entering, np.eye(system.units))


def _solve(
    system: System, steps: Steps, on: Mask, entering: Interval | None, shares: Array
) -> Array:
    """Maximize the sum of the margins `s`, each state's being `shares @ s`."""
    from scipy import optimize

    kernel, bounds, unit = _scaled(system, steps, entering)
    count, offset = len(steps.previous), steps.offset.ravel() / unit
    rows, unknowns = np.tile(on, count), shares.shape[1]
    equal, limited = _coefficients(system._replace(kernel=kernel), steps, on, shares)
    found = optimize.linprog(
        np.repeat([0.0, -1.0], [equal.shape[1] - unknowns, unknowns]),
        A_ub=limited,
        b_ub=np.concatenate([np.zeros(rows.sum()), -offset[~rows]]),
        A_eq=equal,
        b_eq=offset[rows],
        bounds=bounds * count
        + [(None, None)] * int(rows.sum())
        + [(None, 1.0)] * unknowns,
    )
    # Where the solver gives up nothing is known, which is what no margin says.
    failed = np.full(unknowns, -np.inf)
    return np.asarray(found.x[-unknowns:]) if found.success else failed


def _coefficients(
    system: System, steps: Steps, on: Mask, shares: Array
) -> tuple[Any, Any]:
    """The equations of the states on and the limits of all, in the unknowns X, H, s."""
    from scipy import sparse

    count, rows = len(steps.previous), np.tile(on, len(steps.previous))
    # In row-major order vec(L H R) = (L ⊗ Rᵀ) vec(H).
    driven = sparse.kron(sparse.eye_array(count), system.kernel.T).tocsr()
    recalled = sparse.kron(steps.previous, system.recurrent_matrix[on].T).tocsr()
    # What no input moves stays off at 0, too: it needs no margin.
    needed = np.where(on | _moved(system, on), 1.0, 0.0)[:, None]
    share = sparse.kron(np.ones((count, 1)), needed * shares).tocsr()
    states = sparse.eye_array(int(rows.sum())).tocsr()
    above = sparse.hstack([0.0 * driven[rows], -states, share[rows]])
    below = sparse.hstack([driven[~rows], recalled[~rows], share[~rows]])
    equal = [-driven[rows], states - recalled[rows], 0.0 * share[rows]]
    return sparse.hstack(equal), sparse.vstack([above, below])


def _moved(system: System, on: Mask) -> Mask:
    """Which states see an input or a state that is on."""
    seen = np.concatenate([system.kernel, system.recurrent_matrix[on]])
    return np.asarray(np.any(seen != 0.0, axis=0))


def _scaled(
    system: System, steps: Steps, entering: Interval | None
) -> tuple[Array, list[Bounds], float]:
    """The kernel and the inputs' bounds with entries of about 1, and the unit.

    The solver drops coefficients below 1e-9. Margins are in this unit, the size of
    what drives the states.
    """
    gains = np.max(np.abs(system.kernel), axis=1)
    gains[gains == 0.0] = 1.0
    kernel, unit = system.kernel / gains[:, None], np.max(np.abs(steps.offset))
    if entering is None:
        return kernel, [(None, None)] * len(gains), float(unit) or 1.0
    unit = float(max(unit, entering.largest @ np.max(np.abs(system.kernel), axis=1)))
    unit = unit or 1.0
    lower, upper = entering.lower * gains / unit, entering.upper * gains / unit
    return kernel, list(zip(lower, upper, strict=True)), unit

"""Theorem 2 for one cell: how many states a unitary RNN needs, from both sides."""

import warnings
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from keras_urnn.equivalence.input_bound.given import InputBounds, fit
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.theory.lower_bound import LinearPart, LowerBounds, lower_bounds
from keras_urnn.theory.system import System, check_activation, check_cell, system_of
from keras_urnn.theory.upper_bound import upper_bound


class UnitaryStateBounds(NamedTuple):
    """How many states the equivalent unitary RNNs have, and what is proved of whom.

    Made by `keras_urnn.theory.unitary_state_bounds`; `bounds[:2]` is the pair.

    Attributes:
        lower: integer or None. No equivalent unitary RNN has fewer states whose on/off
            pattern is constant in time on some open set of the inputs named in
            `lower_reason`. None where the argument says nothing.
        upper: integer or None. Some unitary RNN with so many states is equivalent.
            None where no conversion is known.
        lower_every_pattern: integer or None. No equivalent unitary RNN at all has
            fewer states. At most `lower`.
        lower_reason: string. Where `lower` comes from.
        upper_reason: string. Where `upper` comes from.
        lower_every_pattern_reason: string. Where `lower_every_pattern` comes from.

    Example:
        ```python
        cell = keras_urnn.theory.tight_example(3)
        bounds = keras_urnn.theory.unitary_state_bounds(cell)
        bounds[:2]  # (6, 6)
        bounds.lower_every_pattern  # 4
        ```
    """

    lower: int | None
    upper: int | None
    lower_every_pattern: int | None
    lower_reason: str
    upper_reason: str
    lower_every_pattern_reason: str


def unitary_state_bounds(
    cell: Any, readout: ArrayLike | None = None, *, input_bound: Any = None
) -> UnitaryStateBounds:
    """Bound the number of states of the unitary RNNs with the same outputs as `cell`.

    Theorem 2 says that `2 n` states may be needed; this says what is known for one
    RNN. It is about ReLU and real weights on both sides, and about inputs that range
    over a set whose interior holds those that keep the states on (not one-hot tokens).

    **Lower bound.** Let some inputs hold the states of a set `B` strictly on and the
    others off (strictly, or whatever the inputs), for long enough; a linear program
    checks it. On an open set of input sequences the outputs are then those of the
    linear system `(K_B, R_B, C_B)`. With `m` the rank of the Hankel matrix of its
    Markov parameters `K_B R_Bʲ C_B`, and `g` the largest geometric multiplicity (over
    the complex numbers) among the eigenvalues of modulus below 1 of its minimal part
    (0 if there is none), an equivalent unitary RNN has

    - at least `m + 1` states where `g >= 1`, else `m`. Proof: on an open subset its
      on/off patterns are fixed, one for each step. The Hankel matrix at a step
      factors through the states that are active there, so at least `m` are on at each
      step that has `m - 1` others before and after it. Were there no others, all would
      be on at all of these, and its orthogonal matrix would be similar to the minimal
      part (`2 m` Markov parameters agree, and both have `m` states), whose eigenvalues
      would have modulus 1.
    - at least `m + g` states if these patterns are one and the same. Proof: the minimal
      part is then a subquotient of the active block `U_AA`, which therefore shrinks a
      subspace of `g` dimensions by the eigenvalue. So `g` is at most the rank of
      `I - U_AA U_AAᵀ = U_AI U_AIᵀ`, hence at most the number of inactive states,
      besides which at least `m` are active.

    Whether a pattern that changes in time can do with fewer than `m + g` states isn't
    known: a step loses at most as many directions as there are states beside the
    active ones, but with the pattern other directions can be lost at the next. All
    states are tried as `B`, and all other sets up to 8 states; beyond, sets that a
    greedy search finds, if runs on the same inputs come together (as those of
    a contractive RNN do). Where no set can be held the bound is None: then not even
    `n` is claimed.

    **Upper bound.** `n + r` states, as `keras_urnn.to_unitary` builds them. It needs
    bounded inputs, but not a certain bound.

    Ranks are decided numerically: a singular value counts as 0 up to `n` times the
    machine epsilon of the stored weights, relative to the norm. So eigenvalues that
    are equal but for the rounding of the weights count as equal.

    Args:
        cell: `ContractiveRNNCell`, `UnitaryRNNCell` or `keras.layers.SimpleRNNCell`,
            built, with ReLU.
        readout: array of shape `(n, outputs)`, or None. The readout `C` in `h @ C`;
            the fewer outputs, the fewer states may do. Defaults to `None`: the states
            that the cell outputs.
        input_bound: float, array of shape `(features,)`, or None. The largest |x|
            that the inputs can take. Defaults to `None`: whatever is needed to hold
            the states.

    Returns:
        A `UnitaryStateBounds`, whose first two entries are the bounds.

    Raises:
        ValueError: when the activation is not ReLU, the cell is of another kind or not
            built, its weights are not finite, the readout has another shape or is not
            real and finite, or `input_bound` is not positive and finite.

    Warns:
        UserWarning: where a rank decision behind a bound was close to its tolerance.

    Example:
        ```python
        cell = keras_urnn.ContractiveRNNCell(3, recurrent_initializer="zeros")
        cell.build((None, 3))
        keras_urnn.theory.unitary_state_bounds(cell)[:2]  # (6, 6)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 2
    """
    check_cell(cell)
    advice = (
        "Theorems 1 and 2 are about ReLU, which can switch states off; by theorem 3 "
        "a sigmoid RNN may have no equivalent unitary one at all."
    )
    check_activation(cell, "relu", advice)
    system = system_of(cell, readout)
    lower = lower_bounds(system, _entering(system, cell.name, input_bound))
    upper = upper_bound(system)
    for doubt in (*lower.doubts, *upper.doubts):
        warnings.warn(f"Close decision in a state bound: {doubt}.", stacklevel=2)
    constant, every = lower.constant_pattern, lower.every_pattern
    return UnitaryStateBounds(
        lower=constant.constant_pattern if constant else None,
        upper=upper.states,
        lower_every_pattern=every.every_pattern if every else None,
        lower_reason=_constant_reason(lower, system.units),
        upper_reason=upper.reason,
        lower_every_pattern_reason=_every_reason(lower, system.units),
    )


def _entering(system: System, name: str, input_bound: Any) -> Interval | None:
    if input_bound is None:
        return None
    promised = InputBounds(input_bound).of_input(name)
    return fit(promised, len(system.kernel), name, input_bound)


def _constant_reason(bounds: LowerBounds, units: int) -> str:
    part = bounds.constant_pattern
    if part is None:
        return _unknown(bounds)
    g = part.constant_pattern - part.order
    return (
        f"m + g = {part.order} + {g}: {_held(part, units)}, {_eigenvalue(part)}. "
        "Proved for unitary RNNs whose on/off pattern is constant in time on some open "
        f"set of these inputs. The best of {bounds.searched} that some input holds."
    )


def _every_reason(bounds: LowerBounds, units: int) -> str:
    part = bounds.every_pattern
    if part is None:
        return _unknown(bounds)
    formula = f"m + 1 = {part.order} + 1" if part.eigenvalue else f"m = {part.order}"
    return (
        f"{formula}: {_held(part, units)}, {_eigenvalue(part)}. Proved for every "
        f"unitary RNN. The best of {bounds.searched} that some input holds."
    )


def _unknown(bounds: LowerBounds) -> str:
    return (
        f"unknown: of {bounds.searched} none was found that some input holds on while "
        "it holds the others off, and the argument needs one"
    )


def _held(part: LinearPart, units: int) -> str:
    if len(part.on) == units:
        return f"some input holds all {units} states on"
    states = ", ".join(str(state) for state in part.on)
    return f"some input holds the states {states} on and the others off"


def _eigenvalue(part: LinearPart) -> str:
    minimal = f"their minimal part has {part.order} states"
    if part.eigenvalue is None:
        return f"{minimal} and no eigenvalue of modulus below 1"
    value, multiplicity = part.eigenvalue
    return (
        f"{minimal} and the eigenvalue {_number(value)} with an eigenspace of "
        f"dimension {multiplicity}"
    )


def _number(value: complex) -> str:
    return f"{value:.3g}" if abs(value.imag) > 1e-9 else f"{value.real:.3g}"

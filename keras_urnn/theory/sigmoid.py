"""Theorem 3: a contractive sigmoid RNN that no unitary one matches, and why."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_urnn import _checks, _numbers
from keras_urnn.layers.contractive_rnn import ContractiveRNNCell
from keras_urnn.theory.system import (
    System,
    check_activation,
    check_cell,
    system_of,
)

Array = NDArray[np.float64]

_STEEPEST = 0.25  # σ' = σ (1 - σ) at 0
# Seen: 12 steps at most, at norms up to 4 (1 - 1e-16).
_NEWTON_STEPS, _HALVINGS = 100, 30


class Linearization(NamedTuple):
    """A sigmoid RNN near its fixed point under a constant input.

    Made by `keras_urnn.theory.linearization`.

    Attributes:
        state: array of shape `(n,)`. The fixed point `h = σ(h @ R + x @ K + b)`.
        slopes: array of shape `(n,)`. `d = σ'` there, at most 1/4.
        eigenvalues: complex array of shape `(n,)`. Those of `R diag(d)`, which takes
            a small change of the state to that of the next one.

    Example:
        ```python
        cell = keras_urnn.theory.sigmoid_example()
        near = keras_urnn.theory.linearization(cell, [0.3])
        near.eigenvalues / near.slopes  # 0.5, where unitary RNNs have modulus 1
        ```
    """

    state: Array
    slopes: Array
    eigenvalues: NDArray[np.complex128]


def sigmoid_example() -> ContractiveRNNCell:
    """Return a contractive sigmoid RNN that no unitary sigmoid RNN matches.

    Theorem 3, on the smallest RNN there is, with `w = 0.5`:

        h_t = σ(w h_{t-1} + x_t),    y_t = h_t.

    No sigmoid RNN with a real orthogonal matrix, of whatever finite size, weights,
    readout and initial state, has the same outputs for all input sequences of every
    length, not even for those with entries in some interval (a bias in the readout
    changes nothing). The proof is this library's own. It works for all `|w| != 1`, and
    uses nothing of the inputs but that they fill an interval.

    1. **Functions of the inputs.** Let a unitary RNN with `N` states `s_i(t) =
       σ(a_i(t))`, `a(t) = s(t-1) U + x_t k + b`, have these outputs. Both sides are
       analytic in the inputs, so they agree for all real inputs. Two units are
       *copies* at time `t` if `a_i = a_j` or `a_i = -a_j` as functions of
       `x_0, ..., x_t` that are not constant; then `s_i = s_j` or `s_i = 1 - s_j`. For
       a class `c` of copies let `e_c` have the entries +1 and -1 for their signs, and
       0 elsewhere.
    2. **Lemma.** In every real sigmoid RNN, orthogonal or not, the functions `s_i(t)`
       are linearly independent, apart from copies and constants. So `Z_t = {z : s(t) z
       is constant}` consists of all `z` with `e_c z = 0` for each class `c`, free on
       the constant units; and the `e_c` span its orthogonal complement.
    3. **The output.** `s(t) C = h_t`, and the lemma for the RNN of `N + 1` units made
       of both, say that some units are copies of `h` at each time. Call their class
       `J_t`.
    4. **Relations come from relations.** For `z` in `Z_t` the sum `a(t) z`, class by
       class, is constant; hence so is `s(t-1) U z`: `U Z_t` lies in `Z_{t-1}`. The
       dimension of `Z_t` therefore can't grow with `t`, and is constant from some
       time `t_0` on. From then on `U Z_t = Z_{t-1}`, and as `U` is orthogonal it takes
       the complement of `Z_t` to that of `Z_{t-1}`.
    5. **Counting copies.** For `e = e_{J_t}` the sum `a(t) e = |J_t| (w h_{t-1} +
       x_t)` plus a constant, so that `s(t-1) U e = |J_t| w h_{t-1}` plus a constant.
       The one vector of the complement that does this is `U e = w |J_t| / |J_{t-1}|
       e_{J_{t-1}}`. Its length is that of `e`: `|J_t| = w² |J_t|² / |J_{t-1}|`, which
       is `|J_{t-1}| = w² |J_t|`. So the copies multiply by `1/w²` at each step after
       `t_0` (for `w = 0` there are none at `t - 1`; for `|w| > 1` they die out):
       sooner or later there are more than `N`.

    **Proof of the lemma.** Take `x_t` as the variable, the other inputs fixed at random
    real values: copies with `k_i != 0` stay copies, others don't become ones. The
    functions `σ(k_i x_t + γ_i)` and 1 are independent up to copies, because among
    those with the largest `|k|` each has a pole at height `π / |k|` that no other one
    has. So the classes with `k_i != 0` split off. Of the rest, which don't depend on
    `x_t`, those that depend on `x_{t-1}` are next, then `x_{t-2}`, and so on. In the
    variable `x = x_{t-ℓ}` their `a_i` are functions of layer `ℓ`: layer 0 are the
    `κ x + γ`, layer `ℓ + 1` the real combinations of 1 and `σ(a)` for finitely many
    `a` of layer `ℓ`. Fix the finitely many that occur. They are real on the real line
    and meromorphic outside a closed countable set `S_ℓ`: `S_0` and `S_1` are empty, and
    `S_{ℓ+1}` is `S_ℓ` and the poles of those of layer `ℓ`. What is left of the plane is
    connected, and contains the real line. By induction on `ℓ`:

    - *(i) A function of layer `ℓ >= 1` that is not constant has a pole outside
      `S_ℓ`.* *(ii) The `σ(a)`, `a` of layer `ℓ`, and 1 are independent up to copies.*
      For (i) at `ℓ = 1` and (ii) at `ℓ = 0` see the poles above.
    - *(ii) from (i).* The `a_i` are, up to constants, integer combinations `n_i A` of
      functions `A = (A_1, ..., A_d)` none of whose integer combinations but 0 is
      constant. By (i) each of these has a pole, where its exponential has an essential
      singularity; so the `Y_l = exp(-A_l)` are algebraically independent over the
      functions meromorphic outside `S_ℓ` (take a shortest relation, divide by a term
      and differentiate: one such exponential would be meromorphic). A relation between
      the `σ(a_i) = 1 / (1 + c_i Y^{n_i})`, `c_i > 0`, is then one between rational
      functions; put `Y = exp(-τ v)`, `v` real and generic, and it is one of layer 0.
    - *(i) for `ℓ + 1`.* Write the function, copies merged, as a constant plus a sum of
      `f_ν(exp(-B_ν))` over primitive integer vectors `ν`, no two of them parallel, with
      `B_ν = ν A` and `f_ν(T)` a combination of `1 / (1 + c Tᵐ)`. Each `f_ν` has a pole
      `T_ν = exp(-L)`: for the largest `m` the one of angle `π / m`, which no smaller
      `m` has. Choose `p` outside `S_ℓ` and `ν` so that `B_ν` has a pole at `p`, of the
      highest order there among all. Near `p` there are points `x_r` with `B_ν = L + 2 π
      i r` for all large integers `r`. Were there no pole of the sum at any `x_r` from
      some `r` on, at each some other `B_ν'` would be in `q + 2 π i Z`, `q` from a
      finite list. Finitely many cases: one of them holds at both `r` and `r + g` for
      some `g` and infinitely many `r`. For it `θ(r) = (B_ν'(x_r) - q) / 2 π i` is a
      series in falling fractional powers of `r` that starts with `α r` at most; `θ(r+g)
      - θ(r)` tends to `α g` through integers, equals it infinitely often, hence
      identically, so `θ` is `α r` plus a constant with `α g` an integer. Then `g B_ν' -
      α g B_ν` is constant: `ν'` and `ν` are parallel, a contradiction.

    `linearization` shows it in numbers: were `J_t` the same set with the same signs at
    two steps, `U e_J = w e_J`, and an orthogonal `U` has no eigenvalue `w` of modulus
    other than 1. Near the fixed point of any constant input, the eigenvalue of this RNN
    is `w σ'`; the copies of `h` in a unitary RNN have the same slope `σ'`, and would
    need `± σ'`.

    Returns:
        A built `ContractiveRNNCell` with one state and one input.

    Example:
        ```python
        cell = keras_urnn.theory.sigmoid_example()
        layer = keras.layers.RNN(cell)
        y = layer(keras.random.normal((2, 10, 1)))  # shape (2, 1)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), the converse for
          sigmoid activations
    """
    cell = ContractiveRNNCell(1, "sigmoid", name="sigmoid_example")
    cell.build((None, 1))
    cell.set_weights([np.ones((1, 1)), np.full((1, 1), 0.5), np.zeros(1)])
    return cell


def linearization(cell: Any, x: ArrayLike) -> Linearization:
    """Return a sigmoid RNN's slopes and eigenvalues under the constant input `x`.

    They tell unitary from contractive RNNs at every input. The change of a state near
    the fixed point is multiplied by `R D`, `D = diag(σ')`. With the slopes `d`,

        Π |λ_i| = |det R| Π d_i,

    which for a unitary RNN is `Π d_i`, each `|λ|` lying between the least and the
    largest slope; for a contractive one it is less. Equivalent RNNs share the
    eigenvalues of the controllable and observable part of their linearizations. That
    alone is no contradiction, as a unitary RNN has more slopes to choose from; the
    proof of theorem 3 is with `sigmoid_example`.

    Args:
        cell: `ContractiveRNNCell`, `UnitaryRNNCell` or `keras.layers.SimpleRNNCell`,
            built, with `activation="sigmoid"` and a spectral norm below 4, so that the
            fixed point is one and attracts all states (`σ' <= 1/4`).
        x: array of shape `(features,)`. The input of all steps.

    Returns:
        A `Linearization`, in float64.

    Raises:
        ValueError: when the activation is not sigmoid, the norm is 4 or more, `x` is
            of another shape or not finite, or the cell is of another kind or not
            built.

    Example:
        ```python
        cell = keras_urnn.UnitaryRNNCell(3, "sigmoid")
        cell.build((None, 2))
        near = keras_urnn.theory.linearization(cell, [0.5, -1.0])
        near.eigenvalues  # shape (3,)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), the converse for
          sigmoid activations
    """
    check_cell(cell)
    advice = "Theorem 3 is about it; ReLU has no slope at 0."
    check_activation(cell, "sigmoid", advice)
    system = system_of(cell, None)
    state = _fixed_point(system, _checked_input(x, len(system.kernel)))
    slopes = state * (1.0 - state)
    eigenvalues = np.linalg.eigvals(system.recurrent_matrix * slopes)
    return Linearization(state, slopes, eigenvalues.astype(np.complex128))


def _checked_input(x: ArrayLike, features: int) -> Array:
    expected = f"an array of shape ({features},)"
    advice = "It is one input, the same at all steps."
    array = _numbers.real_numbers("x", x, expected, advice)
    if array.shape != (features,):
        found = f"an array of shape {array.shape}"
        raise _checks.error("x", expected, found, advice)
    return array


def _fixed_point(system: System, x: Array) -> Array:
    from scipy.special import expit

    rate = _STEEPEST * float(np.linalg.norm(system.recurrent_matrix, 2))
    if rate >= 1.0:
        found = f"spectral norm {rate / _STEEPEST:.6g}"
        advice = "There may be several fixed points; a contractive RNN has one."
        raise _checks.error("cell", "of spectral norm below 4", found, advice)
    driven, matrix = x @ system.kernel + system.bias, system.recurrent_matrix
    state = np.full(system.units, 0.5)
    found = expit(state @ matrix + driven)
    # Newton's steps, each halved until the residual shrinks: the derivative
    # `I - R diag(σ')` is invertible everywhere, as `‖R diag(σ')‖ <= rate < 1`, so that
    # nothing but the fixed point holds them up. Steps of the recurrence itself would
    # be `40 / (1 - rate)`, without end where the norm is next to 4.
    for _ in range(_NEWTON_STEPS):
        residual = float(np.linalg.norm(found - state))
        jacobian = np.eye(system.units) - matrix * (found * (1.0 - found))
        step = np.linalg.solve(jacobian.T, found - state)
        for halvings in range(_HALVINGS):
            new = state + 2.0**-halvings * step
            found_there = expit(new @ matrix + driven)
            if np.linalg.norm(found_there - new) < residual:
                break
        else:
            break  # down to rounding
        state, found = new, found_there
    return found

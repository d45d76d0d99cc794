"""Theorem 2's RNN, for which 2n states are needed and enough."""

import numpy as np

from keras_urnn import _checks
from keras_urnn.layers.contractive_rnn import ContractiveRNNCell

LARGEST = 4096  # three matrices of it take 0.4 GB in float64


def tight_example(n: int) -> ContractiveRNNCell:
    """Return the contractive ReLU RNN of `n` states that needs `2 n` unitary ones.

    The extremal RNN of theorem 2, to try bounds and conversions on: `n` inputs that
    drive one state each, and a matrix that shrinks all directions by the same factor,

        h_t = relu(0.5 h_{t-1} + x_t + 1).

    Inputs with `|x| < 1` keep all states on, whatever came before. All `n` states are
    controllable and observable, and the one eigenvalue 0.5 has an eigenspace of `n`
    dimensions; both bounds of `unitary_state_bounds` are then `2 n`. The paper states
    the lower one for every equivalent unitary RNN; what is proved here is `2 n` for
    on/off patterns that are constant in time, and `n + 1` for all others.

    Args:
        n: positive integer, at most 4096. The number of states, of inputs and of
            outputs.

    Returns:
        A built `ContractiveRNNCell`. The readout is the identity.

    Raises:
        ValueError: when `n` is not a positive integer, or larger.

    Example:
        ```python
        cell = keras_urnn.theory.tight_example(3)
        unitary = keras_urnn.to_unitary(cell, input_bound=1.0)
        unitary.recurrent_matrix()  # shape (6, 6)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 2
    """
    n = _checks.positive_integer("n", n, "It is the number of states.", LARGEST)
    cell = ContractiveRNNCell(n, "relu", name="tight_example")
    cell.build((None, n))
    cell.set_weights([np.eye(n), 0.5 * np.eye(n), np.ones(n)])
    return cell

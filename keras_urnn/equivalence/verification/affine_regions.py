"""The affine regions in which constant inputs hold two networks.

A region is one affine piece for each state of both networks. While every state stays on
its piece, both networks are linear systems. A constant input that keeps them there for
as many steps as Cayley and Hamilton ask for makes these systems comparable; so do all
inputs near it, as no pre-activation is near the end of its piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.affine_pieces import Indices, Pieces
from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.ranges.recurrence import Recurrence

# A pre-activation this near to the end of a piece, relative to its size, may be on it.
NEAR = 1e-9


@dataclass(frozen=True, eq=False)
class Network:
    """A recurrence whose activation is affine in pieces, and its readout.

    Attributes:
        recurrence: `Recurrence`.
        pieces: `Pieces` of its activation.
        readout: array of shape `(n, outputs)`, `C`.
    """

    recurrence: Recurrence
    pieces: Pieces
    readout: Array

    def step(self, h: Array, driven: Array) -> tuple[Array, Indices]:
        """The next states, and the piece of each; -1 where that is in doubt."""
        d, centre = self.recurrence.d, self.recurrence.centre
        z = ((h - centre) * d) @ self.recurrence.recurrent_matrix + driven * d
        index = self.pieces.piece(z)
        states = (self.pieces.slopes[index] * z + self.pieces.offsets[index]) / d
        clear = self.pieces.distance(z) > NEAR * (1.0 + np.abs(z))
        return states, np.where(clear, index, -1)


class Region(NamedTuple):
    """Where two networks are affine, and how they came there.

    Attributes:
        indices: for each network the piece of each state.
        states: for each network the states before the first step there.
        x: array of shape `(features,)`. The constant input.
    """

    indices: list[Indices]
    states: list[Array]
    x: Array


@dataclass(frozen=True, eq=False)
class _Stay:
    """How long each input has held both networks where they are now.

    The states of both networks are side by side, `n + n'` of them.

    Attributes:
        h: array of shape `(batch, n + n')`. The states.
        index: integer array of the same shape. The piece that each state is on; -1
            where that is in doubt, and before the first step.
        first: array of the same shape. The states before the first step on these
            pieces.
        length: integer array of shape `(batch,)`. The number of steps on them.
    """

    h: Array
    index: Indices
    first: Array
    length: Indices

    def followed_by(self, h: Array, index: Indices) -> "_Stay":
        """One step later: a state that changes its piece, or may, starts the count."""
        goes_on = np.all(index == self.index, axis=1)
        clear = np.all(index >= 0, axis=1)
        first = np.where(goes_on[:, None], self.first, self.h)
        length = np.where(clear, np.where(goes_on, self.length + 1, 1), 0)
        return _Stay(h, index, first, length)


def held_regions(
    networks: Sequence[Network], x: Array, steps: int, order: int
) -> list[Region]:
    """The regions in which a constant input keeps both networks for `order` steps.

    Args:
        networks: the two, from their states at rest.
        x: array of shape `(batch, features)`. The constant inputs.
        steps: integer. The length of the runs.
        order: integer. For how many steps a region has to hold both.
    """
    driven = [x @ one.recurrence.kernel + one.recurrence.bias for one in networks]
    stay = _at_rest(networks, len(x))
    held = np.zeros(len(x), dtype=np.bool_)
    found: dict[bytes, Region] = {}
    for _ in range(steps):
        if np.all(held):
            break
        stay = stay.followed_by(*_step(networks, stay.h, driven))
        reached = stay.length == order
        for row in np.flatnonzero(reached):
            region = _region(networks, stay, x, row)
            found.setdefault(stay.index[row].tobytes(), region)
        held |= reached
    return list(found.values())


def _at_rest(networks: Sequence[Network], batch: int) -> _Stay:
    rest = np.concatenate([one.recurrence.initial_state for one in networks])
    h = np.tile(rest, (batch, 1))
    index = np.full(h.shape, -1, dtype=np.intp)
    return _Stay(h, index, h, np.zeros(batch, dtype=np.intp))


def _step(
    networks: Sequence[Network], h: Array, driven: Sequence[Array]
) -> tuple[Array, Indices]:
    parts = zip(networks, _split(networks, h), driven, strict=True)
    steps = [network.step(states, drive) for network, states, drive in parts]
    states, indices = zip(*steps, strict=True)
    return np.concatenate(states, axis=1), np.concatenate(indices, axis=1)


def _split(networks: Sequence[Network], both: NDArray[Any]) -> list[NDArray[Any]]:
    """What stands side by side for the states of both networks, one by one."""
    return np.split(both, [networks[0].recurrence.units], axis=-1)


def _region(networks: Sequence[Network], stay: _Stay, x: Array, row: np.intp) -> Region:
    indices, states = (_split(networks, both[row]) for both in (stay.index, stay.first))
    return Region(indices, states, x[row])

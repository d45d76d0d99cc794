"""An exact statement where both networks are affine: their Markov parameters.

While every state of two networks stays on one affine piece of its activation, both
are linear systems `h_t = h_{t-1} R + x_t K + b`, `y_t = h_t C`, from the states where
that began. Their outputs then are the same for all inputs that keep them there, at all
times, if and only if

    K Rʲ C = K' R'ʲ C'    and    y_j = y'_j under one of these inputs

for `j = 0, ..., n + n'`: the difference of the two is a system of `n + n' + 1` states
(one for the constant), and by Cayley and Hamilton its response is zero for ever where
it is zero for so many steps.

Where inputs have held both networks there for so many steps, away from the ends of the
pieces, so do all inputs near these. Then other Markov parameters are other outputs.

The sums are rounded, and so are the weights of a network that was computed from
another. What that may do is measured: the weights of both networks are moved by as
much. So equality is to rounding here, and no proof (`exact` has that of linear cells).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.intervals import MACHINE_EPSILON, Array
from keras_urnn.equivalence.ranges.reachable_states import Recurrence
from keras_urnn.equivalence.verification.affine_pieces import (
    Affine,
    Indices,
    Pieces,
    affine_part,
    pieces_of,
)

# A pre-activation this near to the end of a piece, relative to its size, may be on it.
NEAR = 1e-9
# Most that is spent, in products: on runs, and on Markov parameters.
RUNNING, COMPARING = 4e9, 4e9
# Below it two numbers are the same where weights are exact.
ROUNDING = 1e-12


class Comparison(NamedTuple):
    """What the regions that two networks were held in say of them.

    Attributes:
        regions: integer. How many pairs of affine pieces held both for long enough.
        order: integer. How many Markov parameters decide, `n + n' + 1`.
        difference: float. The largest difference of Markov parameters, and of outputs
            under a constant input, relative to the largest of these.
        tolerance: float. What rounding may do to that.
    """

    regions: int
    order: int
    difference: float
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether the difference is no more than rounding; NaN is more."""
        return self.difference <= self.tolerance


@dataclass(frozen=True, eq=False)
class _Network:
    recurrence: Recurrence
    pieces: Pieces
    readout: Array

    def step(self, h: Array, driven: Array) -> tuple[Array, Array]:
        """The pre-activations and the states that follow."""
        d, centre = self.recurrence.d, self.recurrence.centre
        z = ((h - centre) * d) @ self.recurrence.recurrent_matrix + driven * d
        index = self.pieces.piece(z)
        return z, (self.pieces.slopes[index] * z + self.pieces.offsets[index]) / d

    def driven(self, x: Array) -> Array:
        return x @ self.recurrence.kernel + self.recurrence.bias

    def start(self, batch: int) -> Array:
        return np.tile(self.recurrence.initial_state, (batch, 1))


class _Region(NamedTuple):
    """Where both networks are affine, and how they came there.

    Attributes:
        indices: for each network the piece of each state.
        states: for each network the states before the first step there.
        x: array of shape `(features,)`. The constant input.
    """

    indices: list[Indices]
    states: list[Array]
    x: Array


def compare_regions(
    recurrences: tuple[Recurrence, Recurrence],
    readouts: tuple[Array, Array],
    x: Array,
    steps: int,
    unit: float,
) -> Comparison | None:
    """Hold two networks at constant inputs, and compare them where they then are.

    Large networks are held at fewer inputs and compared in fewer regions, in none
    where one would take minutes.

    Args:
        recurrences: the two networks, from their states at rest.
        readouts: for each the array `C`, of shape `(n, outputs)`.
        x: array of shape `(batch, features)`. The constant inputs; a feature that is
            the same in all of them is taken for a constant.
        steps: integer. The length of the runs.
        unit: float. By how much of itself a weight may have been rounded; 0 where the
            two have the same weights.

    Returns:
        A `Comparison`, or `None` where an activation is not affine in pieces.
    """
    pieces = [pieces_of(recurrence.activation) for recurrence in recurrences]
    networks = [
        _Network(recurrence, one, readout)
        for recurrence, one, readout in zip(recurrences, pieces, readouts, strict=True)
        if one is not None
    ]
    if len(networks) < 2:
        return None
    first, second = networks
    order = first.recurrence.units + second.recurrence.units + 1
    varied = np.ptp(x, axis=0) > 0.0
    cost = float(sum(network.recurrence.units**2 for network in networks))
    rows = int(RUNNING / (steps * cost))
    most = int(COMPARING / (order * (x.shape[1] + 1) * cost))
    found = _held(networks, x[:rows], steps, order)[:most]
    moved = [_moved(one, max(unit, MACHINE_EPSILON["float64"])) for one in networks]
    differences, moves = [], []
    for region in found:
        given = _response(first, 0, region, varied, order)
        other = _response(second, 1, region, varied, order)
        differences.append(_relative(given, other))
        nearby = [
            _response(one, i, region, varied, order) for i, one in enumerate(moved)
        ]
        moves += [_relative(given, nearby[0]), _relative(other, nearby[1])]
    return Comparison(
        regions=len(found),
        order=order,
        difference=float(np.max(differences, initial=0.0)),
        tolerance=ROUNDING + unit + 30.0 * float(np.max(moves, initial=0.0)),
    )


def _moved(network: _Network, unit: float) -> _Network:
    """A network with its weights moved by `unit` times themselves, to either side."""
    generator, recurrence = np.random.default_rng(0), network.recurrence

    def moved(array: Array) -> Array:
        return array * (1.0 + unit * generator.choice([-1.0, 1.0], array.shape))

    rounded = replace(
        recurrence,
        kernel=moved(recurrence.kernel),
        recurrent_matrix=moved(recurrence.recurrent_matrix),
        bias=moved(recurrence.bias),
    )
    return replace(network, recurrence=rounded)


def _held(networks: list[_Network], x: Array, steps: int, order: int) -> list[_Region]:
    """The regions in which a constant input keeps both networks for `order` steps."""
    driven = [network.driven(x) for network in networks]
    states = [network.start(len(x)) for network in networks]
    begun, last = states, [np.full(h.shape, -1, dtype=np.intp) for h in states]
    length = np.zeros(len(x), dtype=np.intp)
    held = np.zeros(len(x), dtype=np.bool_)
    found: dict[bytes, _Region] = {}
    for _ in range(steps):
        if np.all(held):
            break
        moves = [
            network.step(h, drive)
            for network, h, drive in zip(networks, states, driven, strict=True)
        ]
        indices = [
            one.pieces.piece(z) for one, (z, _) in zip(networks, moves, strict=True)
        ]
        goes_on = _same(indices, last)
        begun = [
            np.where(goes_on[:, None], before, h)
            for before, h in zip(begun, states, strict=True)
        ]
        clear = _clear(networks, [z for z, _ in moves])
        # Where a state is near an end the next step begins anew, and so does this.
        length = np.where(clear, np.where(goes_on, length + 1, 1), 0)
        last = [np.where(clear[:, None], index, -1) for index in indices]
        states = [h for _, h in moves]
        held |= length == order
        for row in np.flatnonzero(length == order):
            key = b"".join(index[row].tobytes() for index in indices)
            region = _Region(
                [index[row] for index in indices], [h[row] for h in begun], x[row]
            )
            found.setdefault(key, region)
    return list(found.values())


def _same(indices: list[Indices], last: list[Indices]) -> NDArray[np.bool_]:
    pairs = zip(indices, last, strict=True)
    return np.logical_and.reduce([np.all(a == b, axis=1) for a, b in pairs])


def _clear(networks: list[_Network], z: list[Array]) -> NDArray[np.bool_]:
    """Whether no pre-activation is so near the end of a piece that it may be on it."""
    return np.logical_and.reduce(
        [
            np.all(one.pieces.distance(each) > NEAR * (1.0 + np.abs(each)), axis=1)
            for one, each in zip(networks, z, strict=True)
        ]
    )


def _response(
    network: _Network,
    which: int,
    region: _Region,
    varied: NDArray[np.bool_],
    order: int,
) -> tuple[Array, Array]:
    """The Markov parameters of a network in a region, and its outputs there."""
    system = affine_part(network.recurrence, network.pieces, region.indices[which])
    parameters = _markov_parameters(system, varied, network.readout, order)
    h, driven, outputs = (
        region.states[which],
        region.x @ system.kernel + system.bias,
        [],
    )
    for _ in range(order):
        h = h @ system.recurrent_matrix + driven
        outputs.append(h @ network.readout)
    return parameters, np.stack(outputs)


def _markov_parameters(
    system: Affine, varied: NDArray[np.bool_], readout: Array, order: int
) -> Array:
    """`K Rʲ C` for `j` below `order`, of the features that are varied."""
    reached, found = system.kernel[varied], []
    for _ in range(order):
        found.append(reached @ readout)
        reached = reached @ system.recurrent_matrix
    return np.stack(found)


def _relative(expected: tuple[Array, Array], found: tuple[Array, Array]) -> float:
    """The larger of two differences, each relative to the largest number."""
    relative = []
    for a, b in zip(expected, found, strict=True):
        scale = float(np.max(np.abs(np.stack([a, b])), initial=0.0))
        difference = float(np.max(np.abs(a - b), initial=0.0))
        relative.append(difference / scale if difference else difference)
    # NaN stays NaN, and is no equality.
    return float(np.max(relative))

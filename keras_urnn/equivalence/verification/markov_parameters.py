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
another. The effect of that is measured: the weights of both networks are moved by as
much. So equality is to rounding here, and no proof (`linear_maps` has that of linear
cells).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.activations import pieces_of
from keras_urnn.equivalence.ranges.affine_pieces import Indices, Pieces
from keras_urnn.equivalence.ranges.intervals import MACHINE_EPSILON, Array
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.affine_regions import (
    Network,
    Region,
    held_regions,
)

# Most that is spent, in products: on runs, and on Markov parameters.
RUNNING, COMPARING = 4e9, 4e9
# Below it two numbers are the same where weights are exact.
ROUNDING = 1e-12


class Comparison(NamedTuple):
    """The result of comparing two networks in the regions that they were held in.

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
        Network(recurrence, one, readout)
        for recurrence, one, readout in zip(recurrences, pieces, readouts, strict=True)
        if one is not None
    ]
    if len(networks) < 2:
        return None
    first, second = recurrences
    order = first.units + second.units + 1
    cost = float(first.units**2 + second.units**2)
    rows = int(RUNNING / (steps * cost))
    most = int(COMPARING / (order * (x.shape[1] + 1) * cost))
    found = held_regions(networks, x[:rows], steps, order)[:most]
    return _compared(networks, found, np.ptp(x, axis=0) > 0.0, order, unit)


def _compared(
    networks: Sequence[Network],
    regions: Sequence[Region],
    varied: NDArray[np.bool_],
    order: int,
    unit: float,
) -> Comparison:
    """Compare two networks in these regions, and each with a copy of moved weights."""
    moved = [_moved(one, max(unit, MACHINE_EPSILON["float64"])) for one in networks]
    differences: list[float] = []
    moves: list[float] = []
    for region in regions:
        expected = _responses(networks, region, varied, order)
        nearby = _responses(moved, region, varied, order)
        differences.append(_relative(*expected))
        moves += map(_relative, expected, nearby)
    return Comparison(
        regions=len(regions),
        order=order,
        difference=float(np.max(differences, initial=0.0)),
        tolerance=ROUNDING + unit + 30.0 * float(np.max(moves, initial=0.0)),
    )


def _moved(network: Network, unit: float) -> Network:
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


class Affine(NamedTuple):
    """A recurrence while each state is on one piece: `h_t = h_{t-1} R + x_t K + b`.

    Attributes:
        kernel: array of shape `(features, n)`.
        recurrent_matrix: array of shape `(n, n)`.
        bias: array of shape `(n,)`.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array


def affine_part(recurrence: Recurrence, pieces: Pieces, index: Indices) -> Affine:
    """The recurrence while its states are on the pieces `index`.

    With the scale `d`, `h_t = (s ((h_{t-1} - centre)∘d) R + s (x_t K + b)∘d + o) / d`.
    """
    d, slopes, offsets = recurrence.d, pieces.slopes[index], pieces.offsets[index]
    matrix = d[:, None] * recurrence.recurrent_matrix * (slopes / d)
    bias = recurrence.affine_bias * slopes + offsets / d
    return Affine(recurrence.kernel * slopes, matrix, bias)


# The Markov parameters of a network in a region, and its outputs there.
_Response = tuple[Array, Array]


def _responses(
    networks: Sequence[Network],
    region: Region,
    varied: NDArray[np.bool_],
    order: int,
) -> list[_Response]:
    """The response of each network in a region that holds both."""
    found = []
    for network, index, h in zip(networks, region.indices, region.states, strict=True):
        system = affine_part(network.recurrence, network.pieces, index)
        parameters = _markov_parameters(system, varied, network.readout, order)
        outputs = _outputs(system, h, region.x, network.readout, order)
        found.append((parameters, outputs))
    return found


def _markov_parameters(
    system: Affine, varied: NDArray[np.bool_], readout: Array, order: int
) -> Array:
    """`K Rʲ C` for `j` below `order`, of the features that are varied."""
    reached, found = system.kernel[varied], []
    for _ in range(order):
        found.append(reached @ readout)
        reached = reached @ system.recurrent_matrix
    return np.stack(found)


def _outputs(system: Affine, h: Array, x: Array, readout: Array, order: int) -> Array:
    """The outputs of the first `order` steps from the states `h`."""
    driven, outputs = x @ system.kernel + system.bias, []
    for _ in range(order):
        h = h @ system.recurrent_matrix + driven
        outputs.append(h @ readout)
    return np.stack(outputs)


def _relative(expected: _Response, found: _Response) -> float:
    """The larger of two differences, each relative to the largest number."""
    relative = []
    for a, b in zip(expected, found, strict=True):
        scale = float(np.max(np.abs(np.stack([a, b])), initial=0.0))
        difference = float(np.max(np.abs(a - b), initial=0.0))
        relative.append(difference / scale if difference else difference)
    # NaN stays NaN, and is no equality.
    return float(np.max(relative))

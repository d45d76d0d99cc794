"""Some of the states of a recurrence, while its other states are at rest."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.ranges.recurrence import Recurrence


def restricted(recurrence: Recurrence, states: NDArray[np.intp]) -> Recurrence:
    """The recurrence of these states; what the others send from rest is a bias."""
    others = np.delete(np.arange(recurrence.units), states)
    bias, away = recurrence.bias[states], away_from_centre(recurrence)[others]
    if np.any(away):
        sent = away @ recurrence.recurrent_matrix[np.ix_(others, states)]
        bias = bias + sent / recurrence.d[states]
    scale, centre = recurrence.scale, recurrence.resting_state
    return replace(
        recurrence,
        kernel=np.ascontiguousarray(recurrence.kernel[:, states]),
        recurrent_matrix=recurrence.recurrent_matrix[np.ix_(states, states)],
        bias=bias,
        initial_state=recurrence.initial_state[states],
        scale=None if scale is None else scale[states],
        resting_state=None if centre is None else centre[states],
    )


def away_from_centre(recurrence: Recurrence) -> Array:
    """How far from the centre of the step each state would be at rest, scaled."""
    return (flat_of(recurrence).value - recurrence.centre) * recurrence.d


def flat_of(recurrence: Recurrence) -> FlatActivation:
    """The half-line of an activation that is known to have one."""
    assert recurrence.flat is not None  # the others are refused
    return recurrence.flat

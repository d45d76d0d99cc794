"""Theorem 1 as a function, backwards too, and the certificate of its work."""

from keras_urnn.equivalence.conversion import to_unitary
from keras_urnn.equivalence.inactive import (
    InactiveStates,
    InactivityReport,
    inactive_states,
)
from keras_urnn.equivalence.input_bound.measured import measure_input_bound
from keras_urnn.equivalence.matrices.least_states import minimize_added_states
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import Scaling
from keras_urnn.equivalence.matrices.scaling import find_scaling
from keras_urnn.equivalence.pruning import prune_inactive
from keras_urnn.equivalence.verification.report import EquivalenceReport
from keras_urnn.equivalence.verification.verify import verify_equivalence

__all__ = [
    "EquivalenceReport",
    "InactiveStates",
    "InactivityReport",
    "Obstruction",
    "Scaling",
    "find_scaling",
    "inactive_states",
    "measure_input_bound",
    "minimize_added_states",
    "prune_inactive",
    "to_unitary",
    "verify_equivalence",
]

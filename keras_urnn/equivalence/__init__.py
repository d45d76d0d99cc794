"""Theorem 1 as a function, and the certificate that checks its work."""

from keras_urnn.equivalence.certificate import EquivalenceReport, verify_equivalence
from keras_urnn.equivalence.conversion import to_unitary
from keras_urnn.equivalence.least_states import minimize_added_states
from keras_urnn.equivalence.obstructions import Obstruction
from keras_urnn.equivalence.scales import Scaling
from keras_urnn.equivalence.scaling import find_scaling

__all__ = [
    "EquivalenceReport",
    "Obstruction",
    "Scaling",
    "find_scaling",
    "minimize_added_states",
    "to_unitary",
    "verify_equivalence",
]

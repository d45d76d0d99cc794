"""Theorem 1 as a function, and the certificate that checks its work."""

from keras_urnn.equivalence.certificate import EquivalenceReport, verify_equivalence
from keras_urnn.equivalence.conversion import to_unitary

__all__ = ["EquivalenceReport", "to_unitary", "verify_equivalence"]

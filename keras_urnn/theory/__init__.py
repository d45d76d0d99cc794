"""Theorems 2 and 3 as functions: how many states, and for which activations."""

from keras_urnn.theory.extremal import tight_example
from keras_urnn.theory.sigmoid import Linearization, linearization, sigmoid_example
from keras_urnn.theory.similarity import similarity_transform
from keras_urnn.theory.state_bounds import UnitaryStateBounds, unitary_state_bounds

__all__ = [
    "Linearization",
    "UnitaryStateBounds",
    "linearization",
    "sigmoid_example",
    "similarity_transform",
    "tight_example",
    "unitary_state_bounds",
]

"""Maps onto the orthogonal and the contractive matrices, on `keras.ops`."""

from typing import Any

from keras_urnn import _checks
from keras_urnn.linalg.clipping import clip_singular_values
from keras_urnn.linalg.iterations import EPSILON, Tensor, norm_bound
from keras_urnn.linalg.polar import polar_factor

__all__ = [
    "EPSILON",
    "METHODS",
    "Tensor",
    "check_method",
    "clip_singular_values",
    "norm_bound",
    "polar_factor",
]

METHODS = ("auto", "svd", "newton_schulz")


def check_method(method: Any) -> str:
    """Return `method` where it is one of `METHODS`, or raise."""
    advice = 'Leave it at "auto" unless you compare methods.'
    return _checks.one_of("method", method, METHODS, advice)

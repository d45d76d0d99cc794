"""Ways to keep a recurrent matrix unitary or contractive."""

from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn.parametrizations.base import Parametrization
from keras_urnn.parametrizations.bounded_svd import BoundedSVD
from keras_urnn.parametrizations.cayley import Cayley
from keras_urnn.parametrizations.exponential import Exponential
from keras_urnn.parametrizations.fourier import Fourier
from keras_urnn.parametrizations.givens import Givens
from keras_urnn.parametrizations.hadamard import Hadamard
from keras_urnn.parametrizations.householder import Householder
from keras_urnn.parametrizations.projection import Projection

__all__ = [
    "BoundedSVD",
    "Cayley",
    "Exponential",
    "Fourier",
    "Givens",
    "Hadamard",
    "Householder",
    "Parametrization",
    "Projection",
    "get",
]

NAMES: dict[str, type[Parametrization]] = {
    "projection": Projection,
    "cayley": Cayley,
    "exponential": Exponential,
    "householder": Householder,
    "givens": Givens,
    "fourier": Fourier,
    "hadamard": Hadamard,
    "bounded_svd": BoundedSVD,
}


def get(identifier: Any) -> Parametrization:
    """A new, unbuilt parametrization for one cell.

    Args:
        identifier: a name, such as `"projection"` or `"cayley"`: that of a class in
            lower case. Or an instance, which is copied, or the dict that
            `keras.saving.serialize_keras_object` makes of one.

    Returns:
        A `Parametrization`.

    Raises:
        ValueError: for another name.
        TypeError: for something else.

    Example:
        ```python
        keras_urnn.parametrizations.get("projection")  # a Projection
        ```
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Parametrization):
        # A copy, so that cells given the same instance share no weights.
        return type(identifier).from_config(identifier.get_config())
    advice = "Pass a name, or an instance from `keras_urnn.parametrizations`."
    if not isinstance(identifier, str):
        raise _checks.type_error(
            "parametrization", "a string or a Parametrization", identifier, advice
        )
    return NAMES[_checks.one_of("parametrization", identifier, NAMES, advice)]()

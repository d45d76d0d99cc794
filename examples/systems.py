"""The recurrent networks that `compare.py` trains side by side: one row for each.

A row makes a layer of `width` real numbers of state. A network of complex numbers has
half as many of them, so that all remember equally much.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

import keras_urnn as ku


class System(NamedTuple):
    """A recurrent layer, and where it is from.

    Attributes:
        make: function of the width and of further arguments that returns a layer.
        source: who published it.
    """

    make: Callable[..., Any]
    source: str


def unitary(
    parametrization: Any, activation: Any = "relu", field: str = "real"
) -> Callable[..., Any]:
    """Return what makes a `UnitaryRNN` with this parametrization."""
    share = 2 if field == "complex" else 1

    def make(width: int, **arguments: Any) -> Any:
        return ku.UnitaryRNN(
            width // share,
            activation,
            parametrization=parametrization,
            **arguments,
        )

    return make


SYSTEMS = {
    "RNN": System(keras.layers.SimpleRNN, "Elman, 1990"),
    "LSTM": System(keras.layers.LSTM, "Hochreiter and Schmidhuber, 1997"),
    "GRU": System(keras.layers.GRU, "Cho et al., 2014"),
    "contractive": System(ku.ContractiveRNN, "Emami et al., 2019"),
    "URNN": System(unitary("projection"), "Emami et al., 2019"),
    "scoRNN": System(unitary("cayley"), "Helfrich et al., 2018"),
}

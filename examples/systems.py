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
    parametrization: Any, activation: Any = "relu", start: Any = "orthogonal"
) -> Callable[..., Any]:
    """Return what makes a `UnitaryRNN` with this parametrization."""
    field = ku.parametrizations.get(parametrization).field
    share = 2 if field == "complex" else 1

    def make(width: int, **arguments: Any) -> Any:
        return ku.UnitaryRNN(
            width // share,
            activation,
            recurrent_initializer=start,
            parametrization=parametrization,
            **arguments,
        )

    return make


def spectral(width: int, **arguments: Any) -> Any:
    """Return a `ContractiveRNN` that is contractive by construction."""
    return ku.ContractiveRNN(
        width, "tanh", max_norm=1.0, parametrization="bounded_svd", **arguments
    )


_MAPS = ku.parametrizations
_ANGLES = ku.initializers.CayleyAngles

# With the activation and the start of the paper that a row names.
SYSTEMS = {
    "RNN": System(keras.layers.SimpleRNN, "Elman, 1990"),
    "LSTM": System(keras.layers.LSTM, "Hochreiter and Schmidhuber, 1997"),
    "GRU": System(keras.layers.GRU, "Cho et al., 2014"),
    "contractive": System(ku.ContractiveRNN, "Emami et al., 2019"),
    "URNN": System(unitary("projection"), "Emami et al., 2019"),
    "full-capacity uRNN": System(
        unitary(_MAPS.Projection(field="complex"), "modrelu"), "Wisdom et al., 2016"
    ),
    "uRNN": System(unitary("fourier", "modrelu"), "Arjovsky et al., 2016"),
    "scoRNN": System(unitary("cayley", "modrelu", _ANGLES()), "Helfrich et al., 2018"),
    "scuRNN": System(
        unitary(_MAPS.Cayley(field="complex"), "modrelu"), "Maduranga et al., 2019"
    ),
    "expRNN": System(
        unitary("exponential", "modrelu", _ANGLES()),
        "Lezcano-Casado and Martínez-Rubio, 2019",
    ),
    "dtriv": System(
        unitary(_MAPS.Exponential(rebase_every=100), "modrelu", _ANGLES()),
        "Lezcano-Casado, 2019",
    ),
    "oRNN": System(unitary("householder", "modrelu"), "Mhammedi et al., 2017"),
    "EUNN": System(
        unitary(_MAPS.Givens(capacity=4, field="complex"), "modrelu"),
        "Jing et al., 2017",
    ),
    "HadamRNN": System(unitary("hadamard", "modrelu"), "Foucault et al., 2025"),
    "Spectral-RNN": System(spectral, "Zhang et al., 2018"),
}

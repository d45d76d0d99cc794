"""Unitary and contractive recurrent networks for Keras 3."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_urnn import (
    activations,
    constraints,
    diagnostics,
    initializers,
    optimizers,
    parametrizations,
)
from keras_urnn.constrained import project
from keras_urnn.constraints import ContractiveProjection, UnitaryProjection
from keras_urnn.layers import (
    ContractiveRNN,
    ContractiveRNNCell,
    Skip,
    UnitaryRNN,
    UnitaryRNNCell,
)

# Two thirds of the package, which are imported when they are first used.
if TYPE_CHECKING:
    from keras_urnn import callbacks, theory
    from keras_urnn.equivalence import (
        EquivalenceReport,
        inactive_states,
        measure_input_bound,
        prune_inactive,
        to_unitary,
        verify_equivalence,
    )
else:

    def __getattr__(name: str) -> Any:
        if name in ("callbacks", "equivalence", "theory"):
            return import_module(f"keras_urnn.{name}")
        if name in __all__:
            return getattr(import_module("keras_urnn.equivalence"), name)
        raise AttributeError(f"module 'keras_urnn' has no attribute {name!r}")


__version__ = "0.7.0"

__all__ = [
    "ContractiveProjection",
    "ContractiveRNN",
    "ContractiveRNNCell",
    "EquivalenceReport",
    "Skip",
    "UnitaryProjection",
    "UnitaryRNN",
    "UnitaryRNNCell",
    "activations",
    "callbacks",
    "constraints",
    "diagnostics",
    "inactive_states",
    "initializers",
    "measure_input_bound",
    "optimizers",
    "parametrizations",
    "project",
    "prune_inactive",
    "theory",
    "to_unitary",
    "verify_equivalence",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Unitary and contractive recurrent networks for Keras 3."""

from keras_urnn import callbacks, constraints, diagnostics, parametrizations, theory
from keras_urnn.constrained import project
from keras_urnn.constraints import ContractiveProjection, UnitaryProjection
from keras_urnn.equivalence import (
    EquivalenceReport,
    inactive_states,
    measure_input_bound,
    prune_inactive,
    to_unitary,
    verify_equivalence,
)
from keras_urnn.layers import (
    ContractiveRNN,
    ContractiveRNNCell,
    UnitaryRNN,
    UnitaryRNNCell,
)

__version__ = "0.6.0"

__all__ = [
    "ContractiveProjection",
    "ContractiveRNN",
    "ContractiveRNNCell",
    "EquivalenceReport",
    "UnitaryProjection",
    "UnitaryRNN",
    "UnitaryRNNCell",
    "callbacks",
    "constraints",
    "diagnostics",
    "inactive_states",
    "measure_input_bound",
    "parametrizations",
    "project",
    "prune_inactive",
    "theory",
    "to_unitary",
    "verify_equivalence",
]

"""The cells and layers."""

from keras_urnn.layers.contractive_rnn import ContractiveRNN, ContractiveRNNCell
from keras_urnn.layers.skip import Skip
from keras_urnn.layers.unitary_rnn import UnitaryRNN, UnitaryRNNCell

__all__ = [
    "ContractiveRNN",
    "ContractiveRNNCell",
    "Skip",
    "UnitaryRNN",
    "UnitaryRNNCell",
]

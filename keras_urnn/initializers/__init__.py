"""Where a recurrent matrix starts: orthogonal, unitary and contractive ones."""

from keras_urnn.initializers.contractive import ContractiveInitializer
from keras_urnn.initializers.cycle import Cycle
from keras_urnn.initializers.haar import Haar
from keras_urnn.initializers.pairs import CayleyAngles, Henaff

__all__ = ["CayleyAngles", "ContractiveInitializer", "Cycle", "Haar", "Henaff"]

"""What a user does first after `pip install keras-urnn`, in an empty environment."""

from pathlib import Path

import keras
import numpy as np

import keras_urnn as ku

layer = keras.layers.RNN(ku.UnitaryRNNCell(8))
output = layer(np.ones((2, 5, 3), "float32"))
assert output.shape == (2, 8)
assert ku.diagnostics.unitarity_error(layer.cell) < 1e-5
print(f"keras-urnn {ku.__version__} from {Path(ku.__file__).parent.parent.name}")

"""Write the golden model, which every later version and every backend must load.

    KERAS_BACKEND=tensorflow python tests/golden/make_golden.py

`golden.keras` is a small functional model with a `UnitaryRNN`, a `ContractiveRNN` with
`output_units` and a learned initial state, and a `keras.layers.RNN` over both cells;
`golden.npz` holds inputs `x` and its outputs `y`. They were made once, with Keras
3.15.1 and TensorFlow 2.21, and are never made again: files that users saved can't be.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_urnn as ku

MODEL = Path(__file__).with_name("golden.keras")
DATA = Path(__file__).with_name("golden.npz")
SEED = 20191030


def main() -> None:
    for path in (MODEL, DATA):
        if path.exists():
            raise SystemExit(f"{path.name} is loaded for ever: it is not overwritten")
    keras.utils.set_random_seed(SEED)
    model = make_model()
    x = np.random.default_rng(SEED).standard_normal((4, 6, 3)).astype("float32")
    model.save(MODEL)
    np.savez(DATA, x=x, y=model.predict(x, verbose=0))


def make_model() -> Any:
    inputs = keras.Input((None, 3))
    contractive = ku.ContractiveRNN(
        5,
        "tanh",
        bias_initializer="random_normal",
        recurrent_initializer="glorot_normal",
        return_sequences=True,
        max_norm=0.9,
        output_units=3,
        learn_initial_state=True,
    )
    value = ku.UnitaryRNN(4, return_sequences=True)(inputs)
    value = contractive(value)
    contractive.cell.learned_initial_state.assign([0.1, -0.2, 0.3, -0.4, 0.5])
    cells = [ku.UnitaryRNNCell(3, "tanh"), ku.ContractiveRNNCell(2, None)]
    return keras.Model(inputs, keras.layers.RNN(cells)(value))


if __name__ == "__main__":
    main()

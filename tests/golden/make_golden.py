"""Write the golden models, which every later version and every backend must load.

    KERAS_BACKEND=tensorflow python tests/golden/make_golden.py [name ...]

`golden.keras` is a small functional model with a `UnitaryRNN`, a `ContractiveRNN` with
`output_units` and a learned initial state, and a `keras.layers.RNN` over both cells;
`golden.npz` holds inputs `x` and its outputs `y`. Each parametrization that computes
its matrix has two files of its name: a `UnitaryRNN`, or a `ContractiveRNN` where it
holds contractive matrices only, and its inputs and outputs; `complex_exponential` and
`complex_givens` are those of complex numbers. All were made once, with
Keras 3.15.1 and TensorFlow 2.21, and are never made again: files that users saved can't
be.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_urnn as ku

HERE = Path(__file__).parent
SEED = 20191030
NAMES = (
    "golden",
    *(name for name in ku.parametrizations.NAMES if name != "projection"),
    "complex_exponential",
    "complex_givens",
)


def main() -> None:
    for name in sys.argv[1:] or NAMES:
        model_file, data = HERE / f"{name}.keras", HERE / f"{name}.npz"
        for path in (model_file, data):
            if path.exists():
                raise SystemExit(f"{path.name} is loaded for ever: not overwritten")
        keras.utils.set_random_seed(SEED)
        model = make_model() if name == "golden" else make_layer(name)
        x = np.random.default_rng(SEED).standard_normal((4, 6, 3)).astype("float32")
        model.save(model_file)
        np.savez(data, x=x, y=model.predict(x, verbose=0))


def make_layer(name: str) -> Any:
    if name.startswith("complex_"):
        make = ku.parametrizations.NAMES[name.removeprefix("complex_")]
        return of_layer(ku.UnitaryRNN, "modrelu", make(field="complex"))
    unitary = "unitary" in ku.parametrizations.get(name).sets
    kind = ku.UnitaryRNN if unitary else ku.ContractiveRNN
    is_complex = ku.parametrizations.get(name).field == "complex"
    return of_layer(kind, "modrelu" if is_complex else "relu", name)


def of_layer(kind: Any, activation: str, parametrization: Any) -> Any:
    layer = kind(4, activation, parametrization=parametrization, return_sequences=True)
    return keras.Sequential([keras.Input((None, 3)), layer])


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

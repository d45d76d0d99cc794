"""A model in which layers of each kind stand side by side."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.helpers import (
    FEATURES,
    LAYERS,
    PARAMETRIZATIONS,
    STEPS,
    Array,
    normal,
    sequences,
)

# What else a layer may be made of, and what is saved with it.
OTHERS: dict[str, Callable[[int], Any]] = {
    "modReLU": lambda units: ku.UnitaryRNN(units, "modrelu"),
    "OPLU": lambda units: ku.UnitaryRNN(units, "oplu"),
    "skip": lambda units: ku.UnitaryRNN(
        units, "tanh", skip=ku.Skip(0.2, trainable=True)
    ),
}


def layers_of_each(units: int) -> dict[str, Any]:
    """A layer for each row of the table and each set that it holds."""
    return {
        f"{kind} {name}": LAYERS[kind](
            units, row.activation, parametrization=row.make()
        )
        for name, row in PARAMETRIZATIONS.items()
        for kind in row.sets
    }


class SideBySide:
    """A model of several layers, whose outputs it concatenates.

    It is one model, as each model by itself would be compiled and saved by itself.

    Attributes:
        layers: dict, the layers by their names.
        model: the model, not compiled.
    """

    def __init__(self, layers: dict[str, Any]) -> None:
        inputs = keras.Input((STEPS, FEATURES))
        outputs = [layer(inputs) for layer in layers.values()]
        self.layers = layers
        self.model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
        self._widths = [output.shape[-1] for output in outputs]

    def train(self, optimizer: Any, steps: int) -> list[float]:
        """The losses of so many training steps.

        They are not compiled: a few steps take less time than to compile them.
        """
        x = sequences()
        y = normal(len(x), sum(self._widths), seed=2)
        self.model.compile(optimizer, "mse", run_eagerly=True)
        return [float(self.model.train_on_batch(x, y)) for _ in range(steps)]

    def by_layer(self, outputs: Array) -> dict[str, Array]:
        """The outputs of each layer among those of the model."""
        ends = np.cumsum(self._widths)[:-1]
        parts = np.split(outputs, ends, axis=-1)
        return dict(zip(self.layers, parts, strict=True))

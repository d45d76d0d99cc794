"""Run two cells in their own dtypes, and show all of their states at each step."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn._backend import inference
from keras_urnn.equivalence.plans.copies import copy_learned
from keras_urnn.equivalence.plans.plan import leave_unset
from keras_urnn.equivalence.ranges.intervals import Array, to_float64


class StateRunner:
    """Runs copies of two cells, which are compiled once.

    Each shape is compiled. So all inputs run in one batch, with zeros behind the
    shorter sequences, which do not change the states before them.

    Args:
        cells: the two.
        inputs: arrays of shape `(batch, time, features)`. Others may be run if they
            have the same shapes.
    """

    def __init__(self, cells: tuple[Any, Any], inputs: Sequence[Array]) -> None:
        rows, steps = sum(len(x) for x in inputs), max(x.shape[1] for x in inputs)
        self._shape = rows, steps, inputs[0].shape[-1]
        entering = [
            keras.Input(batch_shape=self._shape, dtype=_array_dtype(cell))
            for cell in cells
        ]
        pairs = zip(cells, entering, strict=True)
        model = keras.Model(entering, [_all_states(cell, x) for cell, x in pairs])
        self._run = inference(model)

    def states(self, inputs: Sequence[Array]) -> list[tuple[Array, Array]]:
        """The states of both cells, of shape `(batch, time, n)`, for each input."""
        whole = np.zeros(self._shape)
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        for part, x in zip(np.split(whole, ends), inputs, strict=True):
            part[:, : x.shape[1]] = x  # the parts are views
        old, new = (np.split(to_float64(h), ends) for h in self._run([whole, whole]))
        return [
            (first[:, : x.shape[1]], second[:, : x.shape[1]])
            for first, second, x in zip(old, new, inputs, strict=True)
        ]


def _all_states(cell: Any, x: Any) -> Any:
    """All states of a copy of a cell, hidden ones included, at each step of `x`."""
    config = cell.get_config()
    if config.get("output_units") is not None:
        config["output_units"] = None
    copy = type(cell).from_config(config)
    leave_unset(copy)
    copy.build((None, x.shape[-1]))
    copy_learned(cell, copy)
    loop = keras.layers.RNN(copy, return_sequences=True, dtype=cell.dtype_policy)
    return loop(x)


def _array_dtype(cell: Any) -> str:
    """NumPy has no bfloat16; layers cast what they are given."""
    return "float64" if cell.compute_dtype == "float64" else "float32"

"""A structured map for the tests: rotations of pairs of states."""

from typing import Any

import keras
from keras import ops

import keras_urnn as ku


@keras.saving.register_keras_serializable("tests")
class Turns(ku.parametrizations.Parametrization):
    """Turns pairs of states by `2 atan(t)`, then moves each state on by one.

    Without the cosine: of float64 Keras computes it in float32 on JAX and PyTorch.
    """

    sets = ("unitary",)

    def build(self, cell: Any) -> None:
        self._cell = cell
        cell.turns = cell.add_weight(
            shape=(cell.width // 2,),
            name="turns",
            initializer=keras.initializers.RandomUniform(-3.0, 3.0, seed=1),
            autocast=False,
        )

    def prepare(self) -> Any:
        t = ops.convert_to_tensor(self.cell.turns)
        return (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)

    def apply(self, h: Any, prepared: Any) -> Any:
        cos, sin = prepared
        pairs = 2 * cos.shape[0]
        a, b, alone = h[:, 0:pairs:2], h[:, 1:pairs:2], h[:, pairs:]
        turned = [a * cos - b * sin, a * sin + b * cos, alone]
        return ops.roll(ops.concatenate(turned, axis=-1), 1, axis=-1)

    def apply_transposed(self, h: Any, prepared: Any) -> Any:
        cos, sin = prepared
        pairs = cos.shape[0]
        back = ops.roll(h, -1, axis=-1)
        a, b = back[:, :pairs], back[:, pairs : 2 * pairs]
        turned = ops.stack([a * cos + b * sin, b * cos - a * sin], axis=-1)
        flat = ops.reshape(turned, (-1, 2 * pairs))
        return ops.concatenate([flat, back[:, 2 * pairs :]], axis=-1)

    def matrix(self) -> Any:
        dtype = self.cell.variable_dtype
        eye = ops.eye(self.cell.width, dtype=dtype)
        return self.apply(eye, self.prepare())

    def set_matrix(self, matrix: Any) -> None:
        raise NotImplementedError

    def is_structured(self) -> bool:
        return True

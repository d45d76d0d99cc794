"""The machine's limit: the products of a forward pass and nothing else.

`h @ W`, of a `(batch, units)` and a `(units, units)` matrix, `steps` times in a row in
one compiled function, in float32. It has the loop's overhead in it.
"""

from collections.abc import Callable

import keras
import numpy as np
from contestants import Entry
from gate import Gate
from keras import ops
from shapes import Shape
from trial import SEED, repeat


class ProductTrial:
    """Times the products in the place of a training step."""

    def __init__(self, entry: Entry, shape: Shape) -> None:
        self.jit, self.shape = entry.jit_compile, shape

    def training(self, gate: Gate) -> None:
        rng = np.random.default_rng(SEED)
        h = rng.normal(size=(self.shape.batch, self.shape.units)).astype("float32")
        # Orthogonal, so that the numbers stay of one size.
        w = np.linalg.qr(rng.normal(size=(self.shape.units, self.shape.units)))[0]
        given = [ops.convert_to_tensor(each) for each in (h, w.astype("float32"))]
        products = self._products()
        repeat(gate, lambda: ops.convert_to_numpy(products(*given)))

    def _products(self) -> Callable[..., object]:
        steps = self.shape.steps
        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            def loop(h: object, w: object) -> object:
                return tf.while_loop(
                    lambda i, _: i < steps,
                    lambda i, h: (i + 1, tf.matmul(h, w)),
                    (0, h),
                )[1]

            return tf.function(loop, jit_compile=self.jit)
        if keras.config.backend() == "jax":
            import jax

            return jax.jit(
                lambda h, w: jax.lax.fori_loop(0, steps, lambda _, h: h @ w, h)
            )
        return self._torch_products

    def _torch_products(self, h: object, w: object) -> object:
        import torch

        buffers = [torch.clone(h), torch.empty_like(h)]
        with torch.no_grad():
            for t in range(self.shape.steps):
                torch.mm(buffers[t % 2], w, out=buffers[(t + 1) % 2])
        return buffers[self.shape.steps % 2]

"""The products of the recurrence: inputs projected, states mapped, gradients summed.

The kernel of these functions has the bias as its last row.
"""

import math
from typing import Any

from keras import ops

from keras_urnn._backend import matmul, rounds_products
from keras_urnn.linalg import Tensor

# Up to this number of features XLA projects the input of a step within the loop, and
# fuses that with the activation. At the shape `pmnist` of benchmarks/recurrence.py,
# with one feature, a training step takes some 15 % less (CHANGELOG, 0.4.0). The bound
# was chosen by hand. With more features one product of a whole block is faster.
_FEW_FEATURES = 4

# XLA computes `h R` as a sum that it fuses with the rest of a step, instead of calling
# a matrix product: up to `_TINY` units with any batch, up to `_SMALL` units if the step
# has at most `_SMALL_WORK` multiplications. Timed with a batch of 10: at 8 units, the
# shape `small` of benchmarks/recurrence.py, a training step takes half the time on JAX,
# at 14 units a quarter less (CHANGELOG, 0.4.0). The bounds lie between sizes at which
# the sum and the product won; only the chosen ones stand in
# benchmarks/results/recurrence.json. If they are too high, steps do slow sums, if too
# low, they spend their time on calls of tiny products.
_TINY, _SMALL, _SMALL_WORK = 8, 24, 3000


def projects_in_steps(features: int, written_out: bool) -> bool:
    """Whether each step projects its own input, by `projected_in_step`."""
    return 0 < features <= _FEW_FEATURES and not written_out


def projected(x: Tensor, kernel: Tensor) -> Tensor:
    """`x K + b`, in one product unless that would round the bias."""
    if rounds_products():
        return flat_matmul(x, kernel[:-1]) + kernel[-1]
    return flat_matmul(_with_ones(x), kernel)


def projected_in_step(x: Tensor, kernel: Tensor) -> Tensor:
    """`x K + b` of few features, as a sum that XLA fuses with what follows."""
    columns = (x[:, i : i + 1] * kernel[i] for i in range(x.shape[1]))
    return sum(columns, start=kernel[-1])


def kernel_gradient(x: Tensor, delta: Tensor) -> Tensor:
    """The gradient of the kernel: `Σ x_tᵀ δ_t`, and `Σ δ_t` as its last row.

    In one product, unless that would round the gradient of the bias.
    """
    if rounds_products():
        return ops.concatenate([product(x, delta), ops.sum(delta, axis=(0, 1))[None]])
    return product(_with_ones(x), delta)


def product(a: Tensor, b: Tensor) -> Tensor:
    """`Σ a_tᵀ b_t` over the first two axes."""
    a, b = (ops.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (a, b))
    return matmul(ops.transpose(a), b)


def summed(a: Tensor) -> Tensor:
    """The sum over the first two axes: by a product, unless that would round.

    XLA on a processor takes longer for a sum of rows than for a matrix product.
    """
    if rounds_products():
        return ops.sum(a, axis=(0, 1))
    ones = ops.ones((*ops.shape(a)[:-1], 1), dtype=a.dtype)
    return product(ones, a)[0]


def flat_matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for `a` with three axes, by one product. TensorFlow would make many."""
    *rows, columns = ops.shape(a)
    return ops.reshape(matmul(ops.reshape(a, (-1, columns)), b), (*rows, b.shape[-1]))


def step_matmul(a: Tensor, b: Tensor, written_out: bool) -> Tensor:
    """`a @ b` within a step; of few units as a sum that XLA fuses with the rest."""
    if written_out or not _is_tiny(a.shape[0], b.shape[0]):
        return matmul(a, b)
    return ops.sum(ops.expand_dims(a, -1) * b, axis=-2)


def _is_tiny(batch: Any, units: int) -> bool:
    # A batch may be unknown, or a symbol that can't be compared.
    work = batch * units**2 if isinstance(batch, int) else math.inf
    return units <= _TINY or (units <= _SMALL and work <= _SMALL_WORK)


def _with_ones(x: Tensor) -> Tensor:
    """`x` with a last column of ones, which the bias is multiplied by."""
    ones = ops.ones((*ops.shape(x)[:-1], 1), dtype=x.dtype)
    return ops.concatenate([x, ones], axis=-1)

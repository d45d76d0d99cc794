"""Layers of rotations of pairs of states, and the matrix that they make.

A layer maps `h_i` to
`own_i h_i + following_i h_{i + stride} + preceding_i h_{i - stride}`, where one of the
last two factors is 0, and both are for a state without a partner.
"""

from typing import Any

from keras import ops

from keras_urnn._backend.loops import scan
from keras_urnn.linalg.iterations import Tensor


def turned(
    h: Tensor, stride: int, own: Tensor, following: Tensor, preceding: Tensor
) -> Tensor:
    """`h G` for a layer `G`."""
    after, before = ops.roll(h, -stride, axis=-1), ops.roll(h, stride, axis=-1)
    return h * own + after * following + before * preceding


def turned_back(
    h: Tensor, stride: int, own: Tensor, following: Tensor, preceding: Tensor
) -> Tensor:
    """`h Gᵀ`: the angles negated."""
    return turned(h, stride, own, -following, -preceding)


def product(own: Tensor, following: Tensor, preceding: Tensor) -> Tensor:
    """`G_1 G_2 ... G_L` of layers of stride 1, from their factors of shape `(L, n)`.

    The gradient needs the product of the first layers, for each number of them. It
    finds it from the last one by turning back, as each `G` is orthogonal: kept are n²
    numbers instead of n² for each layer.
    """
    return ops.custom_gradient(_with_gradient)(own, following, preceding)


def _with_gradient(*layers: Tensor) -> tuple[Tensor, Any]:
    eye = ops.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    R, _ = scan(_forwards, eye, layers, outputs=0, inner=True)

    def gradient(*given: Any, upstream: Any = None) -> tuple[Tensor, ...]:
        # PyTorch is given the factors, and the gradient by its name.
        delta = given[0] if upstream is None else upstream
        _, found = scan(_backwards, (R, delta), layers, outputs=3, reverse=True)
        return found

    return R, gradient


def _forwards(R: Tensor, layer: tuple[Tensor, ...]) -> tuple[Tensor, tuple[()]]:
    return turned(R, 1, *layer), ()


def _backwards(carry: Any, layer: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """The gradients of a layer's factors; the product and the gradient before it."""
    R, delta = carry
    before = turned_back(R, 1, *layer)
    read = (before, ops.roll(before, -1, axis=-1), ops.roll(before, 1, axis=-1))
    found = tuple(ops.sum(one * delta, axis=0) for one in read)
    return (before, turned_back(delta, 1, *layer)), found

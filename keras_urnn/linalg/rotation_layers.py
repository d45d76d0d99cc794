"""Layers of rotations of pairs of states, and the matrix that they make.

A layer maps `h_i` to
`own_i h_i + following_i h_{i + stride} + preceding_i h_{i - stride}`, where one of the
last two factors is 0, and both are for a state without a partner.

Of complex states, rows `[Re | Im]`, a layer turns each number by a phase first. Its
factors then are five: those of a rotation, which are the same for both parts of a
number, and two for the phases `φ`, the rows `[cos φ | cos φ]` and `[-sin φ | sin φ]`.
"""

from typing import Any

from keras import ops

from keras_urnn._backend.loops import scan
from keras_urnn.linalg.iterations import Tensor


def turned(h: Tensor, stride: int, *layer: Tensor) -> Tensor:
    """`h G` for a layer `G` of three factors, or five."""
    own, following, preceding, *phases = layer
    h = phased(h, *phases) if phases else h
    after, before = ops.roll(h, -stride, axis=-1), ops.roll(h, stride, axis=-1)
    return h * own + after * following + before * preceding


def turned_back(h: Tensor, stride: int, *layer: Tensor) -> Tensor:
    """`h Gᵀ`: the angles negated."""
    own, following, preceding, *phases = layer
    h = turned(h, stride, own, -following, -preceding)
    return phased_back(h, *phases) if phases else h


def phased(h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Complex numbers `[Re | Im]`, each turned by its phase."""
    return h * cos + _parts_exchanged(h) * sin


def phased_back(h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same by the phases negated."""
    return phased(h, cos, -sin)


def _parts_exchanged(h: Tensor) -> Tensor:
    """`[Im | Re]`."""
    return ops.roll(h, h.shape[-1] // 2, axis=-1)


def product(*layers: Tensor) -> Tensor:
    """`G_1 G_2 ... G_L` of layers of stride 1, from their factors of shape `(L, n)`.

    The gradient needs the product of the first layers, for each number of them. It
    finds it from the last one by turning back, as each `G` is orthogonal: kept are n²
    numbers instead of n² for each layer.

    Of complex layers, whose factors have the shape `(L, 2n)`, it is `[A | B]`.
    """
    return ops.custom_gradient(_with_gradient)(*layers)


def _with_gradient(*layers: Tensor) -> tuple[Tensor, Any]:
    width = layers[0].shape[-1]
    rows = width if len(layers) == 3 else width // 2
    eye = ops.eye(rows, width, dtype=layers[0].dtype)
    R, _ = scan(_forwards, eye, layers, outputs=0, inner=True)

    def gradient(*given: Any, upstream: Any = None) -> tuple[Tensor, ...]:
        # PyTorch is given the factors, and the gradient by its name.
        delta = given[0] if upstream is None else upstream
        count = len(layers)
        _, found = scan(_backwards, (R, delta), layers, outputs=count, reverse=True)
        return found

    return R, gradient


def _forwards(R: Tensor, layer: tuple[Tensor, ...]) -> tuple[Tensor, tuple[()]]:
    return turned(R, 1, *layer), ()


def _backwards(carry: Any, layer: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """The gradients of a layer's factors; the product and the gradient before it."""
    R, delta = carry
    rotation, phases = layer[:3], layer[3:]
    before = turned_back(R, 1, *rotation)
    read = [before, ops.roll(before, -1, axis=-1), ops.roll(before, 1, axis=-1)]
    found = [ops.sum(one * delta, axis=0) for one in read]
    delta = turned_back(delta, 1, *rotation)
    if phases:
        before = phased_back(before, *phases)
        read = [before, _parts_exchanged(before)]
        found += [ops.sum(one * delta, axis=0) for one in read]
        delta = phased_back(delta, *phases)
    return (before, delta), tuple(found)

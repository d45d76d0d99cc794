"""Layers of rotations of pairs of states, and the matrix that they make.

A layer maps `h_i` to
`own_i h_i + following_i h_{i + stride} + preceding_i h_{i - stride}`, where one of the
last two factors is 0, and both are for a state without a partner.

Of complex states a layer turns each number by a phase `φ` first, and has two factors
more, `cos φ` and `sin φ`. States are passed in parts, a tuple: `(h,)` of real ones and
`(Re h, Im h)` of complex ones. Each part is rotated by the same angles.
"""

from typing import Any, TypeAlias

from keras import ops

from keras_urnn._backend.loops import scan
from keras_urnn.linalg.iterations import Tensor

Parts: TypeAlias = tuple[Tensor, ...]


def in_parts(h: Tensor, field: str) -> Parts:
    """The parts of states, of rows `[Re | Im]` for complex ones."""
    return (h,) if field == "real" else tuple(ops.split(h, 2, axis=-1))


def joined(parts: Parts) -> Tensor:
    """The states in one tensor again."""
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def turned(h: Parts, stride: int, *layer: Tensor) -> Parts:
    """`h G` for a layer `G` of three factors, or five."""
    rotation, phases = layer[:3], layer[3:]
    h = phased(h, *phases) if phases else h
    return tuple(_rotated(one, stride, *rotation) for one in h)


def turned_back(h: Parts, stride: int, *layer: Tensor) -> Parts:
    """`h Gᴴ`: the angles negated."""
    rotation, phases = layer[:3], layer[3:]
    h = tuple(_rotated_back(one, stride, *rotation) for one in h)
    return phased_back(h, *phases) if phases else h


def _rotated(
    h: Tensor, stride: int, own: Tensor, following: Tensor, preceding: Tensor
) -> Tensor:
    after, before = ops.roll(h, -stride, axis=-1), ops.roll(h, stride, axis=-1)
    return h * own + after * following + before * preceding


def _rotated_back(
    h: Tensor, stride: int, own: Tensor, following: Tensor, preceding: Tensor
) -> Tensor:
    return _rotated(h, stride, own, -following, -preceding)


def phased(h: Parts, cos: Tensor, sin: Tensor) -> Parts:
    """Complex states, each turned by its phase."""
    re, im = h
    return re * cos - im * sin, re * sin + im * cos


def phased_back(h: Parts, cos: Tensor, sin: Tensor) -> Parts:
    """The same by the phases negated."""
    return phased(h, cos, -sin)


def product(*layers: Tensor) -> Tensor:
    """`G_1 G_2 ... G_L` of layers of stride 1, from their factors of shape `(L, n)`.

    The gradient needs the product of the first layers, for each number of them. It
    finds it from the last one by turning back, as each `G` is unitary: kept are n²
    numbers instead of n² for each layer. Of complex layers the product is `[A | B]`.
    """
    return ops.custom_gradient(_with_gradient)(*layers)


def _with_gradient(*layers: Tensor) -> tuple[Tensor, Any]:
    eye = ops.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    start = (eye,) if len(layers) == 3 else (eye, ops.zeros_like(eye))
    R, _ = scan(_forwards, start, layers, outputs=0, inner=True)

    def gradient(*given: Any, upstream: Any = None) -> tuple[Tensor, ...]:
        # PyTorch is given the factors, and the gradient by its name.
        delta = given[0] if upstream is None else upstream
        delta = in_parts(delta, "real" if len(R) == 1 else "complex")
        count = len(layers)
        _, found = scan(_backwards, (R, delta), layers, outputs=count, reverse=True)
        return found

    return joined(R), gradient


def _forwards(R: Parts, layer: tuple[Tensor, ...]) -> tuple[Parts, tuple[()]]:
    return turned(R, 1, *layer), ()


def _backwards(carry: Any, layer: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """The gradients of a layer's factors; the product and the gradient before it."""
    R, delta = carry
    rotation, phases = layer[:3], layer[3:]
    R = turned_back(R, 1, *rotation)
    found = [
        _along(tuple(ops.roll(one, shift, axis=-1) for one in R), delta)
        for shift in (0, -1, 1)
    ]
    delta = turned_back(delta, 1, *rotation)
    if phases:
        R = phased_back(R, *phases)
        re, im = R
        found += [_along((re, im), delta), _along((-im, re), delta)]
        delta = phased_back(delta, *phases)
    return (R, delta), tuple(found)


def _along(h: Parts, delta: Parts) -> Tensor:
    """The gradient of a factor that multiplies these parts."""
    products = [one * other for one, other in zip(h, delta, strict=True)]
    return ops.sum(sum(products[1:], products[0]), axis=0)

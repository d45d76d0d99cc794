"""The activations that the recurrence runs fused, and what it reads of their values."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_urnn import linalg
from keras_urnn._backend.derivatives import derivative
from keras_urnn.activations.modrelu import (
    ModReLU,
    complex_modrelu,
    modulus_and_inverse,
    real_modrelu,
    twice,
)
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.derivatives import DERIVATIVES, elementwise_name

Tensors = tuple[Tensor, ...]


class Rule(NamedTuple):
    """An activation `φ` whose derivative is a function of its value.

    Below `trained` is a sequence of the weights of `φ`, empty for most.

    Attributes:
        apply: function of `z` and `trained` that returns `h = φ(z)`.
        read: function of `h` and `trained`. It returns a tuple of tensors, all that
            `differentiate` needs. It is computed for all steps of a block at once.
        differentiate: function of `g` and of these tensors that returns `φ'(z) g`.
        to_trained: function of `δ = φ'(z) g` and of these tensors that returns the
            gradients of `trained`, summed over the first two axes.
    """

    apply: Callable[[Tensor, Sequence[Tensor]], Tensor]
    read: Callable[[Tensor, Sequence[Tensor]], Tensors]
    differentiate: Callable[..., Tensor]
    to_trained: Callable[..., Tensors]


def rule_of(name: str) -> Rule:
    """The rule of an activation, by what `readable_name` calls it."""
    return TRAINED[name] if name in TRAINED else _elementwise(name)


def readable_name(activation: Any) -> str | None:
    """The name of an activation that `rule_of` knows, or None for others."""
    if type(activation) is not ModReLU:
        return elementwise_name(activation)
    return "complex modrelu" if activation.field == "complex" else "modrelu"


def _elementwise(name: str) -> Rule:
    activation = keras.activations.get(name)
    return Rule(
        apply=lambda z, trained: activation(z),
        read=lambda h, trained: (h,),
        differentiate=derivative(name) or DERIVATIVES[name],
        to_trained=lambda delta, h: (),
    )


def _read_complex(h: Tensor, trained: Sequence[Tensor]) -> Tensors:
    """What `_differentiate_complex` needs of the states `h = z / |z| (|z| + b)`.

    With `u = h / |h| = z / |z|` and `|z| = |h| - b` these are `u`, `(1 - ρ) u` and
    `ρ = |h| / |z|`, all of them 0 where `h` is.
    """
    modulus, inverse = modulus_and_inverse(h)
    of_z = modulus - ops.cast(trained[0], modulus.dtype)
    # `|h|` is known to its rounding only. Below that `|z|` is not known, and a quotient
    # by what is left of it, maybe 0, would not be finite.
    least = linalg.EPSILON[keras.backend.standardize_dtype(h.dtype)] * modulus
    of_z = ops.where(of_z > least, of_z, least)
    is_zero = modulus <= 0.0
    zero, one = ops.zeros_like(modulus), ops.ones_like(modulus)
    ratio = ops.where(is_zero, zero, modulus / ops.where(is_zero, one, of_z))
    u = h * twice(ops.cast(inverse, h.dtype))
    ratio = twice(ops.cast(ratio, h.dtype))
    return u, (1.0 - ratio) * u, ratio


def _differentiate_complex(g: Tensor, u: Tensor, rest: Tensor, ratio: Tensor) -> Tensor:
    """`δ = ρ g + (1 - ρ) u ⟨g, u⟩`: along `u` the slope is 1, across it `ρ`."""
    re, im = ops.split(g * u, 2, axis=-1)
    return ratio * g + rest * twice(re + im)


def _sum_along(delta: Tensor, u: Tensor, *_: Tensor) -> Tensors:
    """The gradient of the complex bias, `Σ ⟨δ, u⟩`."""
    re, im = ops.split(ops.sum(delta * u, axis=(0, 1)), 2, axis=-1)
    return (re + im,)


TRAINED: dict[str, Rule] = {
    "modrelu": Rule(
        apply=lambda z, trained: real_modrelu(z, *trained),
        read=lambda h, trained: (h,),
        differentiate=lambda g, h: ops.where(h != 0.0, g, ops.zeros_like(g)),
        to_trained=lambda delta, h: (ops.sum(delta * ops.sign(h), axis=(0, 1)),),
    ),
    "complex modrelu": Rule(
        apply=lambda z, trained: complex_modrelu(z, *trained),
        read=_read_complex,
        differentiate=_differentiate_complex,
        to_trained=_sum_along,
    ),
}

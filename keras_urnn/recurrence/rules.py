"""The activations that the recurrence runs fused, and what it reads of their values."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_urnn import linalg
from keras_urnn._backend.derivatives import ON_SECOND_HALF, derivative
from keras_urnn.activations.modrelu import (
    ModReLU,
    pairs_of,
    real_modrelu,
    squared_modulus,
    sum_of_parts,
)
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.derivatives import DERIVATIVES, elementwise_name
from keras_urnn.recurrence.products import summed

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
    if name.startswith(ON_SECOND_HALF):
        return _on_second_half(_elementwise(name.removeprefix(ON_SECOND_HALF)))
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


def _on_second_half(rule: Rule) -> Rule:
    """An elementwise `φ` on the second half of a state, the identity on the first."""

    def apply(z: Tensor, trained: Sequence[Tensor]) -> Tensor:
        first, second = ops.split(z, 2, axis=-1)
        return ops.concatenate([first, rule.apply(second, trained)], axis=-1)

    def read(h: Tensor, trained: Sequence[Tensor]) -> Tensors:
        return rule.read(h[..., h.shape[-1] // 2 :], trained)

    def differentiate(g: Tensor, *of_state: Tensor) -> Tensor:
        first, second = ops.split(g, 2, axis=-1)
        return ops.concatenate([first, rule.differentiate(second, *of_state)], axis=-1)

    return Rule(apply, read, differentiate, rule.to_trained)


def _apply_complex(z: Tensor, trained: Sequence[Tensor]) -> Tensor:
    """What `complex_modrelu` computes, in fewer operations.

    Their gradient is not 0 at 0, and is not used.
    """
    pairs = pairs_of(z)
    square = squared_modulus(pairs)
    scale = ops.relu(1.0 + ops.cast(trained[0], square.dtype) * _inverse_root(square))
    return ops.reshape(pairs * ops.cast(scale, z.dtype), ops.shape(z))


def _read_complex(h: Tensor, trained: Sequence[Tensor]) -> Tensors:
    """What `_differentiate_complex` needs of the states `h = z / |z| (|z| + b)`.

    With `u = h / |h| = z / |z|` and `|z| = |h| - b` these are `u`, `(1 - ρ) u` and
    `ρ = |h| / |z|`, all of them 0 where `h` is.
    """
    pairs = pairs_of(h)
    square = squared_modulus(pairs)
    inverse, bias = _inverse_root(square), ops.cast(trained[0], square.dtype)
    modulus = square * inverse
    # `|h|`, at least `b`, is known to its rounding only. Below that `|z|` is not known,
    # and a quotient by what is left of it, maybe 0, would not be finite.
    rounding = linalg.EPSILON[keras.backend.standardize_dtype(h.dtype)] * bias
    of_z = modulus - bias
    of_z = ops.where(of_z < rounding, rounding, of_z)
    ratio = ops.cast(modulus / _one_at_zero(of_z, square), h.dtype)
    u = pairs * ops.cast(inverse, h.dtype)
    return u, (1.0 - ratio) * u, ratio


def _inverse_root(square: Tensor) -> Tensor:
    """`1 / |z|`, and 1 at 0, which is multiplied by 0."""
    return ops.rsqrt(_one_at_zero(square, square))


def _one_at_zero(tensor: Tensor, square: Tensor) -> Tensor:
    """Another divisor where a square is 0, so that second derivatives are finite."""
    return ops.where(square <= 0.0, ops.ones_like(tensor), tensor)


def _differentiate_complex(g: Tensor, u: Tensor, rest: Tensor, ratio: Tensor) -> Tensor:
    """`δ = ρ g + (1 - ρ) u ⟨g, u⟩`: along `u` the slope is 1, across it `ρ`."""
    pairs = pairs_of(g)
    delta = ratio * pairs + rest * sum_of_parts(pairs * u)
    return ops.reshape(delta, ops.shape(g))


def _sum_along(delta: Tensor, u: Tensor, *_: Tensor) -> Tensors:
    """The gradient of the complex bias, `Σ ⟨δ, u⟩`."""
    along = sum_of_parts(pairs_of(delta) * u)
    return (summed(along[..., 0, :]),)


TRAINED: dict[str, Rule] = {
    "modrelu": Rule(
        apply=lambda z, trained: real_modrelu(z, *trained),
        read=lambda h, trained: (h,),
        differentiate=lambda g, h: ops.where(h != 0.0, g, ops.zeros_like(g)),
        to_trained=lambda delta, h: (summed(delta * ops.sign(h)),),
    ),
    "complex modrelu": Rule(
        apply=_apply_complex,
        read=_read_complex,
        differentiate=_differentiate_complex,
        to_trained=_sum_along,
    ),
}

"""modReLU in the fused recurrence on PyTorch: see `recurrence.rules`."""

from collections.abc import Sequence
from typing import Any

import torch

from keras_urnn._backend.torch_rules import RULES, Rule


def real(bias: Any) -> Rule:
    """`h = sign(z) relu(|z| + b)`; the slope is 1 where `h` is not 0."""

    def parts(z: Any) -> tuple[Any, Any]:
        return z.sign(), torch.relu(z.abs() + bias)

    def differentiate(g: Any, h: Any, out: Any) -> None:
        torch.mul(g, h != 0.0, out=out)

    def to_trained(delta: Any, h: Any) -> tuple[Any, ...]:
        return ((delta * h.sign()).sum((0, 1)),)

    return Rule(
        apply=lambda z: torch.mul(*parts(z), out=z),
        differentiate=differentiate,
        plain=lambda z: torch.mul(*parts(z)),
        to_trained=to_trained,
    )


def complex_numbers(bias: Any) -> Rule:
    """`h = z / |z| relu(|z| + b)` for rows `[Re | Im]`.

    With `u = h / |h|` and `ρ = |h| / |z|` its gradient is `ρ g + (1 - ρ) u ⟨g, u⟩`.
    """

    def scaled(z: Any) -> tuple[Any, Any]:
        pairs = _pairs(z)
        modulus = _modulus(pairs)
        return pairs, torch.relu(modulus + bias) / _infinite_at_zero(modulus)

    def read(h: Any) -> tuple[Any, ...]:
        pairs = _pairs(h)
        modulus = _modulus(pairs)
        # `|h|` is known to its rounding only: see `rules._read_complex`.
        least = torch.finfo(h.dtype).eps * modulus
        of_z = torch.maximum(modulus - bias, least)
        ratio = modulus / _infinite_at_zero(of_z)
        u = pairs / _infinite_at_zero(modulus)
        return u, (1.0 - ratio) * u, ratio

    def differentiate(g: Any, u: Any, rest: Any, ratio: Any, out: Any) -> None:
        pairs, result = _pairs(g), _pairs(out)
        along = (pairs * u).sum(-2, keepdim=True)
        torch.mul(pairs, ratio, out=result)
        result.addcmul_(rest, along)

    def to_trained(delta: Any, u: Any, *_: Any) -> tuple[Any, ...]:
        return ((_pairs(delta) * u).sum((0, 1, 2)),)

    return Rule(
        apply=lambda z: torch.Tensor.mul_(*scaled(z)),
        differentiate=differentiate,
        read=read,
        plain=lambda z: torch.mul(*scaled(z)).flatten(-2),
        to_trained=to_trained,
    )


# By their names in `recurrence.rules`: each takes the weights of the activation.
TRAINED = {"modrelu": real, "complex modrelu": complex_numbers}


def rule_of(activation: str, trained: Sequence[Any]) -> Rule:
    """The rule of an activation, with its weights."""
    return TRAINED[activation](*trained) if trained else RULES[activation]


def _pairs(z: Any) -> Any:
    """Both parts of each number along an axis of their own."""
    return z.unflatten(-1, (2, -1))


def _modulus(pairs: Any) -> Any:
    # PyTorch takes the root of a sum that it forms in float32 at least, and its
    # gradient is 0 where the norm is.
    return torch.linalg.vector_norm(pairs, dim=-2, keepdim=True)


def _infinite_at_zero(modulus: Any) -> Any:
    """A divisor that gives 0 instead of NaN."""
    return modulus.masked_fill(modulus == 0.0, torch.inf)

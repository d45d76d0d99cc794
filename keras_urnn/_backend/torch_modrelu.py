"""modReLU in the fused recurrence on PyTorch: see `recurrence.rules`."""

from collections.abc import Sequence
from typing import Any

import torch

from keras_urnn._backend.derivatives import ON_SECOND_HALF
from keras_urnn._backend.torch_rules import RULES, Rule, on_second_half


def rule_of(activation: str, trained: Sequence[Any]) -> Rule:
    """The rule of an activation, with its weights."""
    if activation.startswith(ON_SECOND_HALF):
        return on_second_half(RULES[activation.removeprefix(ON_SECOND_HALF)])
    return TRAINED[activation](*trained) if trained else RULES[activation]


def real(bias: Any) -> Rule:
    """`h = sign(z) relu(|z| + b)`; the slope is 1 where `h` is not 0."""
    total = _Total(bias)

    def parts(z: Any) -> tuple[Any, Any]:
        return z.sign(), torch.relu(z.abs() + bias)

    def differentiate(g: Any, h: Any, out: Any) -> None:
        torch.mul(g, h != 0.0, out=out)
        total.add(h.sign().mul_(out))

    return Rule(
        apply=lambda z: torch.mul(*parts(z), out=z),
        differentiate=differentiate,
        plain=lambda z: torch.mul(*parts(z)),
        to_trained=total.result,
    )


def complex_numbers(bias: Any) -> Rule:
    """`h = z relu(1 + b / |z|)` for rows `[Re | Im]`.

    With `u = h / |h|` and `ρ = |h| / |z|` its gradient is `ρ g + (1 - ρ) u ⟨g, u⟩`.
    """
    total, wide = _Total(bias), torch.promote_types(bias.dtype, torch.float32)
    one, tiny = torch.ones_like(bias, dtype=wide), torch.finfo(wide).tiny
    # `|h|`, at least `b`, is known to its rounding only: see `rules._read_complex`.
    rounding = (torch.finfo(bias.dtype).eps * bias.to(wide)).clamp_min(tiny)
    bias = bias.to(wide)

    def apply(z: Any) -> None:
        # At 0 the value is 0 with any finite quotient. No gradient passes here.
        pairs = _pairs(z)
        inverse = _product(pairs.to(wide), pairs.to(wide)).clamp_min_(tiny).rsqrt_()
        scale = torch.addcmul(one, bias, inverse).relu_()
        pairs.mul_(scale.to(z.dtype))

    def plain(z: Any) -> Any:
        pairs = _pairs(z)
        square = _product(pairs.to(wide), pairs.to(wide))
        is_zero = square <= 0.0
        inverse = square.masked_fill(is_zero, torch.inf).rsqrt()
        scale = torch.relu(1.0 + bias * inverse).masked_fill(is_zero, 0.0)
        return (pairs * scale.to(z.dtype)).flatten(-2)

    def differentiate(g: Any, h: Any, out: Any) -> None:
        pairs, of_h, delta = _pairs(g), _pairs(h), _pairs(out)
        square = _product(of_h.to(wide), of_h.to(wide))
        inverse = square.clamp_min(tiny).rsqrt_()
        modulus = square.mul_(inverse)
        of_z = torch.maximum(modulus - bias, rounding)
        ratio = modulus.div_(of_z)
        along = _product(pairs.to(wide), of_h.to(wide)).mul_(inverse)
        total.add(along)
        # The factor of `h`: (1 - ρ) ⟨g, u⟩ / |h|.
        rest = torch.addcmul(along, along, ratio, value=-1.0).mul_(inverse)
        torch.mul(pairs, ratio.to(g.dtype), out=delta)
        delta.addcmul_(of_h, rest.to(g.dtype))

    return Rule(apply, differentiate, plain, total.result)


# By their names in `recurrence.rules`: each takes the weights of the activation.
TRAINED = {"modrelu": real, "complex modrelu": complex_numbers}


def _pairs(z: Any) -> Any:
    """Both parts of each number along an axis of their own."""
    return z.unflatten(-1, (2, -1))


def _product(a: Any, b: Any) -> Any:
    """`Re a Re b + Im a Im b`: much faster than a sum over the axis of the parts."""
    (a_re, a_im), (b_re, b_im) = a.unbind(-2), b.unbind(-2)
    return torch.addcmul(a_re * b_re, a_im, b_im).unsqueeze(-2)


class _Total:
    """The gradient of the bias, one number for each sequence until the end.

    It is added up in each step: what a step has computed is still in the cache.
    """

    def __init__(self, bias: Any) -> None:
        self.bias, self.total = bias, None

    def add(self, one: Any) -> None:
        wide = one.to(torch.promote_types(one.dtype, torch.float32))
        # A copy at first: the next steps are added to it in place.
        self.total = wide.clone() if self.total is None else self.total.add_(wide)

    def result(self) -> tuple[Any, ...]:
        assert self.total is not None  # a sequence has at least one step
        return (self.total.flatten(0, -2).sum(0).to(self.bias.dtype),)

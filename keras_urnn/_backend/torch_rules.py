"""The activations of the fused recurrence on PyTorch, and their gradients, in place."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn.functional import hardsigmoid, hardtanh

aten = torch.ops.aten


class Rule(NamedTuple):
    """An activation, and its gradient read from the state that it gave.

    Attributes:
        apply: `apply(z)` replaces `z` by `h = φ(z)` in place.
        differentiate: `differentiate(g, h, out)` puts `φ'(z) g` in `out`.
        plain: `plain(z)` returns `φ(z)`, in operations that autograd knows. None if
            `apply` does, once.
        to_trained: function without arguments. It returns the gradients of the weights
            of the activation, summed over all calls of `differentiate`. None if there
            are no weights.
    """

    apply: Callable[[Any], Any]
    differentiate: Callable[[Any, Any, Any], Any]
    plain: Callable[[Any], Any] | None = None
    to_trained: Callable[[], tuple[Any, ...]] | None = None


def _inside(low: float, high: float, slope: float) -> Callable[[Any, Any, Any], Any]:
    def differentiate(g: Any, h: Any, out: Any) -> None:
        aten.hardtanh_backward.grad_input(g, h, low, high, grad_input=out)
        if slope != 1.0:
            out.mul_(slope)

    return differentiate


# PyTorch's own gradient rounds the slope to float32 even if the dtype is float64.
_SIXTH = torch.tensor(1.0 / 6.0).item()

RULES = {
    "linear": Rule(lambda z: z, lambda g, h, out: out.copy_(g)),
    "relu": Rule(
        torch.relu_,
        lambda g, h, out: aten.threshold_backward.grad_input(g, h, 0, grad_input=out),
    ),
    "relu6": Rule(
        lambda z: hardtanh(z, 0.0, 6.0, inplace=True), _inside(0.0, 6.0, 1.0)
    ),
    "tanh": Rule(
        torch.tanh_,
        lambda g, h, out: aten.tanh_backward.grad_input(g, h, grad_input=out),
    ),
    "sigmoid": Rule(
        torch.sigmoid_,
        lambda g, h, out: aten.sigmoid_backward.grad_input(g, h, grad_input=out),
    ),
    "hard_tanh": Rule(lambda z: hardtanh(z, inplace=True), _inside(-1.0, 1.0, 1.0)),
    "hard_sigmoid": Rule(
        lambda z: hardsigmoid(z, inplace=True),
        _inside(0.0, 1.0, _SIXTH),
    ),
}


def on_second_half(rule: Rule) -> Rule:
    """An elementwise `φ` on the second half of a state, the identity on the first."""

    def apply(z: Any) -> None:
        rule.apply(z[..., z.shape[-1] // 2 :])

    def differentiate(g: Any, h: Any, out: Any) -> None:
        n = h.shape[-1] // 2
        out[..., :n].copy_(g[..., :n])
        rule.differentiate(g[..., n:], h[..., n:], out[..., n:])

    def plain(z: Any) -> Any:
        first, second = z.chunk(2, dim=-1)
        # A copy: PyTorch lets no part of a tensor that was split be changed in place.
        return torch.cat([first, (rule.plain or rule.apply)(second.clone())], dim=-1)

    return Rule(apply, differentiate, plain)

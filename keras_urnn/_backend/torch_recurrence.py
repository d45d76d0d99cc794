"""The fused recurrence on PyTorch, in buffers that are written in place.

A step of Keras' loop costs as much as ten small operations on PyTorch, and autograd
keeps the result of each of them. If PyTorch traces or transforms operations, and for
derivatives of the gradients, the steps are plain operations that autograd knows.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import hardsigmoid, hardtanh

from keras_urnn._backend import torch_memory
from keras_urnn._backend.torch_modes import rewritten

aten = torch.ops.aten


class Rule(NamedTuple):
    """An activation, and its gradient read from the state that it gave.

    Attributes:
        apply: `apply(z)` replaces `z` by `h = φ(z)` in place.
        differentiate: `differentiate(g, h, out)` puts `φ'(z) g` in `out`.
    """

    apply: Callable[[Any], Any]
    differentiate: Callable[[Any, Any, Any], Any]


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


class Settings(NamedTuple):
    """What `run` takes beside tensors; see `recurrence.schedule.Settings`.

    `differentiable` is whether there may be a backward pass. It is asked before
    `forward`, within which PyTorch does not tell.
    """

    activation: str
    return_sequences: bool
    block: int
    recompute: bool
    differentiable: bool


def run(x: Any, *others: Any) -> tuple[Any, Any]:
    """The states of all steps (None unless wanted) and the last, time first.

    The arguments are those of `_Recurrence.forward`.
    """
    *inputs, mask, settings = (x, *others)
    if rewritten(*inputs):
        states, last = _step_by_step(inputs, mask, settings.activation)
        return torch.stack(states) if settings.return_sequences else None, last
    return _Recurrence.apply(x.contiguous(), *others)


def differentiable(*tensors: Any) -> bool:
    """Whether autograd will want the gradient of any of them."""
    wanted = (one.requires_grad for one in tensors)
    return torch.is_grad_enabled() and any(wanted)


def _blocks(steps: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, steps)) for first in range(0, steps, block)]


def _fill(
    states: Any, x: Any, mask: Any, kernel: Any, bias: Any, matrix: Any, rule: Rule
) -> None:
    """Put the states after `states[0]` in `states[1:]`."""
    flat, features = states[1:].view(-1, states.shape[-1]), x.flatten(0, 1)
    # With one feature the products are those of elements, in half the time of a matrix
    # product (CHANGELOG, 0.4.0).
    project = torch.addcmul if x.shape[-1] == 1 else torch.addmm
    project(bias, features, kernel, out=flat)
    rows = states.unbind(0)
    for t in range(1, len(rows)):
        z = rows[t].addmm_(rows[t - 1], matrix)
        rule.apply(z)
        if mask is not None:
            z.copy_(torch.where(mask[t - 1], z, rows[t - 1]))


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Any,
        kernel: Any,
        bias: Any,
        matrix: Any,
        start: Any,
        mask: Any,
        settings: Settings,
    ) -> tuple[Any, Any]:
        ctx.set_materialize_grads(False)
        steps, batch = x.shape[:2]
        rule = RULES[settings.activation]
        keep = settings.differentiable and not settings.recompute
        whole = keep or settings.return_sequences
        length = steps if whole else min(settings.block, steps)
        shape = (length + 1, batch, matrix.shape[0])
        lent = keep and not settings.return_sequences
        states = torch_memory.lend(matrix, shape) if lent else x.new_empty(shape)
        starts = []
        h = start
        for first, last in _blocks(steps, settings.block):
            if settings.differentiable and not keep:
                starts.append(h.clone())
            offset = first if whole else 0
            rows = states[offset : offset + last - first + 1]
            rows[0].copy_(h)
            inside = None if mask is None else mask[first:last]
            _fill(rows, x[first:last], inside, kernel, bias, matrix, rule)
            h = rows[-1]
        ctx.settings, ctx.starts = settings, starts
        states_kept = states if keep else None
        ctx.save_for_backward(x, kernel, bias, matrix, start, mask, states_kept)
        return states[1:] if settings.return_sequences else None, h.clone()

    @staticmethod
    def backward(ctx: Any, to_states: Any, to_last: Any) -> tuple[Any, ...]:
        reaching = [one for one in (to_states, to_last) if one is not None]
        if torch.is_grad_enabled() or rewritten(*reaching):
            return plain_gradients(ctx, to_states, to_last)
        x, kernel, bias, matrix, _, mask, states = ctx.saved_tensors
        settings, rule = ctx.settings, RULES[ctx.settings.activation]
        (steps, batch), units = x.shape[:2], matrix.shape[0]
        transposed = matrix.t().contiguous()
        block = min(settings.block, steps)
        deltas = x.new_empty(block, batch, units)
        if states is None:
            recomputed = x.new_empty(block + 1, batch, units)
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        sums = [_Sum(weight) for weight in (kernel, bias, matrix)]
        g = x.new_zeros(batch, units) if to_last is None else to_last.clone()
        for i, (first, last) in reversed(list(enumerate(_blocks(steps, block)))):
            inputs = x[first:last]
            inside = None if mask is None else mask[first:last]
            if states is None:
                rows = recomputed[: last - first + 1]
                rows[0].copy_(ctx.starts[i])
                _fill(rows, inputs, inside, kernel, bias, matrix, rule)
            else:
                rows = states[first : last + 1]
            upstream = None if to_states is None else to_states[first:last]
            found = deltas[: last - first]
            g = _walk_back(g, rows, upstream, inside, transposed, rule, found)
            delta = found.view(-1, units)
            features = inputs.flatten(0, 1)
            if to_x is not None:
                torch.mm(delta, kernel.t(), out=to_x[first:last].view(features.shape))
            if ctx.needs_input_grad[1]:
                sums[0].add_product(features, delta)
            if ctx.needs_input_grad[2]:
                sums[1].add(delta.sum(0))
            if ctx.needs_input_grad[3]:
                sums[2].add_product(rows[:-1].view(-1, units), delta)
        return to_x, *(found.result() for found in sums), g, None, None


def plain_gradients(ctx: Any, to_states: Any, to_last: Any) -> Any:
    """The gradients by autograd, step by step; differentiable if autograd is on."""
    *saved, mask, _ = ctx.saved_tensors
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that the gradient of an input leaves out the way through another
        # input that was computed from it.
        inputs = [one.view_as(one) for one in saved]
        states, last = _step_by_step(inputs, mask, ctx.settings.activation)
        given = [] if to_states is None else [(torch.stack(states), to_states)]
        given += [] if to_last is None else [(last, to_last)]
    wanted = [i for i in range(len(inputs)) if ctx.needs_input_grad[i]]
    found = torch.autograd.grad(
        [output for output, _ in given],
        [inputs[i] for i in wanted],
        [gradient for _, gradient in given],
        create_graph=differentiable,
        materialize_grads=True,
    )
    gradients = dict(zip(wanted, found, strict=True))
    return tuple(gradients.get(i) for i in range(7))


def _step_by_step(
    inputs: Sequence[Any], mask: Any, activation: str
) -> tuple[list[Any], Any]:
    """The state after each step, and the last, by operations that autograd knows."""
    x, kernel, bias, matrix, h = inputs
    states = []
    for t, features in enumerate(x.unbind(0)):
        z = RULES[activation].apply(features @ kernel + bias + h @ matrix)
        h = z if mask is None else torch.where(mask[t], z, h)
        states.append(h)
    return states, h


def _walk_back(
    g: Any,
    states: Any,
    upstream: Any,
    mask: Any,
    transposed: Any,
    rule: Rule,
    deltas: Any,
) -> Any:
    """Fill `deltas` from the last step to the first; the gradient of `states[0]`."""
    rows, outs = states.unbind(0), deltas.unbind(0)
    given = None if upstream is None else upstream.unbind(0)
    for t in reversed(range(len(outs))):
        if given is not None:
            g.add_(given[t])
        delta = outs[t]
        rule.differentiate(g, rows[t + 1], delta)
        if mask is None:
            torch.mm(delta, transposed, out=g)
        else:
            delta.masked_fill_(~mask[t], 0.0)
            g = torch.addmm(g.masked_fill_(mask[t], 0.0), delta, transposed)
    return g


class _Sum:
    """The gradient of a weight, summed over the blocks in at least float32."""

    def __init__(self, weight: Any) -> None:
        self.dtype = weight.dtype
        wide = torch.promote_types(weight.dtype, torch.float32)
        self.total = torch.zeros_like(weight, dtype=wide)

    def add(self, value: Any) -> None:
        self.total += value

    def add_product(self, a: Any, b: Any) -> None:
        if self.total.dtype == a.dtype:
            self.total.addmm_(a.t(), b)
        else:
            self.total += a.t() @ b

    def result(self) -> Any:
        return self.total.to(self.dtype)

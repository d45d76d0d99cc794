"""The fused recurrence on PyTorch, in buffers that are written in place.

A step of Keras' loop costs as much as ten small operations on PyTorch, and autograd
keeps the result of each of them. If PyTorch traces or transforms operations, and for
derivatives of the gradients, the steps are plain operations that autograd knows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from keras_urnn._backend import torch_memory
from keras_urnn._backend.torch_modes import rewritten
from keras_urnn._backend.torch_rules import RULES, Rule
from keras_urnn._backend.torch_step_by_step import plain_gradients, states_step_by_step


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
        states, last = states_step_by_step(inputs, mask, settings.activation)
        return torch.stack(states) if settings.return_sequences else None, last
    return _Recurrence.apply(x.contiguous(), *others)


def differentiable(*tensors: Any) -> bool:
    """Whether autograd will want the gradient of any of them."""
    wanted = (one.requires_grad for one in tensors)
    return torch.is_grad_enabled() and any(wanted)


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
        keep = settings.differentiable and not settings.recompute
        whole = keep or settings.return_sequences
        states = _room_for_states(x, matrix, keep, settings)
        starts, h = [], start
        for first, last in _blocks(len(x), settings.block):
            if settings.differentiable and not keep:
                starts.append(h.clone())
            offset = first if whole else 0
            rows = states[offset : offset + last - first + 1]
            inputs = x[first:last], _cut(mask, first, last)
            _fill(rows, h, *inputs, (kernel, bias, matrix), RULES[settings.activation])
            h = rows[-1]
        ctx.settings, ctx.starts = settings, starts
        kept = states if keep else None
        ctx.save_for_backward(x, kernel, bias, matrix, start, mask, kept)
        return states[1:] if settings.return_sequences else None, h.clone()

    @staticmethod
    def backward(ctx: Any, to_states: Any, to_last: Any) -> tuple[Any, ...]:
        reaching = [one for one in (to_states, to_last) if one is not None]
        if torch.is_grad_enabled() or rewritten(*reaching):
            return plain_gradients(ctx, to_states, to_last)
        # Read once: `torch.utils.checkpoint` refuses a second time.
        x, *weights, start, mask, states = ctx.saved_tensors
        rule, transposed = RULES[ctx.settings.activation], weights[2].t().contiguous()
        blocks = _blocks(len(x), ctx.settings.block)
        longest = min(ctx.settings.block, len(x))
        deltas = x.new_empty(longest, *start.shape)
        states_of_block = _StatesOfBlock(states, ctx.starts, weights, rule, longest)
        sums = _Gradients(x, weights, ctx.needs_input_grad)
        g = x.new_zeros(start.shape) if to_last is None else to_last.clone()
        for i, (first, last) in reversed(list(enumerate(blocks))):
            inputs, inside = x[first:last], _cut(mask, first, last)
            rows = states_of_block(i, first, last, inputs, inside)
            given = _cut(to_states, first, last), inside
            delta = deltas[: last - first]
            g = _walk_back(g, rows, *given, transposed, rule, delta)
            sums.add(first, last, inputs, rows, delta)
        return *sums.results(), g, None, None


def _blocks(steps: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, steps)) for first in range(0, steps, block)]


def _cut(tensor: Any, first: int, last: int) -> Any:
    """The rows of a block; None of None."""
    return None if tensor is None else tensor[first:last]


def _room_for_states(x: Any, matrix: Any, keep: bool, settings: Settings) -> Any:
    """A buffer for the initial state, and the states of all steps or of one block."""
    steps, batch = x.shape[:2]
    if not (keep or settings.return_sequences):
        steps = min(settings.block, steps)
    shape = (steps + 1, batch, matrix.shape[0])
    # The caller may keep states that are returned, so their memory can't be lent again.
    lent = keep and not settings.return_sequences
    return torch_memory.lend(matrix, shape) if lent else x.new_empty(shape)


def _fill(
    states: Any, start: Any, x: Any, mask: Any, weights: Sequence[Any], rule: Rule
) -> None:
    """Put the initial state in `states[0]` and the states after it in `states[1:]`."""
    kernel, bias, matrix = weights
    states[0].copy_(start)
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


class _StatesOfBlock:
    """The state before a block and those after its steps, kept or computed again."""

    def __init__(
        self,
        states: Any,
        starts: Sequence[Any],
        weights: Sequence[Any],
        rule: Rule,
        longest: int,
    ) -> None:
        self.states, self.starts = states, starts
        self.weights, self.rule = weights, rule
        if states is None:
            self.buffer = starts[0].new_empty(longest + 1, *starts[0].shape)

    def __call__(self, i: int, first: int, last: int, x: Any, mask: Any) -> Any:
        if self.states is not None:
            return self.states[first : last + 1]
        rows = self.buffer[: last - first + 1]
        _fill(rows, self.starts[i], x, mask, self.weights, self.rule)
        return rows


class _Gradients:
    """The gradients of the inputs and of the weights, block by block.

    `needed` says of each input of the recurrence whether it needs a gradient.
    """

    def __init__(self, x: Any, weights: Sequence[Any], needed: Sequence[bool]) -> None:
        self.kernel_back, self.needed = weights[0].t(), needed
        self.to_x = torch.empty_like(x) if needed[0] else None
        self.sums = [_Sum(weight) for weight in weights]

    def add(self, first: int, last: int, x: Any, rows: Any, deltas: Any) -> None:
        """Add a block, from its inputs, its states and the `δ` of its steps."""
        units, features = deltas.shape[-1], x.flatten(0, 1)
        delta = deltas.view(-1, units)
        if self.to_x is not None:
            out = self.to_x[first:last].view(features.shape)
            torch.mm(delta, self.kernel_back, out=out)
        if self.needed[1]:
            self.sums[0].add_product(features, delta)
        if self.needed[2]:
            self.sums[1].add(delta.sum(0))
        if self.needed[3]:
            self.sums[2].add_product(rows[:-1].view(-1, units), delta)

    def results(self) -> tuple[Any, ...]:
        return self.to_x, *(one.result() for one in self.sums)


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

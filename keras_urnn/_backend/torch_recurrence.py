"""The fused recurrence on PyTorch, in buffers that are written in place.

A step of Keras' loop costs as much as ten small operations on PyTorch, and autograd
keeps the result of each of them. If PyTorch traces or transforms operations, and for
derivatives of the gradients, the steps are plain operations that autograd knows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from keras_urnn._backend import torch_maps, torch_memory
from keras_urnn._backend.torch_gradients import Gradients
from keras_urnn._backend.torch_modes import rewritten
from keras_urnn._backend.torch_modrelu import rule_of
from keras_urnn._backend.torch_step_by_step import plain_gradients, states_step_by_step


class Settings(NamedTuple):
    """What `run` takes beside tensors; see `recurrence.schedule.Settings`.

    `differentiable` is whether there may be a backward pass. It is asked before
    `forward`, within which PyTorch does not tell. `structure` is that of the map from
    state to state, or None. `trained` is the number of the weights of the activation.
    """

    activation: str
    return_sequences: bool
    block: int
    recompute: bool
    differentiable: bool
    structure: Any
    trained: int

    def split(self, tensors: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """The tensors of the map, and the weights of the activation after them."""
        cut = len(tensors) - self.trained
        return tensors[:cut], tensors[cut:]


def run(settings: Settings, mask: Any, x: Any, *others: Any) -> tuple[Any, Any]:
    """The states of all steps (None unless wanted) and the last, time first.

    The arguments are those of `_Recurrence.forward`.
    """
    inputs = (x, *others)
    if rewritten(*inputs):
        states, last = states_step_by_step(inputs, mask, settings)
        return torch.stack(states) if settings.return_sequences else None, last
    return _Recurrence.apply(settings, mask, x.contiguous(), *others)


def differentiable(*tensors: Any) -> bool:
    """Whether autograd will want the gradient of any of them."""
    wanted = (one.requires_grad for one in tensors)
    return torch.is_grad_enabled() and any(wanted)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: Settings,
        mask: Any,
        x: Any,
        kernel: Any,
        bias: Any,
        start: Any,
        *tensors: Any,
    ) -> tuple[Any, Any]:
        ctx.set_materialize_grads(False)
        keep = settings.differentiable and not settings.recompute
        whole = keep or settings.return_sequences
        states = _room_for_states(x, kernel, keep, settings)
        step = _Step(settings, kernel, bias, tensors)
        starts, h = [], start
        for first, last in _blocks(len(x), settings.block):
            if settings.differentiable and not keep:
                starts.append(h.clone())
            offset = first if whole else 0
            rows = states[offset : offset + last - first + 1]
            inputs = x[first:last], _cut(mask, first, last)
            step.fill(rows, h, *inputs)
            h = rows[-1]
        ctx.settings, ctx.starts = settings, starts
        kept = states if keep else None
        ctx.save_for_backward(mask, kept, x, kernel, bias, start, *tensors)
        return states[1:] if settings.return_sequences else None, h.clone()

    @staticmethod
    def backward(ctx: Any, to_states: Any, to_last: Any) -> tuple[Any, ...]:
        reaching = [one for one in (to_states, to_last) if one is not None]
        if torch.is_grad_enabled() or rewritten(*reaching):
            return plain_gradients(ctx, to_states, to_last)
        # Read once: `torch.utils.checkpoint` refuses a second time.
        mask, states, x, kernel, bias, start, *tensors = ctx.saved_tensors
        settings, step = ctx.settings, _Step(ctx.settings, kernel, bias, tensors)
        of_map, _ = settings.split(tensors)
        of = torch_maps.backward(settings.structure, of_map)
        blocks = _blocks(len(x), settings.block)
        longest = min(settings.block, len(x))
        deltas = x.new_empty(longest, *start.shape)
        states_of_block = _StatesOfBlock(states, ctx.starts, step, longest)
        weights, needed = (kernel, bias, *of_map), ctx.needs_input_grad[2:]
        sums = Gradients(settings.structure, x, weights, needed)
        g = x.new_zeros(start.shape) if to_last is None else to_last.clone()
        for i, (first, last) in reversed(list(enumerate(blocks))):
            inputs, inside = x[first:last], _cut(mask, first, last)
            rows = states_of_block(i, first, last, inputs, inside)
            given = _cut(to_states, first, last), inside
            delta = deltas[: last - first]
            g = _walk_back(g, rows, *given, step, of, delta)
            sums.add(first, last, inputs, rows, delta)
        to_x, to_kernel, to_bias, *to_tensors = sums.results()
        to_trained = step.rule.to_trained() if step.rule.to_trained else ()
        return None, None, to_x, to_kernel, to_bias, g, *to_tensors, *to_trained


def _blocks(steps: int, block: int) -> list[tuple[int, int]]:
    return [(first, min(first + block, steps)) for first in range(0, steps, block)]


def _cut(tensor: Any, first: int, last: int) -> Any:
    """The rows of a block; None of None."""
    return None if tensor is None else tensor[first:last]


def _room_for_states(x: Any, kernel: Any, keep: bool, settings: Settings) -> Any:
    """A buffer for the initial state, and the states of all steps or of one block."""
    steps, batch = x.shape[:2]
    if not (keep or settings.return_sequences):
        steps = min(settings.block, steps)
    shape = (steps + 1, batch, kernel.shape[1])
    # The caller may keep states that are returned, so their memory can't be lent again.
    lent = keep and not settings.return_sequences
    return torch_memory.lend(kernel, shape) if lent else x.new_empty(shape)


class _Step:
    """The steps of one recurrence, forwards."""

    def __init__(
        self, settings: Settings, kernel: Any, bias: Any, others: Sequence[Any]
    ) -> None:
        self.kernel, self.bias = kernel, bias
        tensors, trained = settings.split(others)
        self.rule = rule_of(settings.activation, trained)
        self.map = torch_maps.in_place(settings.structure)
        self.of = torch_maps.forward(settings.structure, tensors)

    def fill(self, states: Any, start: Any, x: Any, mask: Any) -> None:
        """Put the initial state in `states[0]`, and those after it in the others."""
        states[0].copy_(start)
        flat, features = states[1:].view(-1, states.shape[-1]), x.flatten(0, 1)
        # With one feature the products are those of elements, in half the time of a
        # matrix product (CHANGELOG, 0.4.0).
        project = torch.addcmul if x.shape[-1] == 1 else torch.addmm
        project(self.bias, features, self.kernel, out=flat)
        rows, add, of, rule = states.unbind(0), self.map.add, self.of, self.rule
        for t in range(1, len(rows)):
            z = add(rows[t], rows[t - 1], of)
            rule.apply(z)
            if mask is not None:
                z.copy_(torch.where(mask[t - 1], z, rows[t - 1]))


def _walk_back(
    g: Any,
    states: Any,
    upstream: Any,
    mask: Any,
    step: _Step,
    of: Any,
    deltas: Any,
) -> Any:
    """Fill `deltas` from the last step to the first; the gradient of `states[0]`.

    `of` is what the map is made of: see `torch_maps.backward`.
    """
    rows, outs = states.unbind(0), deltas.unbind(0)
    given = None if upstream is None else upstream.unbind(0)
    differentiate, back, add_back = step.rule.differentiate, *step.map[1:]
    for t in reversed(range(len(outs))):
        if given is not None:
            g.add_(given[t])
        delta = outs[t]
        if mask is None:
            differentiate(g, rows[t + 1], delta)
            g = back(delta, of, out=g)
        else:
            differentiate(g.masked_fill(~mask[t], 0.0), rows[t + 1], delta)
            g = add_back(g.masked_fill_(mask[t], 0.0), delta, of)
    return g


class _StatesOfBlock:
    """The state before a block and those after its steps, kept or computed again."""

    def __init__(
        self, states: Any, starts: Sequence[Any], step: _Step, longest: int
    ) -> None:
        self.states, self.starts, self.step = states, starts, step
        if states is None:
            self.buffer = starts[0].new_empty(longest + 1, *starts[0].shape)

    def __call__(self, i: int, first: int, last: int, x: Any, mask: Any) -> Any:
        if self.states is not None:
            return self.states[first : last + 1]
        rows = self.buffer[: last - first + 1]
        self.step.fill(rows, self.starts[i], x, mask)
        return rows

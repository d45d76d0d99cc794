"""The fused recurrence in tensor operations, for TensorFlow and JAX."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_urnn._backend.loops import scan, traced_once
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import maps
from keras_urnn.recurrence.backward import Backward, split
from keras_urnn.recurrence.products import (
    projected,
    projected_in_step,
    projects_in_steps,
)
from keras_urnn.recurrence.rules import rule_of
from keras_urnn.recurrence.schedule import Settings, runs_in_halves, settings
from keras_urnn.recurrence.segments import delayed, halves, joined, padded, segments


def run(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor,
    tensors: Sequence[Tensor],
    trained: Sequence[Tensor],
    start: Tensor,
    mask: Tensor | None,
    *,
    structure: maps.Structure | None,
    block: int,
    **options: Any,
) -> tuple[Tensor | None, Tensor]:
    """The states of all steps (None unless wanted) and the last, time first.

    `tensors` are what the map `h R` is made of, `trained` the weights of the
    activation, the options those of `schedule.settings`.
    """
    steps, kernel_and_bias = x.shape[0], ops.concatenate([kernel, bias[None]])
    weights = (kernel_and_bias, *tensors, *trained)
    how = settings(steps, kernel.shape[1], block=block, **options)
    blocks = Blocks(how, structure, len(trained))
    if steps is not None:
        return blocks.run(x, weights, start, mask)
    more, mask = padded(x, mask, block)
    states, last = blocks.run(more, weights, start, mask)
    return None if states is None else states[: ops.shape(x)[0]], last


class Blocks:
    """The recurrence with its own gradient, one block of steps after the other."""

    def __init__(
        self, settings: Settings, structure: maps.Structure | None, trained: int
    ) -> None:
        self.settings, self.structure = settings, structure
        self.rule, self.trained = rule_of(settings.activation), trained

    def run(
        self,
        x: Tensor,
        weights: Sequence[Tensor],
        start: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """The states of all steps (None unless wanted) and the last, time first."""
        # The mask is a tensor with a gradient of 0.
        masks = [] if mask is None else [ops.cast(mask, x.dtype)]
        count = len(weights)

        def with_gradient(x: Tensor, *others: Tensor) -> Any:
            return self._with_gradient(x, others[:count], *others[count:])

        recurrence = ops.custom_gradient(with_gradient)
        if runs_in_halves(weights[0].shape[1]):
            pairs = zip(*(halves(one) for one in (x, start, *masks)), strict=True)
            found = [recurrence(x, *weights, *others) for x, *others in pairs]
            *states, last = (
                ops.concatenate(pair, axis=-2) for pair in zip(*found, strict=True)
            )
        else:
            *states, last = recurrence(x, *weights, start, *masks)
        return states[0] if states else None, last

    def _with_gradient(
        self, x: Tensor, weights: Sequence[Tensor], start: Tensor, *masks: Tensor
    ) -> tuple[tuple[Tensor, ...], Callable[..., Any]]:
        inputs = list(zip(*map(self._cut, (x, *masks)), strict=True))
        if self._is_one_loop(x):
            end, kept, states = self._in_one_loop(start, (x, *masks), weights)
        else:
            end, kept, states = self._in_blocks(start, inputs, weights)

        def gradient(*upstream: Any, **_: Any) -> tuple[Tensor, ...]:
            *to_states, to_last = _shaped_like((*states, end), upstream)
            for tensor in to_states:
                to_last = to_last + tensor[-1]
            at_end = [mask[-1] for mask in masks]
            earlier = [self._cut(delayed(one)) for one in (*masks, *to_states)]
            rows = zip(inputs, kept, *earlier, strict=True)
            cut = [(*row, *more) for row, *more in rows]
            backward = self._backward(weights, masks)
            return backward.gradients(cut, to_last, end, at_end)

        return (*states, end), gradient

    def _backward(self, weights: Sequence[Tensor], masks: Sequence[Tensor]) -> Backward:
        def recompute(start: Tensor, inputs: Sequence[Tensor]) -> Tensor:
            return self._block_states(start, inputs, weights)[1][0]

        given = (self.settings, self.rule, recompute, self.structure)
        return Backward(*given, weights, self.trained, masks)

    def _cut(self, tensor: Tensor) -> list[Tensor]:
        return segments(tensor, self.settings.block, self.settings.apart)

    def _projects_in_steps(self, x: Tensor) -> bool:
        return projects_in_steps(x.shape[-1], self.settings.written_out)

    def _is_one_loop(self, x: Tensor) -> bool:
        in_blocks = self.settings.recompute or self.settings.apart
        return self._projects_in_steps(x) and not in_blocks

    def _in_one_loop(
        self, start: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """What `_in_blocks` returns. XLA writes each state to where it stays."""
        wanted = self.settings.return_sequences
        end, (before, *states) = self._block_states(start, inputs, weights, wanted)
        return end, self._cut(before), states

    def _in_blocks(
        self,
        h: Tensor,
        inputs: Sequence[tuple[Tensor, ...]],
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The last state, what the backward pass reads of each segment, all states.

        The last is a list of one tensor with `return_sequences` and empty without.
        """
        wanted = self.settings.return_sequences

        def block(h: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            end, (before, *after) = self._block_states(h, inputs, weights, wanted)
            return end, (h if self.settings.recompute else before, *after)

        if self.settings.apart:
            block = traced_once(block)
        ahead, found = self.settings.ahead, []
        for segment in inputs:
            h, one = scan(
                block, h, segment, outputs=1 + wanted, stacked=wanted, ahead=ahead
            )
            found.append(one)
        kept, *after = map(list, zip(*found, strict=True))
        return h, kept, [joined(blocks) for blocks in after]

    def _block_states(
        self,
        h: Tensor,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        after: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The state after some steps, the states before and maybe after each of them.

        The backward pass reads the states before the steps. They are outputs beside
        the states after the steps, so that neither is a copy of the other, moved by a
        step. Without a gradient nothing reads them, and they take no memory.
        """
        kernel, *others = weights
        tensors, trained = split(others, self.trained)
        forward = maps.forward(self.structure, tensors, self.settings.written_out)
        x, *masks = inputs
        in_steps = self._projects_in_steps(x)
        rows = (x if in_steps else projected(x, kernel), *masks)

        def step(h: Tensor, row: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            x, *mask = row
            z = projected_in_step(x, kernel) if in_steps else x
            new = self.rule.apply(z + forward(h), trained)
            if mask:
                new = ops.where(mask[0] > 0.0, new, h)
            return new, (h, new) if after else (h,)

        return scan(step, h, rows, outputs=1 + after, inner=True)


def _shaped_like(outputs: Sequence[Tensor], upstream: Any) -> list[Tensor]:
    """The gradients of the outputs, as one list of tensors of their shapes.

    TensorFlow may have lost the static shapes, which the steps are cut by.
    """
    pairs = zip(keras.tree.flatten(upstream), outputs, strict=True)
    return [ops.reshape(tensor, ops.shape(output)) for tensor, output in pairs]

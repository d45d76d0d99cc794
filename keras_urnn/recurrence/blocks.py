"""The fused recurrence in tensor operations, for TensorFlow and JAX."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_urnn._backend import matmul
from keras_urnn._backend.derivatives import derivative
from keras_urnn._backend.loops import runs_side_by_side, scan, writes_out
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.derivatives import DERIVATIVES

_FEW = 4  # features that a step projects by itself
# Up to so many units XLA is faster without a product of its own in each step.
_TINY = 8
# Of such a width, halves of a batch are faster side by side, where that is possible: a
# smaller product is not what takes the time, a larger one takes all cores by itself.
_HALVED = range(65, 257)


class Blocks:
    """The recurrence of `fused_recurrence`, and the settings that it has."""

    def __init__(
        self, activation: str, return_sequences: bool, block: int, recompute: bool
    ) -> None:
        self.activation = keras.activations.get(activation)
        self.differentiate = derivative(activation) or DERIVATIVES[activation]
        self.return_sequences = return_sequences
        self.block = block
        self.recompute = recompute
        self.writes_out = writes_out()

    def run(
        self,
        x: Tensor,
        kernel: Tensor,
        bias: Tensor,
        matrix: Tensor,
        start: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """The states of all steps (None unless wanted) and the last, time first."""
        # The mask is a tensor with a gradient of 0.
        masks = [] if mask is None else [ops.cast(mask, x.dtype)]
        weights = (kernel, bias, matrix)
        recurrence = ops.custom_gradient(self._with_gradient)
        if matrix.shape[0] in _HALVED and runs_side_by_side():
            halves = zip(*(_halves(one) for one in (x, start, *masks)), strict=True)
            found = [recurrence(x, *weights, *others) for x, *others in halves]
            *states, last = (
                ops.concatenate(pair, axis=-2) for pair in zip(*found, strict=True)
            )
        else:
            *states, last = recurrence(x, *weights, start, *masks)
        return states[0] if states else None, last

    def _with_gradient(
        self, x: Tensor, *others: Tensor
    ) -> tuple[tuple[Tensor, ...], Callable[..., Any]]:
        weights, h, masks = others[:3], others[3], others[4:]
        segments = [self._segments(tensor) for tensor in (x, *masks)]
        inputs = list(zip(*segments, strict=True))
        few = 0 < x.shape[-1] <= _FEW and not self.writes_out
        if few and not self.recompute:
            h, kept, states = self._forward_at_once(h, (x, *masks), weights)
        else:
            h, kept, states = self._forward_in_blocks(h, inputs, weights)

        def gradient(*upstream: Any, **_: Any) -> tuple[Tensor, ...]:
            # TensorFlow may have lost the static shapes that the blocks are cut by.
            *to_states, to_last = [
                ops.reshape(tensor, ops.shape(output))
                for tensor, output in zip(
                    keras.tree.flatten(upstream), (*states, h), strict=True
                )
            ]
            given = [self._segments(tensor) for tensor in to_states]
            rows = list(zip(inputs, kept, *given, strict=True))
            return self._backward(rows, to_last, weights, masks)

        return (*states, h), gradient

    def _segments(self, tensor: Tensor) -> list[Tensor]:
        """Cut the first axis into blocks: whole ones, and what is left.

        What is left of a number of steps that is not known yet is blocks of one.
        """
        shape = ops.shape(tensor)
        steps, rest = shape[0], tuple(shape[1:])
        count = steps // self.block
        cut = count * self.block
        whole = ops.reshape(tensor[:cut], (count, self.block, *rest))
        if not isinstance(steps, int):
            return [whole, ops.expand_dims(tensor[cut:], 1)]
        if cut == steps:
            return [whole]
        left = ops.expand_dims(tensor[cut:], 0)
        return [whole, left] if count else [left]

    def _forward_at_once(
        self, start: Tensor, inputs: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, list[tuple[Tensor, ...]], list[Tensor]]:
        """The last state, what `gradient` reads, the states where they are wanted.

        In one loop, where XLA writes each state to where it stays. Inputs of few
        features are projected there too.
        """
        kernel, bias, _ = weights

        def project(x: Tensor) -> Tensor:
            return _few_matmul(x, kernel) + bias

        end, states = self._states(start, inputs, weights, project)
        kept, h = [], start
        for blocks in self._segments(states):
            starts = ops.concatenate([h[None], blocks[:, -1]], axis=0)
            kept.append((starts[:-1], blocks))
            h = starts[-1]
        return end, kept, [states] if self.return_sequences else []

    def _forward_in_blocks(
        self,
        h: Tensor,
        inputs: Sequence[tuple[Tensor, ...]],
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, list[tuple[Tensor, ...]], list[Tensor]]:
        """The same, the inputs of a block projected in one product."""
        stacked = self.return_sequences
        with_states = stacked or not self.recompute

        def block(h: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            end, states = self._block_states(h, inputs, weights)
            return end, (h, states) if with_states else (h,)

        kept = []
        for segment in inputs:
            h, found = scan(block, h, segment, outputs=1 + with_states, stacked=stacked)
            kept.append(found)
        states = [_joined([found[1] for found in kept])] if stacked else []
        if self.recompute:
            kept = [found[:1] for found in kept]
        return h, kept, states

    def _block_states(
        self, h: Tensor, inputs: tuple[Tensor, ...], weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The last state of a block, and all of them."""
        kernel, bias, _ = weights
        x, *masks = inputs
        projected = _flat_matmul(x, kernel) + bias
        return self._states(h, (projected, *masks), weights, lambda z: z)

    def _states(
        self,
        h: Tensor,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        project: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The last state and all states, of inputs that `project` projects."""
        matrix = weights[2]

        def step(h: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            x, *mask = inputs
            new = self.activation(project(x) + self._step_matmul(h, matrix))
            if mask:
                new = ops.where(mask[0] > 0.0, new, h)
            return new, (new,)

        h, (states,) = scan(step, h, inputs, outputs=1, inner=True)
        return h, states

    def _backward(
        self,
        rows: list[tuple[Any, ...]],
        g: Tensor,
        weights: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """The gradients of all arguments, from that of the last state backwards."""
        kernel, _, matrix = weights
        transposed = [ops.transpose(weight) for weight in (kernel, matrix)]
        wide = "float64" if ops.dtype(matrix) == "float64" else "float32"
        sums = tuple(ops.zeros(weight.shape, dtype=wide) for weight in weights)

        def block(carry: Any, row: tuple[Any, ...]) -> tuple[Any, tuple[Tensor]]:
            g, *sums = carry
            count = len(masks) + 1
            inputs, (start, *rest) = row[:count], row[count:]
            x, *inside = inputs
            states = (
                self._block_states(start, inputs, weights)[1]
                if self.recompute
                else rest.pop(0)
            )
            g, delta = self._walk_back(g, states, rest, inside, transposed[1])
            found = (
                _product(x, delta),
                ops.sum(delta, axis=(0, 1)),
                self._matrix_gradient(start, states, delta),
            )
            sums = [a + ops.cast(b, wide) for a, b in zip(sums, found, strict=True)]
            return (g, *sums), (_flat_matmul(delta, transposed[0]),)

        to_x = []
        carry: Any = (g, *sums)
        for inputs, kept, *given in reversed(rows):
            flat = (*inputs, *kept, *given)
            carry, (found,) = scan(block, carry, flat, outputs=1, reverse=True)
            to_x.append(found)
        g, *sums = carry
        to_weights = [ops.cast(a, b.dtype) for a, b in zip(sums, weights, strict=True)]
        to_masks = [ops.zeros_like(mask) for mask in masks]
        return _joined(to_x[::-1]), *to_weights, g, *to_masks

    def _matrix_gradient(self, start: Tensor, states: Tensor, delta: Tensor) -> Tensor:
        """`Σ h_{t-1}ᵀ δ_t`."""
        if self.writes_out:
            # A second product, which costs less than to copy all states but one.
            first = _product(start[None], delta[:1])
            return first + _product(states[:-1], delta[1:])
        before = ops.concatenate([start[None], states[:-1]], axis=0)
        return _product(before, delta)

    def _walk_back(
        self,
        g: Tensor,
        states: Tensor,
        upstream: Sequence[Tensor],
        masks: Sequence[Tensor],
        transposed: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the state before a block, and `δ` of each of its steps."""

        def step(g: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            h, *others = inputs
            if upstream:
                g = g + others[0]
            delta = self.differentiate(g, h)
            if not masks:
                return self._step_matmul(delta, transposed), (delta,)
            inside, zero = others[-1] > 0.0, ops.zeros_like(g)
            delta = ops.where(inside, delta, zero)
            held = ops.where(inside, zero, g)
            return held + self._step_matmul(delta, transposed), (delta,)

        inputs = (states, *upstream, *masks)
        g, (deltas,) = scan(step, g, inputs, outputs=1, reverse=True, inner=True)
        return g, deltas

    def _step_matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """`a @ b`; of few units in a form that XLA joins with what is around it."""
        if b.shape[0] > _TINY or self.writes_out:
            return matmul(a, b)
        return ops.sum(ops.expand_dims(a, -1) * b, axis=-2)


def _halves(tensor: Tensor) -> Iterator[Tensor]:
    """The halves of the batch, the last axis but one; the first may be empty."""
    half = ops.shape(tensor)[-2] // 2
    yield tensor[..., :half, :]
    yield tensor[..., half:, :]


def _flat_matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for `a` with three axes: one product, where TensorFlow makes many."""
    *rows, columns = ops.shape(a)
    return ops.reshape(matmul(ops.reshape(a, (-1, columns)), b), (*rows, b.shape[-1]))


def _few_matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, written out for XLA, which joins its few columns with what follows."""
    columns = (a[:, i : i + 1] * b[i] for i in range(b.shape[0]))
    return sum(columns, start=next(columns))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`Σ a_tᵀ b_t` over the first two axes."""
    a, b = (ops.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (a, b))
    return matmul(ops.transpose(a), b)


def _joined(segments: list[Tensor]) -> Tensor:
    """The blocks of all segments as one axis again."""
    flat = []
    for tensor in segments:
        count, block, *rest = ops.shape(tensor)
        flat.append(ops.reshape(tensor, (count * block, *rest)))
    return flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=0)

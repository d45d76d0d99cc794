"""The fused recurrence in tensor operations, for TensorFlow and JAX."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_urnn._backend import matmul, rounds_products
from keras_urnn._backend.derivatives import derivative
from keras_urnn._backend.loops import runs_side_by_side, scan, writes_out
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.derivatives import DERIVATIVES

_FEW = 4  # features that a step projects by itself
# XLA is faster without a product of its own in each step: up to so many units with any
# batch, up to more where the step has no more than so many multiplications.
_TINY, _SMALL, _SMALL_WORK = 8, 24, 3000
# Of such a width, halves of a batch are faster side by side, where that is possible: a
# smaller product is not what takes the time, a larger one takes all cores by itself.
_HALVED = range(65, 257)


class Blocks:
    """The recurrence of `fused_recurrence`, and the settings that it has."""

    def __init__(
        self,
        activation: str,
        return_sequences: bool,
        block: int,
        recompute: bool,
        apart: bool,
        ahead: bool,
    ) -> None:
        self.activation = keras.activations.get(activation)
        self.differentiate = derivative(activation) or DERIVATIVES[activation]
        self.return_sequences = return_sequences
        self.block = block
        self.recompute = recompute
        self.apart = apart
        self.ahead = ahead
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
        weights = (ops.concatenate([kernel, bias[None]]), matrix)
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
        weights, start, masks = others[:2], others[2], others[3:]
        segments = [self._segments(tensor) for tensor in (x, *masks)]
        inputs = list(zip(*segments, strict=True))
        if self._projects_in_steps(x) and not self.recompute and not self.apart:
            # XLA writes each state of one loop to where it stays.
            end, (before, *states) = self._block_states(
                start, (x, *masks), weights, self.return_sequences
            )
            kept = self._segments(before)
        else:
            end, kept, states = self._forward(start, inputs, weights)

        def gradient(*upstream: Any, **_: Any) -> tuple[Tensor, ...]:
            # TensorFlow may have lost the static shapes that the blocks are cut by.
            *to_states, to_last = [
                ops.reshape(tensor, ops.shape(output))
                for tensor, output in zip(
                    keras.tree.flatten(upstream), (*states, end), strict=True
                )
            ]
            for tensor in to_states:
                to_last = to_last + tensor[-1]
            back = self._through(to_last, end, [mask[-1] for mask in masks])
            earlier = [self._segments(_earlier(one)) for one in (*masks, *to_states)]
            rows = list(zip(inputs, kept, *earlier, strict=True))
            return self._backward(rows, back, weights, masks)

        return (*states, end), gradient

    def _segments(self, tensor: Tensor) -> list[Tensor]:
        """Cut the first axis into blocks: whole ones, and what is left.

        Blocks apart have each a loop of its own. A number of steps that is not known
        yet is one of whole blocks.
        """
        shape = ops.shape(tensor)
        steps, rest = shape[0], tuple(shape[1:])
        if self.apart:
            starts = range(0, steps, self.block)
            return [tensor[i : i + self.block][None] for i in starts]
        count = steps // self.block
        cut = count * self.block
        whole = ops.reshape(tensor[:cut], (count, self.block, *rest))
        if not isinstance(steps, int) or cut == steps:
            return [whole]
        left = ops.expand_dims(tensor[cut:], 0)
        return [whole, left] if count else [left]

    def _projects_in_steps(self, x: Tensor) -> bool:
        return 0 < x.shape[-1] <= _FEW and not self.writes_out

    def _forward(
        self,
        h: Tensor,
        inputs: Sequence[tuple[Tensor, ...]],
        weights: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The last state, what `gradient` reads of each segment, and all states.

        These are wanted with `return_sequences` only: one tensor then, or none.
        """
        wanted = self.return_sequences

        def block(h: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            end, (before, *after) = self._block_states(h, inputs, weights, wanted)
            return end, (h if self.recompute else before, *after)

        found = []
        for segment in inputs:
            h, one = scan(
                block,
                h,
                segment,
                outputs=1 + wanted,
                stacked=wanted,
                ahead=self.ahead,
            )
            found.append(one)
        kept, *after = map(list, zip(*found, strict=True))
        return h, kept, [_joined(blocks) for blocks in after]

    def _block_states(
        self,
        h: Tensor,
        inputs: Sequence[Tensor],
        weights: Sequence[Tensor],
        after: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The state after some steps, the states before and maybe after each of them.

        Nothing reads those before where there is no gradient, so that no memory is
        made for them then, and those after are no copy of them, moved by a step.

        Inputs of few features are projected in the loop, by XLA, others at once.
        """
        kernel, matrix = weights
        x, *masks = inputs
        in_steps = self._projects_in_steps(x)
        projected = x if in_steps else _projected(x, kernel)

        def step(h: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            x, *mask = inputs
            into = _few_projected(x, kernel) if in_steps else x
            new = self.activation(into + self._step_matmul(h, matrix))
            if mask:
                new = ops.where(mask[0] > 0.0, new, h)
            return new, (h, new) if after else (h,)

        return scan(step, h, (projected, *masks), outputs=1 + after, inner=True)

    def _backward(
        self,
        rows: list[tuple[Any, ...]],
        back: tuple[Tensor, ...],
        weights: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """The gradients of all arguments, from the last step backwards."""
        kernel, matrix = weights
        transposed = [ops.transpose(weight) for weight in (kernel[:-1], matrix)]
        wide = "float64" if ops.dtype(matrix) == "float64" else "float32"
        sums = tuple(ops.zeros(weight.shape, dtype=wide) for weight in weights)

        def block(carry: Any, row: tuple[Any, ...]) -> tuple[Any, tuple[Tensor, ...]]:
            back, sums = carry[: len(masks) + 1], carry[len(masks) + 1 :]
            inputs, (kept, *earlier) = row[: len(masks) + 1], row[len(masks) + 1 :]
            if self.recompute:
                _, (states,) = self._block_states(kept, inputs, weights)
            else:
                states = kept
            back, delta = self._walk_back(back, states, earlier, transposed[1])
            # Nothing in the loop waits for these: XLA takes them beside the next one.
            found = (_projected_back(inputs[0], delta), _product(states, delta))
            sums = [a + ops.cast(b, wide) for a, b in zip(sums, found, strict=True)]
            return (*back, *sums), (_flat_matmul(delta, transposed[0]), delta[0])

        to_x = []
        carry: Any = (*back, *sums)
        for inputs, kept, *earlier in reversed(rows):
            flat = (*inputs, kept, *earlier)
            carry, found = scan(
                block, carry, flat, outputs=2, reverse=True, ahead=self.ahead
            )
            to_x.append(found[0])
        # Before the first step nothing is given, and `_earlier` has no mask either: if
        # there is one, all of the gradient is held, and goes to the initial state.
        g = carry[1] if masks else matmul(found[1][0], transposed[1])
        to_weights = [
            ops.cast(a, b.dtype)
            for a, b in zip(carry[-len(sums) :], weights, strict=True)
        ]
        to_masks = [ops.zeros_like(mask) for mask in masks]
        return _joined(to_x[::-1]), *to_weights, g, *to_masks

    def _walk_back(
        self,
        back: tuple[Tensor, ...],
        states: Tensor,
        earlier: Sequence[Tensor],
        transposed: Tensor,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What goes from a block to the one before it, and `δ` of each of its steps.

        Row `t` has the state before step `t`, so that its round takes in `δ_t`, and
        from it makes `δ` of the step before: states and `δ` are rows of one product.
        """

        def step(
            back: tuple[Tensor, ...], inputs: tuple[Tensor, ...]
        ) -> tuple[tuple[Tensor, ...], Any]:
            delta, *held = back
            h, *others = inputs
            mask, upstream = others[: len(held)], others[len(held) :]
            g = sum((*held, *upstream), start=self._step_matmul(delta, transposed))
            return self._through(g, h, mask), (delta,)

        inputs = (states, *earlier)
        back, (deltas,) = scan(step, back, inputs, outputs=1, reverse=True, inner=True)
        return back, deltas

    def _through(
        self, g: Tensor, h: Tensor, mask: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """`δ` of the step that gave `h`; with a mask also what it held, not its own."""
        delta = self.differentiate(g, h)
        if not mask:
            return (delta,)
        inside, zero = mask[0] > 0.0, ops.zeros_like(g)
        return ops.where(inside, delta, zero), ops.where(inside, zero, g)

    def _step_matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """`a @ b`; of few units in a form that XLA joins with what is around it."""
        if self.writes_out or not _is_tiny(a.shape[0], b.shape[0]):
            return matmul(a, b)
        return ops.sum(ops.expand_dims(a, -1) * b, axis=-2)


def _is_tiny(batch: Any, units: int) -> bool:
    # A batch may be unknown, or a symbol that can't be compared.
    work = batch * units**2 if isinstance(batch, int) else math.inf
    return units <= _TINY or (units <= _SMALL and work <= _SMALL_WORK)


def _halves(tensor: Tensor) -> Iterator[Tensor]:
    """The halves of the batch, the last axis but one; the first may be empty."""
    half = ops.shape(tensor)[-2] // 2
    yield tensor[..., :half, :]
    yield tensor[..., half:, :]


def _with_one(x: Tensor) -> Tensor:
    """`x` with a last column of ones, for a kernel whose last row is the bias."""
    ones = ops.ones((*ops.shape(x)[:-1], 1), dtype=x.dtype)
    return ops.concatenate([x, ones], axis=-1)


def _flat_matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` for `a` with three axes: one product, where TensorFlow makes many."""
    *rows, columns = ops.shape(a)
    return ops.reshape(matmul(ops.reshape(a, (-1, columns)), b), (*rows, b.shape[-1]))


def _projected(x: Tensor, kernel: Tensor) -> Tensor:
    """`x K + b`, in one product unless that would round the bias."""
    if rounds_products():
        return _flat_matmul(x, kernel[:-1]) + kernel[-1]
    return _flat_matmul(_with_one(x), kernel)


def _projected_back(x: Tensor, delta: Tensor) -> Tensor:
    """The gradient of the kernel, and of the bias as its last row; likewise."""
    if rounds_products():
        return ops.concatenate([_product(x, delta), ops.sum(delta, axis=(0, 1))[None]])
    return _product(_with_one(x), delta)


def _few_projected(x: Tensor, kernel: Tensor) -> Tensor:
    """`x K + b`, written out for XLA, which joins the few columns with what follows."""
    columns = (x[:, i : i + 1] * kernel[i] for i in range(x.shape[1]))
    return sum(columns, start=kernel[-1])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`Σ a_tᵀ b_t` over the first two axes."""
    a, b = (ops.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (a, b))
    return matmul(ops.transpose(a), b)


def _earlier(tensor: Tensor) -> Tensor:
    """What is given for each step at the step after it; zero at the first."""
    return ops.concatenate([ops.zeros_like(tensor[:1]), tensor[:-1]], axis=0)


def _joined(segments: list[Tensor]) -> Tensor:
    """The blocks of all segments as one axis again."""
    flat = []
    for tensor in segments:
        count, block, *rest = ops.shape(tensor)
        flat.append(ops.reshape(tensor, (count * block, *rest)))
    return flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=0)

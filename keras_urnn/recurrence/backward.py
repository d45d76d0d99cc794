"""The backward pass of the recurrence, derived by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_urnn._backend.loops import scan, traced_once
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import maps
from keras_urnn.recurrence.products import flat_matmul, kernel_gradient
from keras_urnn.recurrence.rules import Rule
from keras_urnn.recurrence.schedule import Settings
from keras_urnn.recurrence.segments import joined

Tensors = Sequence[Tensor]


def split(weights: Tensors, trained: int) -> tuple[Tensors, Tensors]:
    """The tensors of the map, and the weights of the activation after them."""
    cut = len(weights) - trained
    return weights[:cut], weights[cut:]


def passed_on(delta: Tensor, g: Tensor, mask: Tensors) -> tuple[Tensor, ...]:
    """`δ = φ'(z) g` of a step, from the gradient `g` of the state that it gave.

    With a mask also the gradient that passes the step by: `g` where the step is masked
    and the state is that before it, and zero elsewhere.
    """
    if not mask:
        return (delta,)
    inside, zero = mask[0] > 0.0, ops.zeros_like(g)
    return ops.where(inside, delta, zero), ops.where(inside, zero, g)


class Backward:
    """The gradients of one recurrence, from its last step to its first.

    Args:
        settings: those of the forward pass.
        rule: that of the activation.
        recompute: function of the state before a block and of the block's inputs. It
            returns the state before each step of the block.
        structure: that of the map `h R`, or None.
        weights: the kernel with the bias as its last row, the map's tensors, and the
            weights of the activation.
        trained: integer, the number of the last.
        masks: the mask as a tensor of numbers, or an empty list.
    """

    def __init__(
        self,
        settings: Settings,
        rule: Rule,
        recompute: Callable[[Tensor, Tensors], Tensor],
        structure: maps.Structure | None,
        weights: Tensors,
        trained: int,
        masks: Tensors,
    ) -> None:
        self.settings, self.rule = settings, rule
        self.recompute, self.structure = recompute, structure
        self.weights, self.masks = weights, masks
        kernel, *others = weights
        self.tensors, self.trained = split(others, trained)
        self.kernel_back = ops.transpose(kernel[:-1])
        self.back = maps.back(structure, self.tensors, settings.written_out)
        self.wide = "float64" if ops.dtype(kernel) == "float64" else "float32"

    def gradients(
        self,
        segments: Sequence[tuple[Tensor, ...]],
        to_end: Tensor,
        end: Tensor,
        at_end: Tensors,
    ) -> tuple[Tensor, ...]:
        """The gradients of the inputs, the weights, the initial state and the mask.

        Args:
            segments: a tuple for each segment: its inputs, its mask, what the forward
                pass kept of it, and of the step before each of its steps the mask and
                the gradient of that step's output. All are cut into blocks.
            to_end: the gradient of the last state.
            end: the last state.
            at_end: the mask of the last step, or an empty list.
        """
        delta = self.rule.differentiate(to_end, *self._read(end))
        back = passed_on(delta, to_end, at_end)
        sums = tuple(ops.zeros(one.shape, dtype=self.wide) for one in self.weights)
        carry: Any = (back, sums, (end,) if self.trained else ())
        apart, to_x = self.settings.apart, []
        block = traced_once(self._block) if apart else self._block
        for segment in reversed(segments):
            carry, (to_inputs, deltas) = scan(
                block,
                carry,
                segment,
                outputs=2,
                reverse=True,
                ahead=self.settings.ahead,
            )
            to_x.append(to_inputs)
        back, sums, _ = carry
        to_start = self._to_start(back, deltas)
        to_weights = self._to_weights(sums)
        to_masks = [ops.zeros_like(mask) for mask in self.masks]
        return joined(to_x[::-1]), *to_weights, to_start, *to_masks

    def _block(
        self, carry: Any, row: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """One block: add to the gradients of the weights, return that of the inputs.

        The second output is `δ` of the block's first step. If the activation has
        weights, the carry has the state after the block.
        """
        (back, sums, after), masked = carry, len(self.masks)
        inputs, kept, earlier = row[: masked + 1], row[masked + 1], row[masked + 2 :]
        states = self.recompute(kept, inputs) if self.settings.recompute else kept
        back, delta = self._walk_back(back, states, earlier)
        # The loop does not wait for these: XLA computes them beside the next block's.
        to_map = maps.gradients(self.structure, self.tensors, states, delta)
        to_trained = self._to_trained(delta, states, after)
        found = (kernel_gradient(inputs[0], delta), *to_map, *to_trained)
        sums = tuple(
            total + ops.cast(one, self.wide)
            for total, one in zip(sums, found, strict=True)
        )
        after = (states[0],) if self.trained else ()
        return (back, sums, after), (flat_matmul(delta, self.kernel_back), delta[0])

    def _read(self, states: Tensor) -> tuple[Tensor, ...]:
        return self.rule.read(states, self.trained)

    def _to_trained(
        self, delta: Tensor, states: Tensor, after: Tensors
    ) -> tuple[Tensor, ...]:
        """The gradients of the weights of the activation, summed over a block.

        Row `t` of `states` is what the step before `t` gave, so that `δ_t` goes with
        row `t + 1`, and the last `δ` with the state after the block.
        """
        if not self.trained:
            return ()
        parts = [
            self.rule.to_trained(delta[:-1], *self._read(states[1:])),
            self.rule.to_trained(delta[-1:], *self._read(after[0][None])),
        ]
        return tuple(a + b for a, b in zip(*parts, strict=True))

    def _walk_back(
        self, back: tuple[Tensor, ...], states: Tensor, earlier: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What `back` is for the block before this one, and `δ` of each step.

        Row `t` of `states` is the state before step `t`. So the round of step `t` has
        `δ_t` in its carry, and makes `δ_{t-1}` of it. States and `δ` are then rows of
        one product, without a copy that is moved by a step.
        """
        # What is read of them is computed for the whole block where steps are written
        # out, each operation apart; XLA fuses it with the step.
        at_once = self.settings.written_out
        read = self._read(states) if at_once else (states,)
        reads = len(read)

        def step(
            back: tuple[Tensor, ...], row: tuple[Tensor, ...]
        ) -> tuple[tuple[Tensor, ...], Any]:
            delta, *held = back
            others = row[reads:]
            mask, upstream = others[: len(held)], others[len(held) :]
            g = sum((*held, *upstream), start=self.back(delta))
            of_state = row[:reads] if at_once else self._read(row[0])
            earlier_delta = self.rule.differentiate(g, *of_state)
            return passed_on(earlier_delta, g, mask), (delta,)

        rows = (*read, *earlier)
        back, (deltas,) = scan(step, back, rows, outputs=1, reverse=True, inner=True)
        return back, deltas

    def _to_start(self, back: tuple[Tensor, ...], deltas: Tensor) -> Tensor:
        """The gradient of the initial state.

        `delayed` gave the first step a mask of zero before it. So if there is a mask,
        all of the gradient passes that step by.
        """
        return back[1] if self.masks else self.back(deltas[0])

    def _to_weights(self, sums: Sequence[Tensor]) -> list[Tensor]:
        return [
            ops.cast(total, weight.dtype)
            for total, weight in zip(sums, self.weights, strict=True)
        ]

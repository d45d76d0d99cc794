"""The backward pass of the recurrence, derived by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_urnn._backend.loops import scan
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import maps
from keras_urnn.recurrence.products import flat_matmul, kernel_gradient
from keras_urnn.recurrence.schedule import Settings
from keras_urnn.recurrence.segments import joined

# `φ'(z) g` as a function of `g` and `h = φ(z)`.
Differentiate = Callable[[Tensor, Tensor], Tensor]


def through(
    differentiate: Differentiate, g: Tensor, h: Tensor, mask: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """`δ` of the step that gave `h`, from the gradient `g` of `h`.

    With a mask also the gradient that passes the step by: `g` where the step is masked
    and `h` is the state before it, and zero elsewhere.
    """
    delta = differentiate(g, h)
    if not mask:
        return (delta,)
    inside, zero = mask[0] > 0.0, ops.zeros_like(g)
    return ops.where(inside, delta, zero), ops.where(inside, zero, g)


class Backward:
    """The gradients of one recurrence, from its last step to its first.

    Args:
        settings: those of the forward pass.
        differentiate: function of `g` and `h = φ(z)` that returns `φ'(z) g`.
        recompute: function of the state before a block and of the block's inputs. It
            returns the state before each step of the block.
        structure: that of the map `h R`, or None.
        weights: the kernel with the bias as its last row, and the map's tensors.
        masks: the mask as a tensor of numbers, or an empty list.
    """

    def __init__(
        self,
        settings: Settings,
        differentiate: Differentiate,
        recompute: Callable[[Tensor, Sequence[Tensor]], Tensor],
        structure: maps.Structure | None,
        weights: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> None:
        self.settings, self.differentiate = settings, differentiate
        self.recompute, self.structure = recompute, structure
        self.weights, self.masks = weights, masks
        kernel, *tensors = weights
        self.kernel_back = ops.transpose(kernel[:-1])
        self.back = maps.back(structure, tensors, settings.written_out)
        self.wide = "float64" if ops.dtype(kernel) == "float64" else "float32"

    def gradients(
        self, segments: Sequence[tuple[Tensor, ...]], back: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The gradients of the inputs, the weights, the initial state and the mask.

        Args:
            segments: a tuple for each segment: its inputs, its mask, what the forward
                pass kept of it, and of the step before each of its steps the mask and
                the gradient of that step's output. All are cut into blocks.
            back: what `through` returns at the last step.
        """
        sums = tuple(ops.zeros(one.shape, dtype=self.wide) for one in self.weights)
        carry: Any = (back, sums)
        block, to_x = self._block, []
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
        back, sums = carry
        to_start = self._to_start(back, deltas)
        to_weights = self._to_weights(sums)
        to_masks = [ops.zeros_like(mask) for mask in self.masks]
        return joined(to_x[::-1]), *to_weights, to_start, *to_masks

    def _block(
        self, carry: Any, row: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """One block: add to the gradients of the weights, return that of the inputs.

        The second output is `δ` of the block's first step.
        """
        (back, sums), masked = carry, len(self.masks)
        inputs, kept, earlier = row[: masked + 1], row[masked + 1], row[masked + 2 :]
        states = self.recompute(kept, inputs) if self.settings.recompute else kept
        back, delta = self._walk_back(back, states, earlier)
        # The loop does not wait for these: XLA computes them beside the next block's.
        to_map = maps.gradients(self.structure, self.weights[1:], states, delta)
        found = (kernel_gradient(inputs[0], delta), *to_map)
        sums = tuple(
            total + ops.cast(one, self.wide)
            for total, one in zip(sums, found, strict=True)
        )
        return (back, sums), (flat_matmul(delta, self.kernel_back), delta[0])

    def _walk_back(
        self, back: tuple[Tensor, ...], states: Tensor, earlier: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """What `back` is for the block before this one, and `δ` of each step.

        Row `t` of `states` is the state before step `t`. So the round of step `t` has
        `δ_t` in its carry, and makes `δ_{t-1}` of it. States and `δ` are then rows of
        one product, without a copy that is moved by a step.
        """

        def step(
            back: tuple[Tensor, ...], row: tuple[Tensor, ...]
        ) -> tuple[tuple[Tensor, ...], Any]:
            delta, *held = back
            h, *others = row
            mask, upstream = others[: len(held)], others[len(held) :]
            g = sum((*held, *upstream), start=self.back(delta))
            return through(self.differentiate, g, h, mask), (delta,)

        rows = (states, *earlier)
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

"""The gradients of the recurrence on PyTorch, summed block by block."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from keras_urnn._backend.automatic_gradients import pullback

# A CPU differentiates a structured map for so many states at once. The tensors in
# between then stay in its cache: with two layers of `Givens` at 1,024 units that takes
# half the time of all states of a block at once. Chosen by hand between 128 and 8,192.
_ROWS = 256


class Gradients:
    """The gradients of the inputs and of the weights, block by block.

    Args:
        structure: that of the map from state to state, or None.
        x: the inputs.
        weights: the kernel, the bias and the tensors of the map.
        needed: of `x`, of the kernel, the bias, the initial state and the tensors of
            the map, whether each needs a gradient.
    """

    def __init__(
        self, structure: Any, x: Any, weights: Sequence[Any], needed: Sequence[bool]
    ) -> None:
        self.structure = structure
        kernel, _, *self.tensors = weights
        self.kernel_back, self.needed = kernel.t(), needed
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
        if any(self.needed[4:]):
            self._add_to_map(rows[:-1].view(-1, units), delta)

    def _add_to_map(self, h: Any, delta: Any) -> None:
        """The gradient of `h R`, one row for each step and sequence."""
        if self.structure is None:
            self.sums[2].add_product(h, delta)
            return
        rows = len(h) if h.is_cuda else _ROWS
        for pair in zip(h.split(rows), delta.split(rows), strict=True):
            self._add_to_structure(*pair)

    def _add_to_structure(self, h: Any, delta: Any) -> None:
        mapped = partial(self.structure.apply, h)
        found = pullback(lambda tensors: mapped(tuple(tensors)), self.tensors, delta)
        for total, one in zip(self.sums[2:], found, strict=True):
            total.add(one)

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

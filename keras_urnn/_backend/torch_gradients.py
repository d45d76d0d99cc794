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
        settings: those of the recurrence, with the structure of its map.
        rule: that of the activation.
        x: the inputs.
        weights: the kernel, the bias, the tensors of the map and the weights of the
            activation.
        needed: of `x`, of the kernel, the bias, the initial state, the tensors of the
            map and the weights of the activation, whether each needs a gradient.
    """

    def __init__(
        self,
        settings: Any,
        rule: Any,
        x: Any,
        weights: Sequence[Any],
        needed: Sequence[bool],
    ) -> None:
        self.structure, self.rule = settings.structure, rule
        kernel, _, *others = weights
        self.tensors, _ = settings.split(others)
        self.kernel_back, self.needed = kernel.t(), needed
        self.to_x = torch.empty_like(x) if needed[0] else None
        self.sums = [_Sum(weight) for weight in weights]
        self.sums_of_map, self.sums_of_activation = settings.split(self.sums[2:])

    def add(
        self, first: int, last: int, x: Any, rows: Any, read: Any, deltas: Any
    ) -> None:
        """Add a block, from its inputs, its states and the `δ` of its steps.

        `read` is what the rule has read of the states that the steps gave.
        """
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
        _add_each(self.sums_of_activation, self.rule.to_trained(deltas, *read))

    def _add_to_map(self, h: Any, delta: Any) -> None:
        """The gradient of `h R`, one row for each step and sequence."""
        if self.structure is None:
            self.sums_of_map[0].add_product(h, delta)
            return
        rows = len(h) if h.is_cuda else _ROWS
        for pair in zip(h.split(rows), delta.split(rows), strict=True):
            self._add_to_structure(*pair)

    def _add_to_structure(self, h: Any, delta: Any) -> None:
        mapped = partial(self.structure.apply, h)
        found = pullback(lambda tensors: mapped(tuple(tensors)), self.tensors, delta)
        _add_each(self.sums_of_map, found)

    def results(self) -> tuple[Any, ...]:
        return self.to_x, *(one.result() for one in self.sums)


def _add_each(sums: Sequence["_Sum"], found: Sequence[Any]) -> None:
    for total, one in zip(sums, found, strict=True):
        total.add(one)


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

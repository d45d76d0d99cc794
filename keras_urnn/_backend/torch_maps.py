"""The map from one state to the next on PyTorch, in place: see `recurrence.maps`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


def plain(structure: Any, tensors: Sequence[Any]) -> Callable[[Any], Any]:
    """`h R` as a function of `h`, in operations that autograd knows."""
    if structure is not None:
        return lambda h: structure.apply(h, tuple(tensors))
    matrix = tensors[0]
    return lambda h: h @ matrix


def forward(structure: Any, tensors: Sequence[Any]) -> Callable[[Any, Any], Any]:
    """A function of `z` and `h` that adds `h R` to `z` in place, and returns `z`."""
    if structure is not None:
        return lambda z, h: z.add_(structure.apply(h, tuple(tensors)))
    matrix = tensors[0]
    return lambda z, h: z.addmm_(h, matrix)


def back(structure: Any, tensors: Sequence[Any]) -> Callable[[Any, Any, bool], Any]:
    """A function of `δ`, `g` and `add` that returns `δ Rᵀ`, or `g + δ Rᵀ` to `add`.

    It may write the result in `g`.
    """
    if structure is not None:

        def structured(delta: Any, g: Any, add: bool) -> Any:
            moved = structure.apply_transposed(delta, tuple(tensors))
            return g.add_(moved) if add else g.copy_(moved)

        return structured
    transposed = tensors[0].t().contiguous()

    def dense(delta: Any, g: Any, add: bool) -> Any:
        if add:
            return torch.addmm(g, delta, transposed)
        return torch.mm(delta, transposed, out=g)

    return dense

"""The map from one state to the next on PyTorch: see `recurrence.maps`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch


def plain(structure: Any, tensors: Sequence[Any]) -> Callable[[Any], Any]:
    """`h R` as a function of `h`, in operations that autograd knows."""
    if structure is not None:
        return lambda h: structure.apply(h, tuple(tensors))
    matrix = tensors[0]
    return lambda h: h @ matrix


class InPlace(NamedTuple):
    """A map in buffers, with what it is made of as an argument.

    For a matrix these are PyTorch's own functions: at 8 units a step that calls a
    function of Python around each takes 3 to 5 % longer.

    Attributes:
        add: `add(z, h, of)` adds `h R` to `z` in place, and returns `z`.
        back: `back(delta, of, out=g)` puts `δ Rᵀ` in `g`, and returns `g`.
        add_back: `add_back(g, delta, of)` returns `g + δ Rᵀ`.
    """

    add: Callable[..., Any]
    back: Callable[..., Any]
    add_back: Callable[..., Any]


_DENSE = InPlace(torch.Tensor.addmm_, torch.mm, torch.addmm)


def in_place(structure: Any) -> InPlace:
    """The map of a structure, or of a matrix where that is None."""
    if structure is None:
        return _DENSE
    apply, transposed = structure.apply, structure.apply_transposed
    return InPlace(
        lambda z, h, of: z.add_(apply(h, of)),
        lambda delta, of, out: out.copy_(transposed(delta, of)),
        lambda g, delta, of: g + transposed(delta, of),
    )


def forward(structure: Any, tensors: Sequence[Any]) -> Any:
    """What a step is given as `of`: the matrix, or the tensors of a structure."""
    return tensors[0] if structure is None else tuple(tensors)


def backward(structure: Any, tensors: Sequence[Any]) -> Any:
    """What a step back is given as `of`: the transposed matrix, or the tensors."""
    return tensors[0].t().contiguous() if structure is None else tuple(tensors)

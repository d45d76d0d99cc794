"""Whether PyTorch traces or transforms operations instead of just running them."""

from typing import Any

import torch

# PyTorch has no public function for these three questions. The first is what its own
# `autograd.Function.apply` calls.
from torch._C import _are_functorch_transforms_active, _len_torch_dispatch_stack
from torch._C._functorch import is_legacy_batchedtensor
from torch.autograd.forward_ad import unpack_dual


def rewritten(*tensors: Any) -> bool:
    """Whether operations on these tensors are traced or transformed.

    They are within `torch.compile`, `torch.export`, `torch.jit.trace`, `torch.func`,
    `torch.vmap` and batched gradients, within a dispatch mode such as that of fake
    tensors, and in forward-mode derivatives. There a tensor may stand for several
    others. It can't be written into memory that was allocated outside, and its memory
    must not be kept.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    if _are_functorch_transforms_active() or _len_torch_dispatch_stack():
        return True
    return any(
        is_legacy_batchedtensor(one) or unpack_dual(one).tangent is not None
        for one in tensors
    )

"""Memory for the states of PyTorch's recurrence, used again once nothing reads it.

On a processor PyTorch takes the memory of a large tensor from the system and returns it
after use. At each training step the pages are then new to the process, and touching
them takes up to a fifth of the step: see "PyTorch at 512 units" in
docs/performance_in_detail.md. On a GPU PyTorch keeps the memory itself.
"""

import weakref
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

# For each kernel the memory that it was lent and a weak reference to the memory's
# reader. Both go when the kernel does.
_memories = WeakTensorKeyDictionary()


def lend(kernel: Any, shape: tuple[int, ...]) -> Any:
    """An uninitialized tensor of the dtype of `kernel`, on its device.

    Its memory is lent again for the same kernel, shape and dtype as soon as no tensor
    and no NumPy array reads it. Each time it is wrapped in a new NumPy array, the
    reader. PyTorch keeps the reader alive as long as the storage of the tensor made
    from it, which a graph, a view, a detached tensor and a saved-tensor hook all share.
    So the memory is free when the reader is gone, and no caller has to return it.

    Do not use it for tensors that are traced or transformed: see
    `torch_modes.rewritten`.
    """
    if kernel.device.type != "cpu":
        return kernel.new_empty(shape)
    # Removed from the table, so that no other thread takes it at the same time.
    memory, reader = _memories.pop(kernel, (None, None))
    free = memory is not None and reader() is None
    # `Module.to` changes the dtype of the kernel and keeps the object.
    if not free or (memory.shape, memory.dtype) != (shape, kernel.dtype):
        memory = kernel.new_empty(shape)
    array = memory.view(torch.uint8).numpy()  # NumPy has no bfloat16
    _memories[kernel] = memory, weakref.ref(array)
    return torch.from_numpy(array).view(kernel.dtype)

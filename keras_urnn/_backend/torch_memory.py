"""Memory for the states of PyTorch's recurrence, lent again once nothing reads it.

On a processor PyTorch has large tensors from the system each time anew, and gives them
back: memory that a training step must touch first, which takes up to a fifth of the
step. On a GPU PyTorch keeps memory itself.
"""

import weakref
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

# The memory of each recurrent matrix, gone with it, and a reference to its reader.
_memories = WeakTensorKeyDictionary()


def lend(matrix: Any, shape: tuple[int, ...]) -> Any:
    """An uninitialized tensor of the dtype of `matrix`, on its device.

    Its memory is lent again for the same matrix, shape and dtype as soon as no tensor
    and no NumPy array reads it. Each loan is a NumPy array of its own, the reader,
    which PyTorch keeps as long as the storage of the tensor made from it: a graph, a
    view, a detached tensor and a saved-tensor hook all share that storage. So the
    memory is free when the reader is gone. Nothing has to be given back.

    Not for tensors that are traced or transformed: see `torch_modes.rewritten`.
    """
    if matrix.device.type != "cpu":
        return matrix.new_empty(shape)
    # Taken out, so that no other thread finds it at the same time.
    memory, reader = _memories.pop(matrix, (None, None))
    free = memory is not None and reader() is None
    # `Module.to` leaves the matrix the same object, of another dtype.
    if not free or (memory.shape, memory.dtype) != (shape, matrix.dtype):
        memory = matrix.new_empty(shape)
    array = memory.view(torch.uint8).numpy()  # NumPy has no bfloat16
    _memories[matrix] = memory, weakref.ref(array)
    return torch.from_numpy(array).view(matrix.dtype)

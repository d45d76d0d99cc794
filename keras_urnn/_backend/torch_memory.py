"""Memory for the states of PyTorch's fused recurrence, which its next call takes again.

On a processor PyTorch has large tensors from the system each time anew, and gives them
back: memory that a training step must touch first, which costs more than its
activations. On a GPU PyTorch keeps memory itself.
"""

import weakref
from typing import Any

from torch.utils.weak import WeakTensorKeyDictionary

# The memory that nothing reads any more, of each recurrent matrix, and gone with it.
_unused = WeakTensorKeyDictionary()


def lend(matrix: Any, shape: tuple[int, ...]) -> Any:
    """An uninitialized tensor of the dtype of `matrix`, on its device.

    Its memory is lent again for the same matrix, shape and dtype once the tensor is
    gone. So a graph must save this tensor itself, and nothing may keep a view of it for
    longer. (Where a matrix is made anew at each call, as by a mixed dtype policy, the
    memory goes with it.)
    """
    if matrix.device.type != "cpu":
        return matrix.new_empty(shape)
    memory = _unused.pop(matrix, None)
    # `Module.to` leaves the matrix the same object, of another dtype.
    if memory is None or (memory.shape, memory.dtype) != (shape, matrix.dtype):
        memory = matrix.new_empty(shape)
    lent = memory.detach()
    weakref.finalize(lent, _unused.__setitem__, matrix, memory).atexit = False
    return lent

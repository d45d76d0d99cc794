"""The fused recurrence on PyTorch: by cuDNN where it can, else step by step."""

from typing import Any

from keras_urnn._backend import cudnn_recurrence, torch_recurrence
from keras_urnn._backend.torch_recurrence import Settings, differentiable


def run(
    x: Any,
    kernel: Any,
    bias: Any,
    tensors: Any,
    trained: Any,
    start: Any,
    mask: Any,
    *,
    structure: Any,
    activation: str,
    return_sequences: bool,
    block: int,
    recompute: bool,
) -> tuple[Any, Any]:
    """The states of all steps (None unless wanted) and the last, time first."""
    inputs = (x, kernel, bias, start, *tensors, *trained)
    settings = Settings(
        activation,
        return_sequences,
        block,
        recompute,
        differentiable(*inputs),
        structure,
        len(trained),
    )
    on_cudnn = cudnn_recurrence.takes(x, mask, settings)
    module = cudnn_recurrence if on_cudnn else torch_recurrence
    return module.run(settings, mask, *inputs)

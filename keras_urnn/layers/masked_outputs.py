"""What a layer outputs at the steps that a mask skips, the same on each backend."""

from typing import Any

from keras import ops

from keras_urnn.linalg import Tensor


def shown_outputs(
    layer: Any, mask: Tensor, last: Tensor, outputs: Tensor
) -> tuple[Tensor, Tensor]:
    """The last output and those of all steps, zero where there is none to show.

    Backends differ in what a masked step outputs: JAX the state before the first real
    step, where there is no output to repeat, and the last output in spite of
    `zero_output_for_mask` when unrolled.
    """
    shown = ops.flip(mask, axis=1) if layer.go_backwards else mask
    if not layer.zero_output_for_mask:
        shown = ops.cumsum(ops.cast(shown, "int32"), axis=1) > 0
    if layer.return_sequences:
        outputs = ops.where(shown[..., None], outputs, 0.0)
    return ops.where(shown[:, -1:], last, 0.0), outputs

"""The fused recurrence by cuDNN, which runs all steps in a few kernels."""

from collections.abc import Sequence
from typing import Any

import torch

from keras_urnn._backend import full_precision
from keras_urnn._backend.torch_modes import rewritten
from keras_urnn._backend.torch_recurrence import Settings
from keras_urnn._backend.torch_step_by_step import plain_gradients

FUNCTIONS = {"relu": torch.rnn_relu, "tanh": torch.rnn_tanh}


def takes(x: Any, mask: Any, settings: Settings) -> bool:
    """Whether cuDNN can run it: no masks, no recomputed states, no structured map."""
    known = settings.activation in FUNCTIONS
    plain = mask is None and settings.structure is None and not settings.recompute
    return known and plain and on_cudnn(x) and not rewritten(x)


def on_cudnn(x: Any) -> bool:
    """Whether cuDNN computes with this tensor."""
    return bool(x.is_cuda and torch.backends.cudnn.is_acceptable(x))


def run(settings: Settings, mask: Any, *inputs: Any) -> tuple[Any, Any]:
    """What `torch_recurrence.run` returns for the same arguments."""
    return _Recurrence.apply(settings, mask, *inputs)


def _states(inputs: Sequence[Any], activation: str, training: bool) -> tuple[Any, Any]:
    """The states of all steps, and the last."""
    x, kernel, bias, start, matrix = inputs
    parts = (kernel.t(), matrix.t(), bias, torch.zeros_like(bias))
    # cuDNN uses weights without a copy if they lie in one tensor in this order.
    flat = torch.cat([part.reshape(-1) for part in parts])
    pieces = flat.split([part.numel() for part in parts])
    weights = [a.view(b.shape) for a, b in zip(pieces, parts, strict=True)]
    states, last = FUNCTIONS[activation](
        x, start[None], weights, True, 1, 0.0, training, False, False
    )
    return states, last[0]


class _Recurrence(torch.autograd.Function):
    """A node of autograd that holds the graph of cuDNN's forward pass.

    The node runs the backward pass of that graph in full float32: by default PyTorch
    lets cuDNN round to TF32. It also gives second derivatives, which cuDNN lacks.
    """

    @staticmethod
    def forward(
        ctx: Any, settings: Settings, mask: Any, *given: Any
    ) -> tuple[Any, Any]:
        ctx.set_materialize_grads(False)
        needed = [
            settings.differentiable and wanted for wanted in ctx.needs_input_grad[2:]
        ]
        inputs = [
            one.detach().requires_grad_(wanted)
            for one, wanted in zip(given, needed, strict=True)
        ]
        with torch.set_grad_enabled(any(needed)), full_precision():
            outputs = _states(inputs, settings.activation, training=any(needed))
        ctx.settings, ctx.inside = settings, (inputs, outputs)
        ctx.save_for_backward(mask, None, *given)
        states, last = (output.detach() for output in outputs)
        return states if settings.return_sequences else None, last.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
        given = [one for one in upstream if one is not None]
        if torch.is_grad_enabled() or rewritten(*given):
            return plain_gradients(ctx, *upstream)
        inputs, outputs = ctx.inside
        pairs = [
            (output, gradient)
            for output, gradient in zip(outputs, upstream, strict=True)
            if gradient is not None
        ]
        wanted = [i for i, one in enumerate(inputs) if one.requires_grad]
        with full_precision():
            found = torch.autograd.grad(
                [output for output, _ in pairs],
                [inputs[i] for i in wanted],
                [gradient for _, gradient in pairs],
                retain_graph=True,
            )
        gradients = dict(zip(wanted, found, strict=True))
        return None, None, *(gradients.get(i) for i in range(len(inputs)))

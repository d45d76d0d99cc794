"""The recurrence on PyTorch in operations that autograd knows, one step at a time.

It is slow, and runs if PyTorch traces or transforms operations, and for derivatives of
the gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch

from keras_urnn._backend import torch_maps
from keras_urnn._backend.torch_modrelu import rule_of


def states_step_by_step(
    inputs: Sequence[Any], mask: Any, settings: Any
) -> tuple[list[Any], Any]:
    """The state after each step, and the last, by operations that autograd knows."""
    x, kernel, bias, h, *others = inputs
    tensors, trained = settings.split(others)
    rule = rule_of(settings.activation, trained)
    activation = rule.plain or rule.apply
    mapped, states = torch_maps.plain(settings.structure, tensors), []
    for t, features in enumerate(x.unbind(0)):
        z = activation(features @ kernel + bias + mapped(h))
        h = z if mask is None else torch.where(mask[t], z, h)
        states.append(h)
    return states, h


def plain_gradients(ctx: Any, to_states: Any, to_last: Any) -> Any:
    """The gradients by autograd, step by step; differentiable if autograd is on."""
    mask, _, *saved = ctx.saved_tensors
    settings, differentiable = ctx.settings, torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that the gradient of an input leaves out the way through another
        # input that was computed from it.
        inputs = [one.view_as(one) for one in saved]
        states, last = states_step_by_step(inputs, mask, settings)
        given = [] if to_states is None else [(torch.stack(states), to_states)]
        given += [] if to_last is None else [(last, to_last)]
    needed = ctx.needs_input_grad[2:]
    wanted = [i for i, one in enumerate(needed) if one]
    found = torch.autograd.grad(
        [output for output, _ in given],
        [inputs[i] for i in wanted],
        [gradient for _, gradient in given],
        create_graph=differentiable,
        materialize_grads=True,
    )
    gradients = dict(zip(wanted, found, strict=True))
    return None, None, *(gradients.get(i) for i in range(len(inputs)))

"""PyTorch's ways to trace and transform a layer: the numbers of Keras' loop.

After each of them the layer itself predicts and trains as before.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import normal, precision, to_numpy
from tests.layers.turns import Turns

if keras.config.backend() != "torch":
    pytest.skip("PyTorch's modes", allow_module_level=True)
import torch

# A feature for each unit: a layer can be applied to its own states.
BATCH, STEPS, UNITS = 2, 3, 3
# float64 from two ways, some ten roundings each in values of at most ten.
TOLERANCE = 1e-13

LAYERS: dict[str, Callable[[], Any]] = {
    "last": lambda: ku.UnitaryRNN(UNITS, "tanh"),
    "sequences": lambda: ku.ContractiveRNN(
        UNITS, "relu6", max_norm=0.9, return_sequences=True, checkpoint_every=2
    ),
    "structured": lambda: ku.UnitaryRNN(UNITS, "tanh", parametrization=Turns()),
}


def inputs(scale: float = 1.0) -> Any:
    return torch.as_tensor(scale * normal(BATCH, STEPS, UNITS), dtype=torch.float64)


def loss(outputs: Any) -> Any:
    return outputs.square().sum()


def gradients(layer: Any, outputs: Any, **options: Any) -> tuple[Any, ...]:
    weights = [variable.value for variable in layer.trainable_variables]
    return torch.autograd.grad(loss(outputs), weights, **options)


def stateless(layer: Any) -> tuple[list[Any], Callable[[list[Any], Any], Any]]:
    """The weights, and the outputs of one sequence as a function of them."""
    weights = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    return weights, lambda w, x: layer.stateless_call(w, others, x[None])[0]


def each_sequence(layer: Any) -> Any:
    weights, call = stateless(layer)
    gradient = torch.func.grad(lambda w, x: loss(call(w, x)))
    return torch.func.vmap(gradient, in_dims=(None, 0))(weights, inputs())


def all_sequences(layer: Any) -> Any:
    weights, call = stateless(layer)

    def total(w: list[Any]) -> Any:
        return loss(torch.func.vmap(lambda x: call(w, x))(inputs()))

    return torch.func.grad(total)(weights)


def forward_mode(layer: Any) -> Any:
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(inputs(), inputs(2.0))
        return forward_ad.unpack_dual(layer(dual)).tangent


def second_derivatives(layer: Any) -> Any:
    x = inputs().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(layer(x)), x, create_graph=True)
    return gradients(layer, gradient)


def of_its_own_outputs(layer: Any) -> Any:
    """The gradients to differentiate, of inputs that depend on the same weights."""
    x = inputs()
    outputs = layer(x + layer(x).reshape(BATCH, -1, UNITS)[:, -1:])
    return gradients(layer, outputs, create_graph=True)


def checkpointed(layer: Any, reentrant: bool) -> Any:
    x = inputs().requires_grad_()
    checkpoint = torch.utils.checkpoint.checkpoint
    outputs = checkpoint(layer, x, use_reentrant=reentrant)
    loss(outputs).backward()
    found = [variable.value.grad for variable in layer.trainable_variables]
    for variable in layer.trainable_variables:
        variable.value.grad = None
    return [x.grad, *found]


def two_graphs(layer: Any) -> Any:
    outputs = [layer(inputs()), layer(inputs(2.0))]
    return [found for each in outputs for found in gradients(layer, each)]


def twice_through_one_graph(layer: Any) -> Any:
    outputs = layer(inputs())
    first = gradients(layer, outputs, retain_graph=True)
    gradients(layer, layer(inputs(2.0)))
    return [*first, *gradients(layer, outputs)]


def hooked(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Any:
    """The gradients where a hook has kept what was saved in its own way."""

    def run(layer: Any) -> Any:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            outputs = layer(inputs())
        gradients(layer, layer(inputs(2.0)))
        return gradients(layer, outputs)

    return run


def jacobian(layer: Any, **options: Any) -> Any:
    return torch.autograd.functional.jacobian(layer, inputs(), **options)


func = torch.func
MODES: dict[str, Callable[[Any], Any]] = {
    "jacobian": jacobian,
    "batched gradients": lambda layer: jacobian(layer, vectorize=True),
    "forward-mode jacobian": lambda layer: jacobian(
        layer, vectorize=True, strategy="forward-mode"
    ),
    "jacrev": lambda layer: func.jacrev(layer)(inputs()),
    "jacfwd": lambda layer: func.jacfwd(layer)(inputs()),
    "jvp": lambda layer: func.jvp(layer, (inputs(),), (inputs(2.0),)),
    "forward mode": forward_mode,
    "vmap": lambda layer: func.vmap(layer)(torch.stack([inputs(), inputs(2.0)])),
    "grad": lambda layer: func.grad(lambda x: loss(layer(x)))(inputs()),
    "hessian": lambda layer: func.hessian(lambda x: loss(layer(x)))(inputs()),
    "grad of each sequence": each_sequence,
    "grad of vmap": all_sequences,
    "second derivatives": second_derivatives,
    "of its own outputs": of_its_own_outputs,
    "checkpoint": lambda layer: checkpointed(layer, reentrant=False),
    "reentrant checkpoint": lambda layer: checkpointed(layer, reentrant=True),
    "two graphs": two_graphs,
    "one graph twice": twice_through_one_graph,
    "detached": hooked(lambda t: t.detach(), lambda t: t),
    "cloned": hooked(lambda t: t.clone(), lambda t: t),
    "viewed": hooked(lambda t: t.detach().view_as(t), lambda t: t),
    "in numpy": hooked(lambda t: t.detach().numpy(), torch.from_numpy),
}


def flat(found: Any) -> list[Any]:
    if isinstance(found, tuple | list):
        return [tensor for each in found for tensor in flat(each)]
    return [to_numpy(found.detach())]


def built(make: Callable[[], Any]) -> tuple[Any, Any]:
    """A layer, and Keras' loop over its cell."""
    layer = make()
    loop = keras.layers.RNN(layer.cell, return_sequences=layer.return_sequences)
    for each in (layer, loop):
        each.build((BATCH, STEPS, UNITS))
    return layer, loop


def state_of(layer: Any) -> list[Any]:
    """What a prediction and a training step would see."""
    outputs = layer(inputs())
    return flat([outputs, *gradients(layer, outputs)])


def assert_same(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


# 2026-11-29: PyTorch 2.13 calls its own deprecated function in forward mode.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_numbers_of_keras_loop(
    mode: Callable[[Any], Any], make: Callable[[], Any]
) -> None:
    with precision("float64"):
        layer, loop = built(make)
        before = state_of(layer)
        assert_same(flat(mode(layer)), flat(mode(loop)))
        assert_same(state_of(layer), before)


def compiled(layer: Any) -> Any:
    outputs = torch.compile(layer, backend="eager", fullgraph=True)(inputs())
    return [outputs, *gradients(layer, outputs)]


def exported(layer: Any) -> Any:
    x, module = inputs(), torch.nn.Sequential(layer)
    outputs = torch.export.export(module, (x,), strict=False).module()(x)
    return [outputs, *gradients(layer, layer(x))]


def faked(layer: Any) -> Any:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        layer(mode.from_tensor(inputs()))
    return [layer(inputs()), *gradients(layer, layer(inputs()))]


TRACES = {"compiled": compiled, "exported": exported, "fake tensors": faked}


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_the_numbers_that_are_not_traced(trace: Callable[[Any], Any]) -> None:
    with precision("float64"):
        # Traced before it ever ran: all that it keeps would be of the trace.
        layer, loop = built(LAYERS["last"])
        assert_same(flat(trace(layer)), state_of(loop))
        assert_same(state_of(layer), state_of(loop))


# 2026-11-29: PyTorch 2.13 says so of each weight that is a view.
@pytest.mark.filterwarnings("ignore:No complete tensor found")
def test_an_exported_model_goes_on_training(tmp_path: Path) -> None:
    layer = ku.UnitaryRNN(UNITS, "tanh")
    model = keras.Sequential([keras.Input((STEPS, UNITS)), layer])
    model.compile("sgd", "mse")
    # A batch of one: what the file is made for.
    x, y = inputs().float()[:1], torch.ones(1, UNITS)
    before = model.evaluate(x, y, verbose=0)
    model.export(tmp_path / "model.pt2", format="torch", verbose=False)
    assert model.train_on_batch(x, y) == before
    assert model.evaluate(x, y, verbose=0) < before


@pytest.mark.parametrize("activation", ["relu", "relu6", "hard_tanh", "hard_sigmoid"])
def test_one_derivative_at_the_kinks(activation: str) -> None:
    kinks = [0.0, 6.0, 1.0, -1.0, 3.0, -3.0]
    layer = ku.UnitaryRNN(len(kinks), activation)
    layer.build((1, 1, 2))
    layer.cell.bias.assign(kinks)
    x = torch.zeros(1, 1, 2)
    one_by_one, batched = (
        torch.autograd.functional.jacobian(layer, x, vectorize=vectorize)
        for vectorize in (False, True)
    )
    np.testing.assert_array_equal(to_numpy(batched), to_numpy(one_by_one))

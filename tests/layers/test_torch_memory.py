"""On PyTorch the states of a training step take the memory of the step before."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from tests.helpers import BATCH, FEATURES, STEPS, UNITS, Array, normal, to_numpy


@pytest.fixture(autouse=True)
def lent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the memory lies that each call is lent."""
    if keras.config.backend() != "torch":
        pytest.skip("PyTorch's memory")
    from keras_urnn._backend import torch_memory

    addresses: list[int] = []
    lend = torch_memory.lend

    def spy(*arguments: Any) -> Any:
        memory = lend(*arguments)
        addresses.append(memory.data_ptr())
        return memory

    monkeypatch.setattr(torch_memory, "lend", spy)
    return addresses


def built(**options: Any) -> Any:
    layer = ku.UnitaryRNN(UNITS, **options)
    layer.build((BATCH, STEPS, FEATURES))
    return layer


def loss_of(layer: Any, seed: int) -> Any:
    x = ops.convert_to_tensor(normal(BATCH, STEPS, FEATURES, seed=seed))
    return ops.sum(ops.square(layer(x)))


def gradient(layer: Any, loss: Any, **options: Any) -> Array:
    weight = layer.cell.recurrent_kernel.value
    weight.grad = None
    loss.backward(**options)
    return to_numpy(weight.grad).copy()


def kept() -> list[Any]:
    from keras_urnn._backend import torch_memory

    gc.collect()
    return [memory for memory, _ in torch_memory._memories.values()]


def test_the_next_step_takes_the_memory_again(lent: list[int]) -> None:
    layer = built()
    for seed in range(3):
        gradient(layer, loss_of(layer, seed))
    assert len(lent) == 3
    assert len(set(lent)) == 1


def test_two_graphs_at_once(lent: list[int]) -> None:
    layer = built()
    alone = [gradient(layer, loss_of(layer, seed)) for seed in (0, 1)]
    losses = [loss_of(layer, seed) for seed in (0, 1)]
    assert lent[2] != lent[3]
    for loss, expected in zip(losses, alone, strict=True):
        np.testing.assert_array_equal(gradient(layer, loss), expected)


def test_a_graph_that_is_kept_keeps_its_states(lent: list[int]) -> None:
    layer = built()
    loss = loss_of(layer, 0)
    first = gradient(layer, loss, retain_graph=True)
    gradient(layer, loss_of(layer, 1))
    assert lent[0] != lent[1]
    np.testing.assert_array_equal(gradient(layer, loss), first)


def test_a_graph_that_is_gone_gives_back(lent: list[int]) -> None:
    layer = built()
    for seed in range(2):
        loss_of(layer, seed)  # no gradient is ever taken
    assert lent[0] == lent[1]


def test_outputs_stay_as_they_are(lent: list[int]) -> None:
    layer = built(return_sequences=True)
    x = ops.convert_to_tensor(normal(BATCH, STEPS, FEATURES))
    outputs = layer(x)
    before = to_numpy(outputs).copy()
    layer(-x)
    np.testing.assert_array_equal(to_numpy(outputs), before)
    assert not lent


def test_one_memory_for_a_matrix_as_long_as_it_lives() -> None:
    others = len(kept())
    layer = built()
    for batch in (BATCH, 1):
        x = ops.convert_to_tensor(normal(batch, STEPS, FEATURES))
        ops.sum(layer(x)).backward()
    assert len(kept()) == others + 1
    assert kept()[-1].shape == (STEPS + 1, 1, UNITS)
    del layer, x
    assert len(kept()) == others


def test_a_matrix_that_changes_its_dtype_gets_other_memory() -> None:
    import torch

    from keras_urnn._backend import torch_memory

    module = torch.nn.Linear(3, 3)
    for dtype in (torch.float32, torch.float64):
        module.to(dtype)
        assert torch_memory.lend(module.weight, (2, 1, 3)).dtype == dtype


READERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda lent: lent,
    "detached": lambda lent: lent.detach(),
    "a view": lambda lent: lent.view(-1)[3:],
    "its storage": lambda lent: lent.untyped_storage(),
    "an array": lambda lent: lent.numpy()[1:],
    "dlpack": lambda lent: lent.__dlpack__(),
    "a loan in a thread": lambda lent: in_a_thread(lambda: lent[0]),
}


def in_a_thread(run: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_read_is_not_lent(read: Callable[[Any], Any]) -> None:
    import torch

    from keras_urnn._backend import torch_memory

    matrix = torch.eye(3)
    lent = torch_memory.lend(matrix, (2, 1, 3))
    address, reader = lent.data_ptr(), read(lent)
    del lent
    other = torch_memory.lend(matrix, (2, 1, 3))
    assert other.data_ptr() != address
    del reader
    # Of the two the memory of the last loan is kept.
    address = other.data_ptr()
    del other
    assert torch_memory.lend(matrix, (2, 1, 3)).data_ptr() == address


def test_nothing_is_kept_without_a_gradient(lent: list[int]) -> None:
    import torch

    layer, others = built(), len(kept())
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            loss_of(layer, 0)
    assert not lent
    assert len(kept()) == others
    assert np.all(np.isfinite(gradient(layer, loss_of(layer, 0))))
    assert lent

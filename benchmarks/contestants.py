"""Who takes part: one row for each contestant, and the modes it is run in.

A contestant is a function that makes a recurrent layer of `units` units; a further one
is a further row. Rows of other kinds name a class of `trial.py` that knows them.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from projections import BACKENDS, plain_svd
from shapes import Shape

CHECKPOINT_EVERY = 56  # between the root of 784 steps and that of 10,000

# Under PyTorch `jit_compile` is torch.compile, which unrolls the loop over the steps.
JIT = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}


class Contestant(NamedTuple):
    """What is timed, and where."""

    name: str
    layer: Callable[..., Any] | None = None
    kind: str = "KerasTrial"  # the class in `trial.py`
    backends: tuple[str, ...] = BACKENDS
    shapes: tuple[str, ...] | None = None  # None: each
    flushed: bool = False  # also with denormals flushed, on PyTorch


class Entry(NamedTuple):
    """A contestant in one mode."""

    contestant: str
    jit_compile: bool
    flush_denormals: bool


def simple_rnn(units: int, **arguments: Any) -> Any:
    import keras

    # Our layers' start: an orthogonal matrix, so all work on numbers of one scale.
    return keras.layers.SimpleRNN(
        units, activation="relu", recurrent_initializer="orthogonal", **arguments
    )


def svd_rnn(units: int, **arguments: Any) -> Any:
    return simple_rnn(units, recurrent_constraint=plain_svd, **arguments)


def lstm(units: int, **arguments: Any) -> Any:
    import keras

    return keras.layers.LSTM(units, **arguments)


def unitary_rnn(units: int, **arguments: Any) -> Any:
    import keras_urnn as ku

    return ku.UnitaryRNN(units, **arguments)


def contractive_rnn(units: int, **arguments: Any) -> Any:
    import keras_urnn as ku

    return ku.ContractiveRNN(units, **arguments)


def rnn_of_cell(units: int, **arguments: Any) -> Any:
    import keras

    import keras_urnn as ku

    return keras.layers.RNN(ku.UnitaryRNNCell(units), **arguments)


def checkpointed_rnn(units: int, **arguments: Any) -> Any:
    return unitary_rnn(units, checkpoint_every=CHECKPOINT_EVERY, **arguments)


def bfloat16_rnn(units: int, **arguments: Any) -> Any:
    return unitary_rnn(units, dtype="mixed_bfloat16", **arguments)


CONTESTANTS = {
    row.name: row
    for row in (
        Contestant("SimpleRNN", simple_rnn, flushed=True),
        Contestant("SimpleRNN, plain SVD", svd_rnn),
        Contestant("LSTM", lstm),
        Contestant("UnitaryRNN", unitary_rnn, flushed=True),
        Contestant("ContractiveRNN", contractive_rnn, flushed=True),
        Contestant("RNN(UnitaryRNNCell)", rnn_of_cell),
        Contestant(
            f"UnitaryRNN, checkpoint_every={CHECKPOINT_EVERY}",
            checkpointed_rnn,
            shapes=("pmnist", "wide", "long"),
        ),
        Contestant(
            "UnitaryRNN, mixed_bfloat16",
            bfloat16_rnn,
            backends=("tensorflow",),
            shapes=("half precision",),
        ),
        Contestant(
            "torch.nn.RNN", kind="TorchRNNTrial", backends=("torch",), flushed=True
        ),
        Contestant("geotorch", kind="GeotorchTrial", backends=("torch",), flushed=True),
        Contestant("matrix product", kind="ProductTrial"),
    )
}
QUICK = ("SimpleRNN", "UnitaryRNN", "matrix product")
OURS = ("UnitaryRNN", "ContractiveRNN")  # as layers


def entries(
    backend: str, shape: Shape, names: tuple[str, ...] | None = None
) -> Iterator[Entry]:
    """Yield who starts on a backend and a shape, in each mode."""
    for row in CONTESTANTS.values():
        if names is not None and row.name not in names:
            continue
        if backend not in row.backends:
            continue
        if row.shapes is not None and shape.name not in row.shapes:
            continue
        for jit in JIT[backend]:
            yield Entry(row.name, jit, False)
        if backend == "torch" and row.flushed and names != QUICK:
            yield Entry(row.name, False, True)

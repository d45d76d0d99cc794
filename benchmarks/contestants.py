"""Who is timed, on which problems: one row for each contestant and each shape.

A contestant is a function that makes a recurrent layer of `units` units; a further one
is a further row. Rows of other kinds name a class of `keras_trial.py` or of
`torch_trial.py` that knows them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from measuring import BACKENDS

CLASSES = 10
LEARNING_RATE = 1e-4
STREAMED = 50  # steps of a round
SEED = 0
CHECKPOINT_EVERY = 56  # between the root of 784 steps and that of 10,000

# Under PyTorch `jit_compile` is torch.compile, which unrolls the loop over the steps.
JIT = {"tensorflow": (False, True), "jax": (True,), "torch": (False,)}


class Shape(NamedTuple):
    """A batch of sequences, and the layers that it goes through."""

    name: str
    units: int
    batch: int
    steps: int  # length of a sequence
    features: int
    layers: int = 1
    per_round: int = 1  # steps of the optimizer timed together, fewer if they are slow


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("small", 8, 10, 1000, 2, per_round=60),
        Shape("pmnist", 128, 128, 784, 1, per_round=4),
        Shape("wide", 512, 128, 784, 1),
        Shape("long", 64, 16, 10_000, 1),
    )
}
HALF_PRECISION = SHAPES["wide"]._replace(name="half precision")
QUICK_SHAPE = Shape("quick", 4, 3, 12, 2, per_round=2)

# One size at a time grows from here.
BASE = Shape("base", 64, 32, 256, 1, per_round=2)
GROWTH = {
    "units": (8, 64, 128, 256, 512, 1024),
    "steps": (16, 64, 256, 1024),
    "batch": (1, 8, 32, 128, 512),
    "layers": (1, 2, 4),
}


def grown(axis: str, value: int, base: Shape = BASE) -> Shape:
    """Return `base` with one of its sizes replaced."""
    return base._replace(name=f"{axis} {value}", **{axis: value})


def data(shape: Shape) -> tuple[Any, Any]:
    """Return the inputs and classes of one round."""
    rng = np.random.default_rng(SEED)
    samples = shape.batch * shape.per_round
    x = rng.random((samples, shape.steps, shape.features), dtype="float32")
    return x, rng.integers(0, CLASSES, samples)


class Contestant(NamedTuple):
    """What is timed, and where."""

    name: str
    layer: Callable[..., Any] | None = None
    kind: str = "KerasTrial"  # the class that times it
    backends: tuple[str, ...] = tuple(BACKENDS)
    shapes: tuple[str, ...] | None = None  # of `recurrence.py`; None: each
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


def plain_svd(w: Any) -> Any:
    """The projection as one would write it at first."""
    from keras import ops

    u, _, vt = ops.svd(ops.convert_to_tensor(w), full_matrices=False)
    return ops.matmul(u, vt)


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


def mapped_rnn(parametrization: str) -> Callable[..., Any]:
    """Return what makes a layer whose matrix is computed, by the name of the map."""
    return partial(unitary_rnn, parametrization=parametrization)


# What `parametrizations.py` compares: PyTorch's maps and geotorch's, and ours for each.
PEERS = {
    "torch, matrix_exp": "UnitaryRNN, exponential",
    "torch, cayley": "UnitaryRNN, cayley",
    "torch, householder": "UnitaryRNN, householder",
    "geotorch": "UnitaryRNN, exponential",
}

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
        *(
            Contestant(f"UnitaryRNN, {name}", mapped_rnn(name), shapes=())
            for name in ("exponential", "cayley", "householder")
        ),
        *(
            Contestant(
                f"torch, {name}",
                kind=kind,
                backends=("torch",),
                shapes=(),
                flushed=True,
            )
            for name, kind in (
                ("matrix_exp", "MatrixExponentialTrial"),
                ("cayley", "CayleyTrial"),
                ("householder", "HouseholderTrial"),
            )
        ),
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

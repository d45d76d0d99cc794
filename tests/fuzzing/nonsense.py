"""Values that hardly any argument should be: what users, files and bugs pass."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import scipy.sparse
from keras import ops

import keras_urnn as ku
from tests.fuzzing.draws import Draw, fixed


def any_value(draw: Draw) -> Any:
    """Make one value of one of the kinds below, each kind as often as the others."""
    return draw.pick(draw.pick(KINDS))(draw)


def _values(*values: Any) -> list[Callable[[Draw], Any]]:
    return [fixed(value) for value in values]


PLAIN = _values(
    *(None, True, False, ..., NotImplemented, int, float, len, object(), slice(3)),
    *("", "relu", "1.0", "junk", "é\x00", "x" * 10_000, b"relu", bytearray(b"ab")),
    datetime.date(2020, 1, 1),
    datetime.timedelta(seconds=1),
    SimpleNamespace(state_size=2, name="state"),
    SimpleNamespace(units=2, state_size=2, built=True, weights=[], name="look-alike"),
)
INTEGERS = _values(
    *(0, 1, 2, 3, 7, -1, -2, 64, 10**6, 10**9, 2**31, 2**63, 10**12, -(10**12)),
    *(10**30, 10**400, -(10**400)),
    *(np.int8(3), np.int64(3), np.uint8(200), np.uint64(2**64 - 1), np.bool_(True)),
)
REALS = _values(
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 3.0, 1e-320, 1e-40, 1e10, 1e39, 1e300, 1.7e308),
    *(np.inf, -np.inf, np.nan, Fraction(1, 3), Fraction(10**400, 3)),
    *(Decimal("0.5"), Decimal("NaN"), Decimal("1e400")),
    *(np.float16(0.5), np.float32(2.0), np.float64("nan"), np.longdouble("1e4000")),
)
NOT_REAL = _values(
    *(1j, 1 + 2j, complex("nan"), np.complex64(1 + 1j)),
    *(np.datetime64("2020"), np.timedelta64(1, "s"), np.datetime64("NaT")),
)


def _nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def _own_member() -> list[Any]:
    found: list[Any] = [1.0]
    found.append(found)
    return found


COLLECTIONS = [
    *_values((), [], [1.0], [1.0, 2.0], (1, 2), [[1.0], [2.0, 3.0]], [None], ["a"]),
    *_values([1j, 2.0], [True, False], [np.nan, 1.0], [10**400, 1.0], [[]], [[[]]]),
    *_values({}, {"a": 1}, {1: 2}, {None: None}, {"class_name": "x", "config": {}}),
    *_values(set(), {1.0, 2.0}, frozenset([1]), range(3)),
    lambda draw: (float(i) for i in range(3)),
    lambda draw: iter([]),
    lambda draw: _nested(3),
    lambda draw: _nested(70),
    lambda draw: _own_member(),
    lambda draw: [any_array(draw) for _ in range(draw.below(4))],
    lambda draw: [any_value(draw) for _ in range(draw.below(4))],
    lambda draw: {"x": any_array(draw), "y": any_value(draw)},
]

SHAPES = [(), (0,), (1,), (2,), (3,), (2, 2), (3, 3), (2, 3), (0, 3), (3, 0), (2, 0, 3)]
SHAPES += [(2, 3, 2), (1, 1, 1), (2, 2, 2), (4, 6, 3), (1, 2, 3, 2), (0, 0, 0)]
NUMBER_TYPES = ["float16", "float32", "float64", "longdouble", "int8", "int64"]
NUMBER_TYPES += ["uint8", "uint64", "bool", "complex64", "complex128"]
ENTRIES = [np.nan, np.inf, -np.inf, 0.0, 1e300, 1e39, 1e-320, -1e30]


def any_array(draw: Draw) -> Any:
    """Make an array of random shape and dtype, often with a special entry."""
    values = draw.pick([1e-30, 1.0, 1.0, 1e4, 1e30]) * draw.normal(*draw.pick(SHAPES))
    with np.errstate(all="ignore"):
        if values.size and values.ndim and draw.chance(0.4):
            values.flat[draw.below(values.size)] = draw.pick(ENTRIES)
        return values.astype(draw.pick(NUMBER_TYPES))


def _of_objects(draw: Draw) -> Any:
    found = np.empty(3, dtype=object)
    for i in range(3):
        found[i] = any_value(draw) if draw.chance(0.3) else 1.0
    return found


def _masked(draw: Draw) -> Any:
    values = draw.normal(2, 3, 2)
    return np.ma.masked_array(values, mask=values > 0.0)


def _structured(draw: Draw) -> Any:
    return np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])


ARRAYS = [
    any_array,
    any_array,
    any_array,
    _of_objects,
    _masked,
    _structured,
    lambda draw: np.array(["1", "2"]),
    lambda draw: np.array([b"1"]),
    lambda draw: np.array(["2020-01-01", "NaT"], "datetime64[D]"),
    lambda draw: np.array([1, 2], "timedelta64[s]"),
    lambda draw: np.asmatrix(draw.normal(2, 2)),
    lambda draw: draw.normal(4, 6)[::-1, ::2],
    lambda draw: np.broadcast_to(1.0, (2, 3, 2)),
    lambda draw: memoryview(draw.normal(3)),
    lambda draw: draw.normal(2, 3, 2).tolist(),
]


def _tensor(draw: Draw) -> Any:
    shape, dtype = draw.pick(SHAPES), draw.pick(["float16", "bfloat16", "float32"])
    return ops.cast(ops.convert_to_tensor(draw.normal(*shape).astype("float32")), dtype)


def _variable(draw: Draw) -> Any:
    return keras.Variable(draw.normal(*draw.pick(SHAPES)).astype("float32"))


TENSORS = [
    _tensor,
    _tensor,
    lambda draw: ops.convert_to_tensor(np.ones((2, 3), "int32")),
    lambda draw: ops.convert_to_tensor(np.ones((2, 3), "bool")),
    _variable,
    lambda draw: keras.KerasTensor(draw.pick(SHAPES)),
    lambda draw: keras.KerasTensor((None, None, 2), sparse=True),
    lambda draw: keras.Input((None, 2)),
    lambda draw: [keras.KerasTensor((2, 3, 2)), _tensor(draw)],
    lambda draw: scipy.sparse.eye_array(2),
    lambda draw: _of_the_backend(draw),
]


def _of_the_backend(draw: Draw) -> Any:
    """What the backend has of its own: a layer, a tensor of another kind, a key."""
    backend = keras.config.backend()
    if backend == "torch":
        import torch

        linear = torch.nn.Linear(2, 2)
        return draw.pick([linear, linear.weight, torch.nn.RNN(2, 2), torch.eye(2) * 1j])
    if backend == "jax":
        import jax

        return draw.pick([jax.random.key(0), jax.numpy.eye(2), jax.numpy.eye(2) * 1j])
    import tensorflow as tf

    ragged = tf.ragged.constant([[1.0], [2.0, 3.0]])
    dataset = tf.data.Dataset.from_tensors(1.0)
    return draw.pick([ragged, tf.sparse.eye(2), tf.Variable([1.0]), dataset])


class Subclass(ku.UnitaryRNN):
    """A user's own layer."""

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        return 2.0 * super().call(sequences, initial_state, mask, training)


def _called(layer: Any) -> Any:
    layer(np.ones((1, 2, 2), "float32"))
    return layer


def _two_inputs() -> Any:
    x, y = keras.Input((3, 2), name="x"), keras.Input((3, 2), name="y")
    h = keras.layers.SimpleRNN(2, "relu", name="h")(keras.layers.Add(name="a")([x, y]))
    return keras.Model([x, y], h, name="two_inputs")


class Subclassed(keras.Model):
    """A model without a graph."""

    def call(self, x: Any) -> Any:
        return x


LAYERS = [
    lambda draw: keras.layers.Dense(2),
    lambda draw: _called(keras.layers.Dense(2)),
    lambda draw: keras.layers.LSTM(2),
    lambda draw: keras.layers.GRUCell(2),
    lambda draw: keras.layers.SimpleRNNCell(2),
    lambda draw: keras.layers.SimpleRNN(2, "tanh"),
    lambda draw: _called(keras.layers.SimpleRNN(2, "tanh")),
    lambda draw: _called(keras.layers.LSTM(2)),
    lambda draw: keras.layers.RNN([keras.layers.LSTMCell(2), ku.UnitaryRNNCell(2)]),
    lambda draw: keras.layers.Bidirectional(keras.layers.SimpleRNN(2)),
    lambda draw: keras.layers.TimeDistributed(keras.layers.Dense(2)),
    lambda draw: keras.layers.Lambda(lambda x: x),
    lambda draw: ku.UnitaryRNN(2),
    lambda draw: ku.ContractiveRNNCell(2),
    lambda draw: Subclass(2),
    lambda draw: _called(Subclass(2)),
    lambda draw: keras.Sequential(),
    lambda draw: keras.Sequential([ku.UnitaryRNN(2)]),
    lambda draw: _two_inputs(),
    lambda draw: Subclassed(),
    lambda draw: ku.UnitaryRNN,
    lambda draw: ku.ContractiveRNNCell,
]


class Strange(keras.initializers.Initializer):
    """An initializer that gives another shape than it is asked for."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.ones((1, 1), dtype=dtype)


OBJECTS = [
    lambda draw: keras.initializers.Zeros(),
    lambda draw: Strange(),
    lambda draw: keras.regularizers.L2(0.1),
    lambda draw: keras.constraints.NonNeg(),
    lambda draw: ku.UnitaryProjection(),
    lambda draw: ku.ContractiveProjection(0.5),
    lambda draw: ku.parametrizations.Projection(),
    lambda draw: ku.parametrizations.Projection,
    lambda draw: keras.optimizers.SGD(),
    lambda draw: keras.losses.MeanSquaredError(),
    lambda draw: keras.random.SeedGenerator(1),
    lambda draw: keras.callbacks.History(),
    lambda draw: keras.DTypePolicy("mixed_float16"),
    lambda draw: keras.activations.relu,
    lambda draw: keras.activations.tanh,
    lambda draw: lambda *args, **kwargs: None,
    lambda draw: np.random.default_rng(0),
]

KINDS = [PLAIN, INTEGERS, REALS, NOT_REAL, COLLECTIONS, ARRAYS, TENSORS, OBJECTS]
# Layers take longest to make.
KINDS = [*KINDS, *KINDS, LAYERS]

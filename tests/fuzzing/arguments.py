"""Good values for each argument, and how they are spoilt."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_urnn as ku
from tests.fuzzing.draws import Draw, Maker, fixed, one_of
from tests.fuzzing.nonsense import any_value
from tests.fuzzing.targets import FEATURES, STEPS

flag = one_of(False, True)
NAMES = ["relu", "tanh", "sigmoid", "linear", "hard_tanh", "relu6", None]
INITIALIZERS = ["zeros", "orthogonal", "identity", "glorot_uniform", "random_normal"]
RECURRENT = [*INITIALIZERS, ku.initializers.Cycle(), ku.initializers.Haar("U")]

PARAMETRIZATIONS = [
    *(
        name
        for name, kind in ku.parametrizations.NAMES.items()
        if "unitary" in kind.sets
    ),
    ku.parametrizations.Projection("svd"),
    ku.parametrizations.Projection(tangent=True),
    ku.parametrizations.Cayley(negative_ones=1),
    ku.parametrizations.Cayley(rebase_every=1),
    ku.parametrizations.Exponential(rebase_every=2),
    ku.parametrizations.Householder(1, determinant=-1),
    ku.parametrizations.Givens(capacity=2),
    ku.parametrizations.Givens(layout="fft"),
    ku.parametrizations.Projection(field="complex"),
    ku.parametrizations.Fourier(seed=1),
    ku.parametrizations.Exponential(rebase_every=1, field="complex"),
    ku.parametrizations.Givens(capacity=2, field="complex"),
]
CELL: dict[str, Maker] = {
    "units": one_of(1, 2, 3, 5, np.int64(4)),
    "activation": one_of(
        *NAMES, keras.activations.relu, "modrelu", "oplu", ku.activations.ModReLU()
    ),
    "use_bias": flag,
    "kernel_initializer": one_of(*INITIALIZERS, keras.initializers.Constant(0.5)),
    "recurrent_initializer": one_of(*RECURRENT),
    "bias_initializer": one_of("zeros", "ones"),
    "kernel_regularizer": one_of(None, "l2"),
    "recurrent_regularizer": one_of(None, "l1"),
    "bias_regularizer": fixed(None),
    "kernel_constraint": one_of(None, "non_neg", "max_norm"),
    "recurrent_constraint": fixed(None),
    "bias_constraint": one_of(None, "non_neg"),
    "dropout": one_of(0.0, 0.5, 0),
    "recurrent_dropout": one_of(0.0, 0.25),
    "seed": one_of(None, 0, 3),
    "parametrization": lambda draw: draw.pick(PARAMETRIZATIONS),
    "output_units": one_of(None, None, 1),
    "learn_initial_state": flag,
    "resting_state": one_of(None, None, [0.5], [0.0, 1.0]),
    "state_scale": one_of(None, None, [2.0], [0.5, 1.0]),
    "skip": one_of(None, None, None, 0.1, ku.Skip(0.5, True, dense=False)),
    "name": one_of(None, "cell"),
    "dtype": one_of(None, "float32", "mixed_bfloat16"),
    "trainable": flag,
}
LAYER: dict[str, Maker] = {
    **CELL,
    "activity_regularizer": one_of(None, "l2"),
    "return_sequences": flag,
    "return_state": flag,
    "go_backwards": flag,
    "stateful": one_of(False, False, True),
    "unroll": flag,
    "zero_output_for_mask": flag,
    "checkpoint_every": one_of(None, None, 2),
}
MAX_NORM = one_of(0.9, 0.999, 1.0, 1)
BETA = one_of(0.1, 0.999, np.float32(0.5))
SIGNS = one_of(None, 0, 1, 2)
REBASE = one_of(None, 1, 10)
REFLECTIONS = one_of(None, 1, 2, 5)
DETERMINANT = one_of(None, 1, -1)
FIELD = one_of("real", "complex")
METHOD = one_of("auto", "svd", "newton_schulz")
CAPACITY = one_of(None, 1, 2)
LAYOUT = one_of("tunable", "fft")
FACTOR = one_of("cayley", "projection", ku.parametrizations.Givens(1))
GROUP = one_of("O", "SO", "U")
SEED = one_of(None, 0, 3, keras.random.SeedGenerator(1))
NUMPY_SEED = one_of(0, 3, np.int64(4), 2**32 - 1)


def spoilt(draw: Draw, good: Mapping[str, Maker]) -> dict[str, Any]:
    """Make arguments, some left out, and none to three of them replaced by nonsense."""
    given = {name: make(draw) for name, make in good.items() if draw.chance(0.4)}
    for _ in range(draw.weighted([0, 1, 2, 3], [1, 3, 1, 0.5]) if good else 0):
        given[draw.pick(list(good))] = any_value(draw)
    if draw.chance(0.02):
        given["no_such_argument"] = any_value(draw)
    return given


def mixed(draw: Draw, good: Maker, probability: float = 0.35) -> Any:
    """Make a good value, or nonsense."""
    return any_value(draw) if draw.chance(probability) else good(draw)


def bound(draw: Draw) -> Any:
    """Make an `input_bound`: a number, an array, or a dict by names."""
    kind = draw.below(4)
    if kind == 0:
        return draw.pick([1.0, 0.5, 2, 1e-3, np.float32(1.5)])
    if kind == 1:
        return draw.pick([np.ones(FEATURES), [1.0] * FEATURES, np.ones(FEATURES, "f4")])
    if kind == 2:
        return {draw.pick(["x", "y", "r", "s", "u", "d"]): mixed(draw, fixed(1.0))}
    return 1.0


def horizon(draw: Draw) -> Any:
    return draw.pick([None, None, 1, 5, 1000, 10**6, 10**9, 10**12, 10**30])


def matrix(draw: Draw) -> Any:
    """Make a small square matrix, most often of finite numbers."""
    n = draw.pick([1, 3])
    size = draw.pick([0.3, 1.0, 1.0, 1e3, 1e30])
    values = (size * draw.normal(n, n)).astype(draw.pick(["float32", "float64"]))
    if draw.chance(0.3):
        values = np.linalg.qr(values)[0] * draw.pick([1.0, 0.5])
    if draw.chance(0.1):
        values[0, 0] = draw.pick([np.nan, np.inf, 1e38])
    return values


def tensor(draw: Draw) -> Any:
    return ops.convert_to_tensor(matrix(draw).astype("float32"))


def sequences(draw: Draw) -> Any:
    """Make inputs of a layer, of one shape most often: each compiles."""
    steps = draw.pick([STEPS, STEPS, STEPS, 1, 0])
    features = draw.pick([FEATURES, FEATURES, FEATURES, 1, 3])
    return draw.normal(2, steps, features).astype("float32")


def data(draw: Draw) -> Any:
    """Make data to measure: an array, or batches."""
    arrays = [draw.normal(2, 3, FEATURES) for _ in range(2)]
    kinds = [arrays[0], arrays, (a for a in arrays), [(a, a) for a in arrays]]
    kinds += [[arrays[0], mixed(draw, sequences)], ops.convert_to_tensor(arrays[0])]
    return draw.pick(kinds)

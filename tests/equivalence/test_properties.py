"""Random networks of 1 to 64 states: equal outputs, and added states exactly at rest.

With every activation that can be converted, in both dtypes, run by Keras' own loop
from the start that they have. Added states rest on random and on adverse inputs within
the bound. Outputs, on random ones, are equal but for rounding, so networks are drawn
in which rounding stays what it is:

- A step remembers `growth`, norm times slope, of what rounding did before it: at most
  0.99, or 1 over a horizon. (On constant inputs the roundings of all these steps may
  have one sign: 1.6e-6 was seen in float32 at n = 1 and norm 0.98.) `hard_silu`, of
  slope 1.5, is drawn with norms up to 0.66: above there are networks in which any
  difference grows until it is everything, as that between two orders of the states.
- `ReLU(threshold=θ)` jumps at `θ`. Sequences that take a pre-activation so near to it
  that rounding could carry it across are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary
from keras_urnn.equivalence.ranges.activations import flat_activation
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from tests.equivalence.layers import build, full_states, run
from tests.equivalence.networks import (
    BOUND,
    BOUNDED,
    CONVERTED,
    FEATURES,
    RELU_LAYERS,
    Array,
    difference,
    inputs,
    learns,
    recurrence,
    seeds,
)
from tests.helpers import precision, to_numpy

STEPS = 50
LARGEST = 64
RANDOM = 4  # so many of `inputs` are random, the first ones
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
# Scales that aren't powers of two round each weight once more.
GENERIC_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

# By name, and ReLU layers by their arguments.
ACTIVATIONS: list[Any] = [*CONVERTED, *RELU_LAYERS]
# JAX and TensorFlow compile for each size and activation, JAX at length.
FEW, MANY = {"torch": (48, 960), "tensorflow": (16, 160), "jax": (6, 80)}[
    keras.config.backend()
]
COMPILES = keras.config.backend() != "torch"
sizes = st.sampled_from([1, 2, 7, 33, LARGEST]) if COMPILES else st.integers(1, LARGEST)
activations = st.sampled_from(ACTIVATIONS)
dtypes = st.sampled_from(list(TOLERANCE))
growths = st.sampled_from([0.0, 0.5, 0.9, 0.99])

each_count = pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=pytest.mark.long)], ids=["few", "many"]
)


def for_all(count: int, check: Callable[..., None], **drawn: Any) -> None:
    """Check so many examples."""
    settings(max_examples=count)(given(**drawn)(check))()


@dataclass(frozen=True)
class Comparison:
    """An original and its conversion, run on the same inputs.

    Attributes:
        converted: the converted layer.
        sequences: integer. How many outputs were compared.
        difference: float. `max|y - y'| / max|y|`.
        at_rest: bool. Whether all added states were exactly at rest at each step.
    """

    converted: Any
    sequences: int
    difference: float
    at_rest: bool


def layer_with(activation: Any, n: int, learned: bool = False) -> Any:
    """A layer of ours: on PyTorch Keras' own computes float64 in float32."""
    if type(activation) is tuple:
        activation = keras.layers.ReLU(*activation)
    return ku.ContractiveRNN(
        n, activation, return_sequences=True, learn_initial_state=learned
    )


def known_of(layer: Any) -> FlatActivation:
    flat = flat_activation(layer.activation)
    assert flat is not None
    return flat


def compare(layer: Any, x: Array, **kwargs: Any) -> Comparison:
    """Convert a layer, and run both on `x`, of which the random part is compared."""
    converted = to_unitary(layer, input_bound=BOUND, **kwargs)
    return compared(layer, converted, x)


def compared(layer: Any, converted: Any, x: Array) -> Comparison:
    n, flat = layer.units, known_of(layer)
    expected, found = run(layer, x), full_states(converted, x)
    at_rest = bool(np.all(found[..., n:] == flat.value))
    expected, found = expected[:RANDOM], found[:RANDOM]
    if np.isinf(flat.slope):
        kept = ~meets_jump(layer, x[:RANDOM], expected)
        expected, found = expected[kept], found[kept]
    relative = difference(expected, found[..., :n]) if len(expected) else 0.0
    return Comparison(converted, len(expected), relative, at_rest)


def meets_jump(layer: Any, x: Array, states: Array) -> Array:
    """Which sequences come nearer to the threshold than rounding may lead astray."""
    cell, learned = layer.cell, layer.cell.learned_initial_state
    start = 0.0 if learned is None else to_numpy(learned)
    before = np.insert(states[:, :-1], 0, start, axis=1)
    z = before @ to_numpy(cell.recurrent_kernel) + x @ to_numpy(cell.kernel)
    z += to_numpy(cell.bias)
    near = 10.0 * TOLERANCE[x.dtype.name] * np.abs(z).max()
    return np.any(np.abs(z - cell.activation.threshold) <= near, axis=(1, 2))


def check_contractive(
    n: int, activation: Any, dtype: str, learned: bool, growth: float, seed: int
) -> None:
    with precision(dtype):
        layer = layer_with(activation, n, learned)
        flat = known_of(layer)
        norm = growth / (flat.slope if 1.0 < flat.slope < np.inf else 1.0)
        build(layer, norm, seed)
        found = compare(layer, inputs_of(n, seed, dtype))
    assert found.at_rest
    assert found.converted.units == 2 * n
    assert found.difference <= TOLERANCE[dtype]
    assume(found.sequences)


def inputs_of(n: int, seed: int, dtype: str, steps: int = STEPS) -> Array:
    return inputs(recurrence(n, 0.9, seed), steps, seed).astype(dtype)


@each_count
def test_every_contractive_network_is_converted(count: int) -> None:
    for_all(
        count,
        check_contractive,
        n=sizes,
        activation=activations,
        dtype=dtypes,
        learned=learns,
        growth=growths,
        seed=seeds,
    )


def check_norm_1(
    n: int, activation: str, dtype: str, learned: bool, horizon: bool, seed: int
) -> None:
    with precision(dtype):
        layer = build(layer_with(activation, n, learned), 1.0, seed)
        steps = STEPS if horizon or activation not in BOUNDED else None
        found = compare(layer, inputs_of(n, seed, dtype), horizon=steps)
    assert found.at_rest
    assert found.difference <= TOLERANCE[dtype]


@each_count
def test_norm_1_is_converted_over_a_horizon_or_where_states_are_bounded(
    count: int,
) -> None:
    for_all(
        count // 2,
        check_norm_1,
        n=sizes,
        activation=st.sampled_from([name for name in CONVERTED if name != "hard_silu"]),
        dtype=dtypes,
        learned=learns,
        horizon=st.booleans(),
        seed=seeds,
    )


def expansive(
    n: int, seed: int, norm: float, spread: float, learned: bool, whole: bool
) -> Any:
    """A ReLU layer of this norm in other scales of its states, and not in its own."""
    layer = build(layer_with("relu", n, learned), norm, seed)
    exponents = np.random.default_rng(seed).uniform(-spread, spread, n)
    d = np.exp2(np.round(exponents) if whole else exponents)
    kernel = layer.cell.recurrent_kernel
    kernel.assign(to_numpy(kernel) * d / d[:, None])
    return layer


def check_scaled(
    n: int,
    norm: float,
    dtype: str,
    learned: bool,
    spread: float,
    whole: bool,
    seed: int,
) -> None:
    with precision(dtype):
        layer = expansive(n, seed, norm, spread, learned, whole)
        found = compare(layer, inputs_of(n, seed, dtype))
    d = found.converted.state_scale
    exact = d is None or bool(np.all(np.log2(d) % 1.0 == 0.0))
    assert found.at_rest
    tolerance = TOLERANCE if exact else GENERIC_TOLERANCE
    assert found.difference <= tolerance[dtype]


@each_count
def test_every_scalable_network_is_converted(count: int) -> None:
    for_all(
        count // 2,
        check_scaled,
        n=sizes,
        norm=st.sampled_from([0.5, 0.9, 0.98]),
        dtype=dtypes,
        learned=learns,
        spread=st.sampled_from([1.0, 3.0, 8.0]),
        whole=st.booleans(),
        seed=seeds,
    )


def check_minimized(
    n: int, norm: float, dtype: str, learned: bool, spread: float, seed: int
) -> None:
    with precision(dtype):
        layer = expansive(n, seed, norm, spread, learned, False)
        found = compare(layer, inputs_of(n, seed, dtype), minimize_states=True)
    assert found.at_rest
    assert found.converted.units <= 2 * n - (n > 1)
    assert found.difference <= GENERIC_TOLERANCE[dtype]


@each_count
def test_fewer_states_do_the_same(count: int) -> None:
    for_all(
        count // 6,  # a search each
        check_minimized,
        n=sizes,
        norm=st.sampled_from([0.5, 0.9]),
        dtype=dtypes,
        learned=learns,
        spread=st.sampled_from([0.0, 3.0]),
        seed=seeds,
    )


def amplifying(n: int, order: Array) -> Any:
    """A hard_silu network of norm 0.9 that rests where it is steepest, unstably.

    A step grows what is there by 0.9 · 1.47. The states are in this order.
    """
    generator = np.random.default_rng(n)
    q, _ = np.linalg.qr(generator.normal(size=(n, n)))
    kernel, rest = generator.normal(size=(FEATURES, n)), CONVERTED["hard_silu"](2.9)
    bias, start = 2.9 - rest * 0.9 * q.sum(axis=0), np.full(n, rest)
    layer = layer_with("hard_silu", n, learned=True)
    layer.build((None, None, FEATURES))
    matrix = 0.9 * q[np.ix_(order, order)]
    layer.set_weights([kernel[:, order], matrix, bias[order], start])
    return layer


@pytest.mark.parametrize("n", [8, 16])
def test_where_rounding_grows_another_order_of_the_states_does_as_much(n: int) -> None:
    layer, x = amplifying(n, np.arange(n)), np.zeros((1, 40, FEATURES), "float32")
    expected, moved = run(layer, x), []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(n)
        found = run(amplifying(n, order), x)
        moved.append(difference(expected[..., order], found))
    assert max(moved) > 1e-3
    converted = to_unitary(layer, input_bound=BOUND)
    found = full_states(converted, x)[..., :n]
    assert difference(expected, found) <= 10.0 * max(moved)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_less_bias_would_wake_the_added_states(activation: Any) -> None:
    layer = build(layer_with(activation, 4))
    converted = to_unitary(layer, input_bound=BOUND)
    flat, bias = known_of(layer), to_numpy(converted.cell.bias)
    bias[4:] = flat.side * (flat.edge - 4.0)
    converted.cell.bias.assign(bias)
    found = compared(layer, converted, inputs_of(4, 1, "float32"))
    assert not found.at_rest
    assert found.difference > 1e-2


LONG_RUNS = [
    ("relu", "float32"),
    pytest.param("hard_silu", "float32", marks=pytest.mark.long),
    pytest.param("hard_tanh", "float64", marks=pytest.mark.long),
]


def check_long_run(activation: Any, dtype: str, n: int) -> None:
    with precision(dtype):
        layer = layer_with(activation, n, learned=True)
        slope = known_of(layer).slope
        build(layer, 0.99 / max(slope, 1.0))
        found = compare(layer, inputs_of(n, 1, dtype, steps=10_000)[:RANDOM])
    assert found.at_rest
    assert found.difference <= TOLERANCE[dtype]


@pytest.mark.parametrize(("activation", "dtype"), LONG_RUNS)
def test_nothing_builds_up_over_ten_thousand_steps(activation: str, dtype: str) -> None:
    check_long_run(activation, dtype, 7)


@pytest.mark.long
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", CONVERTED)
def test_nothing_builds_up_with_64_states(activation: str, dtype: str) -> None:
    check_long_run(activation, dtype, LARGEST)

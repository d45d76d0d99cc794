"""Two networks that differ in one thing are never equivalent, equal ones never differ.

What is small is on purpose: outputs that rounding could explain, masks and second
batches that no run has. A proof has to see them.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import EquivalenceReport, to_unitary, verify_equivalence
from tests.equivalence.layers import build
from tests.equivalence.models import contractive, inner, randomize, sequence
from tests.equivalence.networks import FEATURES

L = keras.layers
N, BOUND = 2, 1.0
Make = Callable[[], tuple[Any, Any]]


def verify(one: Any, other: Any, **kwargs: Any) -> EquivalenceReport:
    arguments = {"input_bound": BOUND, "steps": 4, "batch_size": 1, "search": False}
    return verify_equivalence(one, other, **{**arguments, **kwargs})


def layer(kind: Any = ku.ContractiveRNN, *args: Any, **kwargs: Any) -> Any:
    """A layer of one cell, unlike which a second one has the same weights."""
    return build(kind(N, *args, **kwargs), norm=0.5)


def like(one: Any, kind: Any = None, **config: Any) -> Any:
    """The same class with the same weights, but for what is given."""
    other = (kind or type(one)).from_config({**one.get_config(), **config})
    recurrent = isinstance(one, L.RNN | L.Bidirectional)
    other.build((2, None, FEATURES) if recurrent else (None, FEATURES))
    other.set_weights(one.get_weights())
    return other


def converted(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    original = layer(*args, **kwargs)
    return original, to_unitary(original, input_bound=BOUND)


def conversion_like(**config: Any) -> tuple[Any, Any]:
    """A layer and its conversion with another setting."""
    original, unitary = converted()
    return original, like(unitary, **config)


class Doubled(ku.UnitaryRNN):
    def call(self, *args: Any, **kwargs: Any) -> Any:
        return 2.0 * super().call(*args, **kwargs)


class Masked(ku.UnitaryRNN):
    """The same without a mask."""

    def call(self, sequences: Any, mask: Any = None, **kwargs: Any) -> Any:
        found = super().call(sequences, mask=mask, **kwargs)
        return found if mask is None else 2.0 * found


class Lifted(ku.UnitaryRNNCell):
    def call(self, *args: Any, **kwargs: Any) -> Any:
        h, states = super().call(*args, **kwargs)
        return h + 1e-7, states


class Stack(L.StackedRNNCells):
    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().call(0.5 * inputs, *args, **kwargs)


def with_a_cell_of(kind: Any) -> tuple[Any, Any]:
    original = build(L.RNN(ku.ContractiveRNNCell(N)), norm=0.5)
    unitary = to_unitary(original, input_bound=BOUND)
    cell = kind.from_config(unitary.cell.get_config())
    other = L.RNN(cell)
    other.build((None, None, FEATURES))
    other.set_weights(unitary.get_weights())
    return original, other


def in_a_stack_of(kind: Any) -> tuple[Any, Any]:
    original = L.RNN([ku.ContractiveRNNCell(N), ku.ContractiveRNNCell(N)])
    original.build((None, None, FEATURES))
    unitary = to_unitary(original, input_bound=BOUND)
    other = L.RNN(kind([*like_cells(unitary)]))
    other.build((None, None, FEATURES))
    other.set_weights(unitary.get_weights())
    return original, other


def like_cells(layer: Any) -> list[Any]:
    return [type(c).from_config(c.get_config()) for c in layer.cell.cells]


def replaced() -> tuple[Any, Any]:
    original, unitary = converted()
    call = unitary.cell.call
    unitary.cell.call = lambda x, states, **kwargs: call(0.5 * x, states, **kwargs)
    return original, unitary


def one_ulp(one: Any, place: int = 0) -> Any:
    other = like(one)
    weights = one.get_weights()
    weights[place].flat[0] = np.nextafter(weights[place].flat[0], np.float32(9.0))
    other.set_weights(weights)
    return other


def both(**kwargs: Any) -> Any:
    found = L.Bidirectional(contractive(), name="both", **kwargs)
    found.build((None, None, FEATURES))
    return found


def with_cells_of(one: Any, kind: Any) -> tuple[Any, Any]:
    other = kind.from_config(one.get_config())
    other.build((None, FEATURES))
    other.set_weights(one.get_weights())
    return one, other


def scaled_by(activation: str) -> tuple[Any, Any]:
    """A conversion in other scales, which only ReLU allows for.

    Far from its ends hard_tanh is linear, and no run sees that.
    """
    original = layer(ku.ContractiveRNN, activation)
    small = [1e-3 * np.array(weight) for weight in original.get_weights()]
    original.set_weights(small)
    unitary = to_unitary(original, input_bound=BOUND)
    d = np.array([2.0, 1.0, 1.0, 1.0])
    other = like(unitary, state_scale=list(d))
    kernel, matrix, *others = unitary.get_weights()
    corner = matrix.copy()
    corner[:N, :N] = (matrix / d[:, None] * d)[:N, :N]
    other.set_weights([kernel, corner, *others])
    return original, other


def scaled_unitary() -> tuple[Any, Any]:
    one = layer(ku.UnitaryRNN)
    return one, like(one, state_scale=[1.0, 1.0 + 2.0**-20])


def shrunk(eigenvalue: float) -> Any:
    """A linear state that keeps the sum of its inputs, and nothing else."""
    cell = L.SimpleRNNCell(1, "linear", use_bias=False)
    cell.build((None, 1))
    cell.set_weights([np.full((1, 1), 1e-6), np.full((1, 1), eigenvalue)])
    return cell


def model(*layers: Any, **kwargs: Any) -> Any:
    found = keras.Sequential([sequence(**kwargs), contractive(name="r"), *layers])
    return randomize(found)


def models(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    """A model and the conversion of one with another layer, and the same weights."""
    first, second = model(*listed(one())), model(*listed(other()))
    weights = first.get_weights()
    if len(weights) == len(second.get_weights()):
        second.set_weights(weights)
    return first, to_unitary(second, input_bound=BOUND)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def weight_changed() -> tuple[Any, Any]:
    first, second = models(lambda: L.Dense(2), lambda: L.Dense(2))
    head = second.layers[-1]
    head.set_weights(one_ulp_of(head.get_weights()))
    return first, second


def one_ulp_of(weights: list[Any]) -> list[Any]:
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(9.0))
    return weights


def behind_a_mask(value: float) -> Any:
    layers = [sequence(), L.Masking(value), contractive(), L.Dense(1)]
    return randomize(keras.Sequential(layers))


def masked_models() -> tuple[Any, Any]:
    other = to_unitary(behind_a_mask(0.25), input_bound=BOUND)
    return behind_a_mask(0.0), other


def subtracted(swapped: bool) -> Any:
    x = sequence("x")
    ends = [contractive(name="a")(x), contractive(name="b")(x)]
    found = keras.Model(x, L.Subtract()(ends[::-1] if swapped else ends))
    for name, value in (("a", 0.1), ("b", 0.2)):
        found.get_layer(name).set_weights(
            [np.full(w.shape, value) for w in found.get_layer(name).get_weights()]
        )
    return found


def gated(**kwargs: Any) -> tuple[Any, Any]:
    def of(**kwargs: Any) -> Any:
        return [L.RepeatVector(3), L.GRU(2, **kwargs), L.Flatten()]

    return models(lambda: of(), lambda: of(**kwargs))


def functions() -> tuple[Any, Any]:
    def made(factor: float) -> Any:
        @keras.saving.register_keras_serializable("one_thing", f"f{factor}")
        def activation(x: Any) -> Any:
            return x * factor

        return activation

    return models(
        lambda: L.Dense(2, made(1.0)), lambda: L.Dense(2, made(1.0 + 2.0**-20))
    )


def nested(activation: str) -> Any:
    return inner(L.Dense(2), L.Activation(activation), features=2)


OTHERS: dict[str, Make] = {
    **{
        flag: lambda flag=flag: conversion_like(**{flag: True})
        for flag in ("go_backwards", "stateful", "unroll", "zero_output_for_mask")
    },
    "return_sequences": lambda: conversion_like(return_sequences=True),
    "return_state": lambda: conversion_like(return_state=True),
    "dtype": lambda: conversion_like(dtype="mixed_bfloat16"),
    "policy of a cell": lambda: with_cells_of(
        build(L.SimpleRNNCell(N, "tanh")), cell_in_float16
    ),
    "subclass": lambda: (converted()[0], like(converted()[1], Doubled)),
    "subclass that sees masks": lambda: (converted()[0], like(converted()[1], Masked)),
    "cell of a subclass": lambda: with_a_cell_of(Lifted),
    "stack of a subclass": lambda: in_a_stack_of(Stack),
    "method": replaced,
    "layer for a cell": lambda: (converted()[0].cell, converted()[1]),
    "cell for a layer": lambda: (converted()[0], converted()[1].cell),
    "layer of other masks": lambda: (
        layer(L.SimpleRNN, "tanh"),
        like(layer(L.SimpleRNN, "tanh"), ku.ContractiveRNN, recurrent_constraint=None),
    ),
    "merge": lambda: (
        both(),
        like(to_unitary(both(), input_bound=BOUND), merge_mode="sum"),
    ),
    "scale": lambda: scaled_by("hard_tanh"),
    "scale of a copy": scaled_unitary,
    "ulp": lambda: (
        layer(L.SimpleRNN, "tanh"),
        one_ulp(layer(L.SimpleRNN, "tanh")),
    ),
    "ulp of a linear cell": lambda: (
        layer(L.SimpleRNN, "linear"),
        one_ulp(layer(L.SimpleRNN, "linear"), 1),
    ),
    "after a million steps": lambda: (shrunk(1.0), shrunk(1.0 - 2.0**-24)),
    "activation": lambda: models(
        lambda: L.Dense(2, "relu"), lambda: L.Dense(2, "leaky_relu")
    ),
    "setting": lambda: models(
        lambda: L.Rescaling(1.0), lambda: L.Rescaling(1.0 + 1e-6)
    ),
    "function": functions,
    "weight": weight_changed,
    "dtype of a layer": lambda: models(
        lambda: L.Dense(2), lambda: L.Dense(2, dtype="mixed_float16")
    ),
    "mask value": masked_models,
    "wiring": lambda: (subtracted(False), to_unitary(subtracted(True), input_bound=1)),
    "inside": lambda: models(
        lambda: [L.RepeatVector(3), nested("tanh")],
        lambda: [L.RepeatVector(3), nested("softsign")],
    ),
    "each step": lambda: models(
        lambda: [L.RepeatVector(3), L.TimeDistributed(L.Dense(2, "tanh"))],
        lambda: [L.RepeatVector(3), L.TimeDistributed(L.Dense(2, "softsign"))],
    ),
    "gated zero_output_for_mask": lambda: gated(zero_output_for_mask=True),
    "gated unroll": lambda: gated(unroll=True),
    "gated backwards": lambda: gated(go_backwards=True),
}


class cell_in_float16:  # noqa: N801
    """Makes a cell that is another in nothing but its dtype policy."""

    @staticmethod
    def from_config(config: dict[str, Any]) -> Any:
        return L.SimpleRNNCell.from_config({**config, "dtype": "mixed_float16"})


@pytest.mark.parametrize("name", OTHERS)
def test_one_thing_is_enough_for_not_equivalent(name: str) -> None:
    one, other = OTHERS[name]()
    for report in (verify(one, other), verify(other, one)):
        assert report.verdict != "equivalent", report
        assert report.reasons


def orthogonal(activation: str) -> Any:
    found = layer(ku.UnitaryRNN, activation)
    found.cell.recurrent_kernel.assign([[0.6, 0.8], [-0.8, 0.6]])
    return found


EQUAL: dict[str, Make] = {
    "conversion": converted,
    "simple": lambda: converted(L.SimpleRNN, "relu"),
    "copy": lambda: (orthogonal("tanh"), like(orthogonal("tanh"))),
    "names": lambda: (layer(), to_unitary(layer(name="other"), input_bound=BOUND)),
    "tanh": lambda: (layer(L.SimpleRNN, "tanh"), layer(L.SimpleRNN, "tanh")),
    "unrolled": lambda: conversion_like(unroll=True),
    "classes": lambda: with_cells_of(
        build(ku.UnitaryRNNCell(N, "tanh")), ku.ContractiveRNNCell
    ),
    "model": lambda: models(lambda: L.Dense(2), lambda: L.Dense(2)),
    "names of layers": lambda: models(
        lambda: L.Dense(2, name="a"), lambda: L.Dense(2, name="b")
    ),
    "dropout": lambda: models(lambda: L.Dropout(0.1), lambda: L.Dropout(0.9)),
    "gated": gated,
}
PROVED = set(EQUAL) - {"unrolled"}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_networks_are_never_different(name: str) -> None:
    one, other = EQUAL[name]()
    for report in (verify(one, other), verify(other, one)):
        assert report.verdict != "different", report
        assert (report.verdict == "equivalent") == (name in PROVED), report


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_order_of_readouts_is_that_of_the_networks(activation: str) -> None:
    """A unitary and a contractive cell: theorem 1 may take them in either order."""
    n, turn = 3, [1, 2, 0]  # a swap of two states is its own inverse
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    one = build(ku.UnitaryRNNCell(n, activation))
    kernel, _, bias = one.get_weights()
    one.set_weights([kernel, matrix, bias])
    other = ku.ContractiveRNNCell(n, activation, max_norm=1.0)
    other.build((None, FEATURES))
    other.set_weights([kernel[:, turn], matrix[np.ix_(turn, turn)], bias[turn]])
    first = np.array([[1.0], [-2.0], [5.0]])
    seen = first, first[turn]
    for cells, readouts in (((one, other), seen), ((other, one), seen[::-1])):
        assert verify(*cells, readouts=readouts).verdict != "different"
        wrong = verify(*cells, readouts=(seen[0], seen[0]))
        assert wrong.verdict == "different"
        layers = [L.RNN(cell, return_sequences=True) for cell in cells]
        assert verify(*layers, readouts=readouts).verdict != "different"


def test_the_input_of_a_model_needs_no_name() -> None:
    for steps in (4, None):
        x = keras.Input((steps, FEATURES))
        original = randomize(keras.Model(x, contractive()(x)))
        unitary = to_unitary(original, input_bound=BOUND)
        for pair in ((original, unitary), (unitary, original)):
            assert verify(*pair).equivalent

"""What is passed is taken, or refused by name: no raw errors, and nothing hangs."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn import equivalence, theory
from tests.equivalence.layers import build
from tests.equivalence.networks import FEATURES

X = np.ones((2, 5, FEATURES))
HUGE = 10**5000


class LooksLikeACell:
    """It has all that is asked of a cell, and isn't one."""

    name, built, state_size, output_size, units = "looks", True, 2, 2, 2
    kernel, bias, weights = np.ones((FEATURES, 2)), None, ()


class Stateless(keras.Layer):
    """A layer of states that no one can count."""

    state_size, kernel = None, "kernel"


# What is neither a cell nor a layer nor a model, and what is no recurrent one.
NO_NETWORKS: list[Any] = [
    None,
    3,
    HUGE,
    "layer",
    X,
    LooksLikeACell(),
    LooksLikeACell,
    Stateless(),
    keras.layers.Dense(2),
    keras.KerasTensor((2, 3)),
    ku.ContractiveRNN,
]
# No real, finite numbers, in whatever they come.
NO_NUMBERS: list[Any] = [
    "no",
    object(),
    1j,
    np.ones((2, 2)) + 1j,
    np.datetime64("2020"),
    np.timedelta64(1, "s"),
    np.array(["1", "2"], object),
    np.ma.array([1.0, 2.0], mask=[True, False]),
    [[1.0], [1.0, 2.0]],
    [np.nan, 1.0],
    [np.inf, 1.0],
    [HUGE, 1],
    Decimal("sNaN"),
    {"x": 1.0},
    keras.KerasTensor((2, 2)),
]


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    layer = build(ku.ContractiveRNN(2))
    return layer, ku.to_unitary(layer, input_bound=1.0)


def refuses(function: Callable[..., Any], value: Any, name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=rf"`{name}` must be") as caught:
        function(value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("index", range(len(NO_NETWORKS)))
def test_what_is_no_network_is_refused(index: int, pair: Any) -> None:
    it, model = NO_NETWORKS[index], keras.Sequential([keras.Input((5, FEATURES))])
    model.add(ku.ContractiveRNN(2))

    def verify(*two: Any) -> Any:
        return ku.verify_equivalence(*two, input_bound=1.0)

    for convert in (ku.to_unitary, ku.prune_inactive, equivalence.inactive_states):
        refuses(lambda it, f=convert: f(it, input_bound=1.0), it, "target")
    for other in (pair[0], model):
        refuses(lambda it, other=other: verify(it, other), it, "(original|target)")
        refuses(lambda it, other=other: verify(other, it), it, "(converted|target)")
    refuses(theory.unitary_state_bounds, it, "cell")
    refuses(lambda it: theory.similarity_transform(it, np.eye(2)), it, "cell")
    refuses(lambda it: theory.linearization(it, [0.0]), it, "cell")


@pytest.mark.parametrize("index", range(len(NO_NUMBERS)))
def test_what_is_no_number_is_refused(index: int, pair: Any) -> None:
    it, cell = NO_NUMBERS[index], pair[0].cell
    sigmoid, fits = theory.sigmoid_example(), np.eye(2)

    def verify(readouts: Any) -> Any:
        return ku.verify_equivalence(
            cell, cell, input_bound=1.0, steps=2, search=False, readouts=readouts
        )

    refuses(lambda it: verify((it, fits)), it, "readouts")
    refuses(lambda it: verify((fits, it)), it, "readouts")
    refuses(lambda it: theory.unitary_state_bounds(cell, it), it, "readout")
    refuses(lambda it: theory.similarity_transform(cell, it), it, "T")
    refuses(lambda it: theory.similarity_transform(cell, fits, it), it, "readout")
    refuses(lambda it: theory.linearization(sigmoid, it), it, "x")
    refuses(equivalence.find_scaling, it, "recurrent_matrix")
    refuses(equivalence.minimize_added_states, it, "recurrent_matrix")


# For each argument of a function what it refuses.
SIZES = [0, -1, 1.5, "3", True, None, 10**12, HUGE, -HUGE, X]
FLAGS = ["no", 1, None, X, HUGE]
REFUSED: dict[str, list[Any]] = {
    "steps": SIZES,
    "batch_size": SIZES,
    "seed": [-1, 1.5, "3", None, X, -HUGE],
    "search": FLAGS,
    "horizon": [*SIZES[:5], HUGE, -HUGE, X],
    "readouts": [
        3,
        "no",
        (np.eye(2),),
        (np.ones((2, 0)), np.ones((2, 0))),
        (np.eye(2), np.ones((2, 0))),
        (np.eye(2), np.ones(2)),
    ],
    "input_bound": [1e200, 10**200],
}


@pytest.mark.parametrize("argument", REFUSED)
def test_other_arguments_are_refused(argument: str, pair: Any) -> None:
    def verify(value: Any) -> Any:
        return ku.verify_equivalence(*pair, **{"input_bound": 1.0, argument: value})

    for value in REFUSED[argument]:
        refuses(verify, value, argument)


def test_arguments_of_other_functions_are_refused(pair: Any) -> None:
    R = np.array([[1.0, 2.0], [0.5, 1.0]])
    for it in FLAGS:
        refuses(
            lambda it: ku.to_unitary(pair[0], input_bound=1.0, minimize_states=it),
            it,
            "minimize_states",
        )
    for it in (0, -1, 1.5, "3", True, None, 10**12, HUGE, X):
        refuses(theory.tight_example, it, "n")
        refuses(ku.ContractiveRNNCell, it, "units")
    for it in (0.0, -1.0, np.nan, np.inf, "3", True, None, HUGE, X, 1j):
        refuses(lambda it: equivalence.find_scaling(R, target=it), it, "target")
        refuses(lambda it: equivalence.find_scaling(R, below=it), it, "below")
        refuses(lambda it: equivalence.minimize_added_states(R, it), it, "epsilon")
    for it in (np.ones((2, 3)), np.ones(2), np.zeros((0, 0)), np.ones((2, 2, 2))):
        refuses(equivalence.find_scaling, it, "recurrent_matrix")
    refuses(
        lambda it: theory.unitary_state_bounds(pair[0].cell, it),
        X[0, :2, :0],
        "readout",
    )

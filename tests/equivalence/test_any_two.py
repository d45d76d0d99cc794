"""Any two networks: proved equivalent, shown to be different, or not decided."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import EquivalenceReport, to_unitary, verify_equivalence
from tests.equivalence.layers import build
from tests.equivalence.models import contractive, sequential
from tests.equivalence.networks import BOUND, FEATURES, recurrence
from tests.helpers import to_numpy

L = keras.layers
N = 4


def verify(one: Any, other: Any, **kwargs: Any) -> EquivalenceReport:
    arguments: dict[str, Any] = {"input_bound": BOUND, "steps": 60, "batch_size": 4}
    return verify_equivalence(one, other, **{**arguments, **kwargs})


def simple_cell(activation: str, seed: int = 1, units: int = N) -> Any:
    cell = L.SimpleRNNCell(units, activation, name="one")
    cell.build((None, FEATURES))
    network = recurrence(units, 0.9, seed)
    cell.set_weights([network.kernel, network.recurrent_matrix, network.bias])
    return cell


def changed(cell: Any, step: float) -> Any:
    """A copy of a cell, one weight of which differs by `step`."""
    copy = type(cell).from_config(cell.get_config())
    copy.build((None, FEATURES))
    kernel, *weights = cell.get_weights()
    kernel[1, 2] += step
    copy.set_weights([kernel, *weights])
    return copy


def transform(activation: str) -> Any:
    permutation = np.eye(N)[[2, 0, 3, 1]]
    if activation == "linear":
        return np.random.default_rng(0).normal(size=(N, N))
    return permutation * (3.0 if activation in ("relu", "leaky_relu") else 1.0)


@pytest.mark.parametrize(
    "activation",
    ["relu", "leaky_relu", "relu6", "hard_tanh", "hard_sigmoid", "tanh", "softplus"],
)
def test_other_coordinates_are_no_difference(activation: str) -> None:
    cell, readout = simple_cell(activation), np.ones((N, 2)) * [[1.0, -1.0]]
    other, others = ku.theory.similarity_transform(
        cell, transform(activation), readout=readout
    )
    report = verify(cell, other, readouts=(readout, others))
    assert report.verdict == "not decided"
    assert report.differences == ()
    assert len(report.reasons) == 1
    assert "no proof by theorem 1" in report.reasons[0]
    assert report.relative_difference_in_float64 is not None
    assert report.relative_difference_in_float64 < 1e-5
    assert report.unitarity_error is None
    wrong = verify(cell, other, readouts=(readout, 1.001 * others))
    assert wrong.verdict == "different"
    # Without the readouts the states are compared, and these are others.
    assert verify(cell, other, search=False).verdict == "different"


def short(cell: Any) -> Any:
    """Weights of a few digits, so that sums and products of them are exact."""
    cell.set_weights([np.round(64.0 * w) / 64.0 for w in cell.get_weights()])
    return cell


@pytest.mark.each_backend
def test_linear_cells_are_decided_by_their_markov_parameters() -> None:
    cell, readout = short(simple_cell("linear")), np.ones((N, 1))
    shear = np.eye(N) + np.diag([1.0, -2.0, 4.0], 1)
    other, others = ku.theory.similarity_transform(cell, shear, readout=readout)
    report = verify(cell, other, readouts=(readout, others), search=False)
    assert report.equivalent
    # A state that nothing sees makes no difference; another weight does.
    larger = L.SimpleRNNCell(N + 1, "linear")
    larger.build((None, FEATURES))
    kernel, matrix, bias = cell.get_weights()
    unseen = [np.pad(kernel, ((0, 0), (0, 1))), np.pad(matrix, (0, 1))]
    unseen[1][:, N] = 0.3
    larger.set_weights([*unseen, np.append(bias, 1.0)])
    padded = np.append(readout, [[0.0]], axis=0)
    seen = {"readouts": (readout, padded), "search": False}
    assert verify(cell, larger, **seen).equivalent
    report = verify(changed(cell, 1e-3), other, readouts=(readout, others))
    assert report.verdict == "different"


def test_markov_parameters_that_are_equal_to_rounding_decide_nothing() -> None:
    cell, readout = simple_cell("linear"), np.ones((N, 1))
    other, others = ku.theory.similarity_transform(
        cell, transform("linear"), readout=readout
    )
    report = verify(cell, other, readouts=(readout, others), search=False)
    assert (report.verdict, report.differences) == ("not decided", ())


def test_one_network_twice_is_equivalent_whatever_it_is() -> None:
    for activation in ("relu", "tanh", "softplus"):
        cell = simple_cell(activation)
        assert verify(cell, changed(cell, 0.0), search=False).equivalent


def test_a_change_below_the_digits_of_float32_is_seen_in_float64() -> None:
    layer = build(ku.ContractiveRNN(N))
    converted = to_unitary(layer, input_bound=BOUND)
    kernel = to_numpy(converted.cell.kernel).astype("float32")
    kernel[0, 0] = np.nextafter(kernel[0, 0], np.float32(9.0))
    converted.cell.kernel.assign(kernel)
    report = verify(layer, converted, search=False)
    assert report.max_relative_difference < 1e-6
    assert report.verdict == "different"
    assert any("in float64" in difference for difference in report.differences)


def test_what_a_state_sees_that_is_always_off_is_no_difference() -> None:
    cell = simple_cell("relu")
    kernel, matrix, bias = cell.get_weights()
    bias[0] = -1e3
    cell.set_weights([kernel, matrix, bias])
    other = changed(cell, 0.0)
    kernel[:, 0] += 1.0
    other.set_weights([kernel, matrix, bias])
    report = verify(cell, other)
    assert (report.verdict, report.differences) == ("not decided", ())


def test_what_is_left_of_a_unitary_layer_is_what_it_came_from() -> None:
    layer = build(ku.ContractiveRNN(N, return_sequences=True))
    unitary = to_unitary(layer, input_bound=BOUND)
    pruned = ku.prune_inactive(unitary, input_bound=BOUND)
    report = verify(unitary, pruned, search=False)
    assert report.equivalent, report
    assert (report.states_before, report.states_after) == (2 * N, N)
    assert report.unitarity_error is None
    kernel = to_numpy(pruned.cell.kernel)
    kernel[0, 0] += 1e-3
    pruned.cell.kernel.assign(kernel)
    assert verify(unitary, pruned, search=False).verdict == "different"


def test_models_in_either_order() -> None:
    model = sequential(contractive(3, name="c"))
    converted = to_unitary(model, input_bound=BOUND)
    report = verify(converted, model, steps=12, search=False)
    assert report.equivalent, report
    assert report.states_before > report.states_after


def lstm(seed: int) -> Any:
    layer = L.LSTM(2, return_sequences=True, name="gated")
    layer.build((None, None, FEATURES))
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.normal(size=w.shape) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("search", [False, True])
def test_gated_layers_are_run_as_a_whole(search: bool) -> None:
    report = verify(lstm(0), lstm(0), steps=12, search=search)
    assert (report.verdict, report.differences) == ("not decided", ())
    assert report.relative_difference_in_float64 is None
    assert report.states_before == 4  # two per unit
    assert "LSTMCell" in report.reasons[0]
    assert verify(lstm(0), lstm(1), steps=12, search=search).verdict == "different"


def test_a_cell_of_another_kind_is_run_as_a_whole() -> None:
    cell = L.GRUCell(2)
    cell.build((None, FEATURES))
    report = verify(cell, cell, steps=12, search=False)
    assert (report.verdict, report.differences) == ("not decided", ())
    other = L.GRUCell(3)
    other.build((None, FEATURES))
    differences = verify(cell, other, steps=12, search=False).differences
    assert differences == (f"{cell.name}: its outputs are others",)


def both_ways(seed: int) -> Any:
    layer = L.Bidirectional(L.SimpleRNN(2, "tanh", return_sequences=True), name="both")
    layer.build((None, None, FEATURES))
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def test_layers_of_several_cells_are_run_as_a_whole() -> None:
    report = verify(both_ways(0), both_ways(0), steps=12, search=False)
    assert (report.verdict, report.differences) == ("not decided", ())
    report = verify(both_ways(0), both_ways(1), steps=12, search=False)
    assert report.verdict == "different"


def dense(seed: int, name: str) -> Any:
    x = keras.Input((12, FEATURES), name="x")
    model = keras.Model(x, L.Dense(2, name=name)(L.LSTM(3, name="gated")(x)))
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("search", [False, True])
def test_models_that_theorem_1_does_not_speak_of(search: bool) -> None:
    report = verify(dense(0, "a"), dense(0, "b"), search=search)
    assert (report.verdict, report.differences) == ("not decided", ())
    report = verify(dense(0, "a"), dense(1, "a"), search=search)
    assert report.verdict == "different"
    x = keras.Input((12, FEATURES + 1), name="x")
    wider = keras.Model(x, L.Dense(2)(L.LSTM(3)(x)))
    (difference,) = verify(dense(0, "a"), wider, search=False).differences
    assert difference.endswith("its inputs are others")


def test_readouts_that_do_not_fit_are_refused() -> None:
    cell = simple_cell("relu")
    fits = np.ones((N, 1))
    for readouts in (fits, (fits,), (fits, np.ones((N + 1, 1))), (fits, np.ones(2))):
        with pytest.raises(ValueError, match="`readouts` must be two arrays"):
            verify(cell, cell, readouts=readouts)
    with pytest.raises(ValueError, match="for 2 and 2 cells"):
        verify(both_ways(0), both_ways(0), readouts=(fits, fits))
    with pytest.raises(ValueError, match="`readouts` must be `None` for models"):
        verify(dense(0, "a"), dense(0, "a"), readouts=(fits, fits))


def test_what_is_no_recurrent_network_is_refused() -> None:
    cell = simple_cell("relu")
    layer = L.Dense(2)
    layer.build((None, FEATURES))
    with pytest.raises(ValueError, match="a recurrent cell or layer, or a model"):
        verify(cell, layer)
    with pytest.raises(ValueError, match="must be built"):
        verify(cell, L.SimpleRNNCell(2))
    diverged = changed(cell, np.nan)
    with pytest.raises(ValueError, match="NaN"):
        verify(diverged, cell)

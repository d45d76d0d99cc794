"""The certificate passes conversions, and fails them with one number changed."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import EquivalenceReport, to_unitary, verify_equivalence
from tests.equivalence.layers import build
from tests.equivalence.networks import BOUND, FEATURES, Array
from tests.helpers import precision, to_numpy

N = 4


def pair() -> tuple[Any, Any]:
    layer = build(ku.ContractiveRNN(N, learn_initial_state=True), norm=0.999)
    return layer, to_unitary(layer, input_bound=BOUND)


def verify(original: Any, converted: Any, **kwargs: Any) -> EquivalenceReport:
    arguments: dict[str, Any] = {
        "input_bound": BOUND,
        "steps": 20,
        "batch_size": 4,
        "search": False,
    }
    return verify_equivalence(original, converted, **{**arguments, **kwargs})


@pytest.mark.each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_conversion_is_equivalent_over_1000_steps(dtype: str) -> None:
    with precision(dtype):
        report = verify(*pair(), steps=1000)
    assert report.equivalent
    assert report.reasons == ()
    assert report.largest_added_state == 0.0
    assert report.smallest_distance > 0.0
    assert (report.states_before, report.states_after) == (N, 2 * N)
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    assert report.unitarity_error <= tolerance
    assert report.max_relative_difference <= tolerance
    assert report.max_absolute_difference >= report.max_relative_difference * 0.0


def raise_one_bias(weights: list[Array]) -> None:
    weights[2][N + 1] *= 0.5


def raise_one_bias_slightly(weights: list[Array]) -> None:
    weights[2][N] = np.nextafter(weights[2][N], np.float32(0.0))


def raise_one_bias_above_0(weights: list[Array]) -> None:
    weights[2][-1] = 1.0


def flip_an_added_row(weights: list[Array]) -> None:
    weights[1][N, 0] *= -1.0


def flip_in_the_corner(weights: list[Array]) -> None:
    weights[1][0, 0] *= -1.0


def flip_a_readout(weights: list[Array]) -> None:
    weights[1][0, N] *= -1.0


def flip_a_bias(weights: list[Array]) -> None:
    weights[2][N] *= -1.0


def flip_an_input_weight(weights: list[Array]) -> None:
    weights[0][0, 0] *= -1.0


def input_to_an_added_state(weights: list[Array]) -> None:
    weights[0][0, N] = 1e-6


def start_an_added_state(weights: list[Array]) -> None:
    weights[3][N] = 1e-6


def move_the_start(weights: list[Array]) -> None:
    weights[3][0] += 1e-3


def nan_in_the_matrix(weights: list[Array]) -> None:
    weights[1][0, N] = np.nan


CHANGES: dict[Callable[[list[Array]], None], str] = {
    raise_one_bias: "bias of an added state is beyond",
    raise_one_bias_slightly: "bias of an added state is beyond",
    raise_one_bias_above_0: "an added state left its rest",
    flip_an_added_row: "not orthogonal",
    flip_in_the_corner: "the corner is not",
    flip_a_readout: "not orthogonal",
    flip_a_bias: "bias of an added state is beyond",
    flip_an_input_weight: "the input kernel is not",
    input_to_an_added_state: "sees the input",
    start_an_added_state: "does not start at rest",
    move_the_start: "the initial state is not",
    nan_in_the_matrix: "not orthogonal",
}


@pytest.mark.each_backend
@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_one_number_changed_is_reported(change: Callable[[list[Array]], None]) -> None:
    original, converted = pair()
    weights = converted.get_weights()
    change(weights)
    converted.set_weights(weights)
    report = verify(original, converted)
    assert not report.equivalent
    assert CHANGES[change] in "\n".join(report.reasons)


@pytest.mark.parametrize("row", range(2 * N))
def test_1e_4_added_to_an_entry_of_the_matrix_is_reported(row: int) -> None:
    original, converted = pair()
    weights = converted.get_weights()
    weights[1][row, (3 * row + 1) % (2 * N)] += 1e-4
    converted.set_weights(weights)
    assert not verify(original, converted, steps=2).equivalent


def test_1e_4_in_a_large_matrix_is_reported() -> None:
    original = build(ku.ContractiveRNN(128))
    converted = to_unitary(original, input_bound=BOUND)
    weights = converted.get_weights()
    weights[1][200, 100] += 1e-4
    converted.set_weights(weights)
    assert "not orthogonal" in "\n".join(verify(original, converted, steps=2).reasons)


def test_a_larger_bound_than_converted_for_is_reported() -> None:
    report = verify(*pair(), input_bound=1.01 * BOUND)
    assert "bias of an added state is beyond" in report.reasons[0]


def test_the_adverse_inputs_come_near_to_switching_a_state_on() -> None:
    # One unit: h = 0.9 h + x reaches 10 times the bound in the limit.
    original = keras.layers.SimpleRNN(1, "relu", use_bias=False)
    original.build((None, None, 1))
    original.set_weights([np.ones((1, 1)), np.full((1, 1), 0.9)])
    with precision("float32"):
        converted = to_unitary(original, input_bound=1.0)
    report = verify(original, converted, input_bound=1.0, steps=200, batch_size=1)
    bias = -to_numpy(converted.cell.bias)[1]
    # What is left is the margin for TF32 products: 4 / 1024 a step, ten steps long.
    assert 0.0 < report.smallest_distance < 0.1 * bias


def test_another_network_is_reported() -> None:
    original, _ = pair()
    _, converted = pair()
    other = build(ku.ContractiveRNN(N, learn_initial_state=True), norm=0.5, seed=9)
    assert verify(original, converted).equivalent
    assert not verify(other, converted).equivalent
    assert not verify(original, build(ku.ContractiveRNN(N))).equivalent


# Flags by whether a run of one batch without a mask shows them.
FLAGS = {
    "return_sequences": "different",
    "return_state": "different",
    "go_backwards": "different",
    "stateful": "not decided",
    "unroll": "not decided",
    "zero_output_for_mask": "not decided",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_another_way_through_the_sequence_is_reported(flag: str) -> None:
    original, converted = pair()
    setattr(converted, flag, not getattr(original, flag))
    report = verify(original, converted)
    assert report.reasons[0] == f"{original.name}: `{flag}` is True, not False"
    assert report.verdict == FLAGS[flag]
    words = {"go_backwards": "outputs differ by"}.get(flag, "its outputs are others")
    assert all(words in difference for difference in report.differences)


def both(**kwargs: Any) -> Any:
    forward = ku.ContractiveRNN(2, max_norm=0.9, name="half")
    layer = keras.layers.Bidirectional(forward, name="both", **kwargs)
    layer.build((None, None, FEATURES))
    return layer


def test_another_merge_of_the_two_directions_is_reported() -> None:
    original = both()
    converted = to_unitary(original, input_bound=BOUND)
    assert verify(original, converted).equivalent
    converted.merge_mode = "sum"
    report = verify(original, converted)
    assert report.reasons == (
        "both: `merge_mode` is 'sum', not 'concat'",
        "both: its outputs are others",
    )
    converted.merge_mode = "concat"
    converted.backward_layer.go_backwards = False
    assert "`go_backwards` is False" in verify(original, converted).reasons[0]


def test_another_kind_of_layer_is_reported() -> None:
    original, converted = pair()
    assert "not a recurrent layer" in verify(original, converted.cell).reasons[0]
    original = both()
    stack = keras.layers.RNN([ku.UnitaryRNNCell(3), ku.UnitaryRNNCell(2)])
    stack.build((None, None, FEATURES))
    assert "not a Bidirectional layer" in verify(original, stack).reasons[0]


def test_a_copy_of_a_unitary_layer_is_equivalent() -> None:
    layer = ku.UnitaryRNN(3, "tanh")
    layer.build((None, None, FEATURES))
    report = verify(layer, to_unitary(layer, input_bound=BOUND))
    assert report.equivalent
    assert report.states_before == report.states_after == 3
    assert report.smallest_distance == np.inf


def test_a_unitary_layer_with_states_added_is_no_copy() -> None:
    # Off for these inputs, but nothing proves that they stay so.
    layer = ku.UnitaryRNN(2)
    layer.build((None, None, FEATURES))
    larger = ku.UnitaryRNN(3, output_units=2)
    larger.build((None, None, FEATURES))
    kernel, matrix, bias = layer.get_weights()
    matrix = np.block([[matrix, np.zeros((2, 1))], [np.zeros((1, 2)), np.ones((1, 1))]])
    weights = [np.pad(kernel, ((0, 0), (0, 1))), matrix, np.append(bias, -1.0)]
    larger.set_weights(weights)
    reason = f"{layer.name}: a copy has another number of states"
    assert verify(layer, larger).reasons == (reason,)


def test_the_report_prints_as_a_short_table() -> None:
    original, converted = pair()
    lines = str(verify(original, converted)).splitlines()
    assert lines[0].split() == ["verdict", "equivalent"]
    assert "states before, after         4, 8" in lines
    assert len(lines) == 9
    failed = str(verify(original, converted, input_bound=1.01 * BOUND))
    assert failed.splitlines()[0].split() == ["verdict", "not", "decided"]
    assert "- contractive_rnn" in failed.splitlines()[-1]


def test_the_report_is_saved_as_json(tmp_path: Path) -> None:
    original, converted = pair()
    report = verify(original, converted)
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert saved.pop("equivalent") is True
    assert saved.pop("verdict") == "equivalent"
    assert saved.pop("reasons") == saved.pop("differences") == []
    assert dataclasses.replace(report, **saved) == report
    biases = to_numpy(converted.cell.bias)[N:]
    assert report.largest_added_bias == np.abs(biases).max()
    unknown = dataclasses.replace(report, unitarity_error=float("inf"))
    unknown.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert saved["unitarity_error"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.each_backend
def test_the_search_finds_where_a_difference_is_largest() -> None:
    # w x and w' x differ most in one corner of 2^20.
    generator = np.random.default_rng(0)
    layers = [keras.layers.SimpleRNN(1, "relu", name="one") for _ in range(2)]
    w = generator.uniform(0.1, 0.2, (20, 1))
    for layer, kernel in zip(
        layers, (w, w + 1e-3 * generator.choice([-1.0, 1.0], w.shape)), strict=True
    ):
        layer.build((None, None, 20))
        layer.set_weights([kernel, np.zeros((1, 1)), np.full(1, 5.0)])
    plain, searched = (
        verify(*layers, input_bound=1.0, search=search) for search in (False, True)
    )
    # Float32 stores 1e-3 near 1/8 to 1e-8.
    np.testing.assert_allclose(searched.max_absolute_difference, 0.02, rtol=1e-4)
    assert plain.max_absolute_difference < 0.015
    assert plain.verdict == searched.verdict == "different"


def test_the_horizon_limits_the_steps_and_the_proof() -> None:
    layer = build(keras.layers.SimpleRNN(3, "relu"), norm=1.0)
    converted = to_unitary(layer, input_bound=BOUND, horizon=10)
    report = verify(layer, converted, horizon=10)
    assert report.equivalent
    assert "steps since a reset          10 at most" in str(report).splitlines()
    assert not verify(layer, converted, horizon=11).equivalent


def test_what_theorem_1_does_not_cover_is_compared_and_not_decided() -> None:
    layer = build(keras.layers.SimpleRNN(3, "relu"))
    layer.cell.recurrent_kernel.assign(np.diag([1.0, 0.5, -0.5]))
    converted = to_unitary(layer, input_bound=BOUND, horizon=10)
    report = verify(layer, converted)
    assert (report.verdict, report.differences) == ("not decided", ())
    assert "no proof by theorem 1" in report.reasons[0]
    assert "spectral norm 1" in report.reasons[0]


@pytest.mark.parametrize("argument", ["steps", "batch_size"])
def test_runs_have_a_size(argument: str) -> None:
    with pytest.raises(ValueError, match=f"`{argument}` must be a positive integer"):
        verify(*pair(), **{argument: 0})

"""The benchmark of the recurrence: it runs, and its numbers mean what they say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import contestants
import keras
import lockstep
import pytest
import recurrence
import targets

SCRIPT = Path(recurrence.__file__)
GOES = (False, False)  # a mode that each backend has
TIMES = {"SimpleRNN": 10.0, "UnitaryRNN": 4.0, "ContractiveRNN": 5.0}


def row(name: str, ms: float, jit: bool = True, flush: bool = False) -> dict[str, Any]:
    training = {"first_s": 1.0, "mebibytes": 2.0 * ms}
    training |= lockstep.summary([0.9e-3 * ms, 1e-3 * ms, 1.1e-3 * ms])
    return {
        "contestant": name,
        "jit_compile": jit,
        "flush_denormals": flush,
        "training": training,
    }


def run(backend: str, shape: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "backend": backend,
        "commit": "0",
        "machine": {"processor": "fast"},
        "complete": True,
        "shape": contestants.SHAPES[shape]._asdict(),
        "contestants": list(rows),
    }


def record(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"runs": list(runs), "growth": []}


def target(title: str) -> targets.Target:
    (found,) = (one for one in targets.TARGETS if one.title.startswith(title))
    return found


def usual(backend: str, shape: str, jit: bool) -> dict[str, Any]:
    return run(backend, shape, *(row(name, ms, jit) for name, ms in TIMES.items()))


def test_a_quick_run_writes_what_it_measured(tmp_path: Path) -> None:
    output = tmp_path / "recurrence.json"
    backend = keras.config.backend()
    arguments = ["--quick", "--backend", backend, "--output", str(output)]
    printed = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.startswith("| against")
    written = json.loads(output.read_text(encoding="utf-8"))
    (measured,) = written["runs"]
    assert measured["backend"] == backend
    assert measured["shape"] == contestants.QUICK_SHAPE._asdict()
    rows = measured["contestants"]
    assert {one["contestant"] for one in rows} == set(contestants.QUICK)
    for one in rows:
        assert "error" not in one
        assert one["training"]["ms"] > 0.0
        assert len(one["training"]["rounds_ms"]) == 2
        assert one["training"]["mebibytes"] >= 0.0
    (ours, *_) = (one for one in rows if one["contestant"] == "UnitaryRNN")
    assert set(lockstep.PHASES) < set(ours)


def test_a_run_replaces_the_one_that_it_repeats_and_no_other() -> None:
    old, other = usual("jax", "small", jit=True), usual("jax", "wide", jit=True)
    new = {**old, "commit": "1"}
    first = usual("tensorflow", "wide", jit=True)
    assert recurrence.merged([other, old], new) == [new, other]
    assert recurrence.merged([other, new], first) == [first, new, other]


def test_growth_takes_the_place_of_the_same_backend_only() -> None:
    old, other = {"backend": "jax", "points": []}, {"backend": "torch", "points": []}
    new = {"backend": "jax", "points": [1]}
    assert recurrence.merged([old, other], new) == [new, other]


def test_a_ratio_is_of_the_slower_of_ours_in_the_same_mode() -> None:
    others = [row(name, 99.0, jit=False) for name in TIMES]
    jitted = usual("tensorflow", "small", jit=True)
    jitted["contestants"] += others
    cell = targets.cell(
        record(jitted), target("`SimpleRNN`, TensorFlow with XLA"), "small"
    )
    assert cell is not None
    assert cell.ratio == pytest.approx(0.5)
    assert not cell.met  # 0.45 was promised
    assert str(cell) == "0.50 (≤ 0.45): **missed**"


def test_what_was_not_measured_has_no_cell() -> None:
    there = record(usual("jax", "small", jit=True))
    assert targets.cell(there, target("`SimpleRNN`, JAX"), "wide") is None
    assert targets.cell(there, target("`SimpleRNN`, PyTorch"), "small") is None
    assert targets.cell(there, target("`LSTM`"), "small") is None
    table = targets.ratios(record(usual("jax", "small", jit=True), run("jax", "wide")))
    assert table.splitlines()[0] == "| against | small | wide |"
    assert table.splitlines()[2].endswith(": met | not measured |")
    assert len(table.splitlines()) == 3  # of the others nothing is there


@pytest.mark.parametrize(
    ("ratio", "overlap", "met"),
    [
        (1.0, False, True),
        (1.02, True, True),
        (1.02, False, False),
        (1.04, True, False),
    ],
)
def test_as_fast_means_within_the_spread(
    ratio: float, overlap: bool, met: bool
) -> None:
    assert targets.Cell(ratio, 1.0, at_most=False, overlap=overlap).met is met


def test_a_target_below_one_has_no_slack() -> None:
    assert not targets.Cell(0.86, 0.85, at_most=False, overlap=True).met


def test_who_was_stopped_gives_a_bound() -> None:
    stopped = {**row("SimpleRNN, plain SVD", 1.0), "training": {"stopped_after_s": 1}}
    measured = usual("tensorflow", "wide", jit=True)
    measured["contestants"].append(stopped)
    cell = targets.cell(record(measured), target("plain SVD"), "wide")
    assert cell is not None
    assert str(cell) == "< 0.01 (≤ 0.05): met"  # 5 ms of 1,000


def test_geotorch_in_its_faster_mode_meets_our_fastest_backend() -> None:
    ours = usual("jax", "pmnist", jit=True)
    theirs = [row("geotorch", 20.0, False), row("geotorch", 10.0, False, flush=True)]
    slow = run("torch", "pmnist", *theirs, *(row(name, 50.0, False) for name in TIMES))
    cell = targets.cell(record(ours, slow), target("geotorch"), "pmnist")
    assert cell is not None
    assert cell.ratio == pytest.approx(0.5)
    # Ours on another processor is no match for it.
    ours["machine"] = {"processor": "faster"}
    cell = targets.cell(record(ours, slow), target("geotorch"), "pmnist")
    assert cell is not None
    assert cell.ratio == pytest.approx(5.0)


def test_flushed_denormals_are_geotorchs_only() -> None:
    measured = usual("torch", "small", jit=False)
    measured["contestants"] += [row(name, 99.0, False, flush=True) for name in TIMES]
    cell = targets.cell(record(measured), target("`SimpleRNN`, PyTorch"), "small")
    assert cell is not None
    assert cell.ratio == pytest.approx(0.5)


def test_lstm_counts_where_ours_gains_least() -> None:
    first, second = usual("jax", "small", jit=True), usual("torch", "small", jit=False)
    first["contestants"].append(row("LSTM", 10.0))
    second["contestants"].append(row("LSTM", 20.0, jit=False))
    cell = targets.cell(record(first, second), target("`LSTM`"), "small")
    assert cell is not None
    assert cell.ratio == pytest.approx(0.5)


def test_the_share_of_the_peak_counts_products() -> None:
    measured = usual("jax", "pmnist", jit=True)
    measured["contestants"].append(row("matrix product", 1.0))
    share = targets.of_peak(measured, row("UnitaryRNN", 5.0))
    # Three passes in 5 ms, one in 1 ms; the inputs, two products of width 1, on top.
    assert share == pytest.approx((3.0 + 2.0 / 128.0) / 5.0)


def test_each_layer_has_a_share_of_the_peak() -> None:
    slow, fast = usual("torch", "wide", jit=False), usual("jax", "wide", jit=True)
    for measured, product in ((slow, 1.0), (fast, 1.5)):
        measured["contestants"].append(row("matrix product", product))
    table = targets.promises(record(slow, fast))
    for name in ("UnitaryRNN", "ContractiveRNN"):
        share = 1.5 * (3.0 + 2.0 / 512.0) / TIMES[name]
        assert f"peak, {name} | wide | JAX | {share:.0%} | ≥ 90% |" in table


def test_memory_is_promised_by_that_of_simple_rnn() -> None:
    table = targets.promises(record(usual("jax", "pmnist", jit=True)))
    assert "divided by `SimpleRNN`'s | pmnist | JAX | 0.50 | ≤ 1.25 | met |" in table


def test_checkpoints_are_promised_to_take_less_than_simple_rnn() -> None:
    measured = usual("jax", "long", jit=True)
    measured["contestants"] += [row("UnitaryRNN, checkpoint_every=100", 11.0)]
    (line,) = re.findall(".*checkpoint_every.*", targets.promises(record(measured)))
    assert line.endswith("| long | JAX | 1.10 | < 1 | **missed** |")


def test_who_fails_leaves_the_others() -> None:
    fails = contestants.Entry("no such contestant", False, False)
    goes = contestants.Entry("matrix product", *GOES)
    backend, rules = keras.config.backend(), lockstep.Rules(rounds=2, warm_ups=1)
    rows = lockstep.race(
        [
            lockstep.Contender(backend, who, contestants.QUICK_SHAPE, rules)
            for who in (fails, goes)
        ],
        rules,
        phases=("training",),
    )
    assert rows[0]["error"] == "KeyError: 'no such contestant'"
    assert "training" not in rows[0]
    assert len(rows[1]["training"]["rounds_ms"]) == 2


def test_who_takes_too_long_is_stopped_or_run_once() -> None:
    entry = contestants.Entry("matrix product", *GOES)
    backend, rules = keras.config.backend(), lockstep.Rules(rounds=2, once=0.0)
    (once,) = lockstep.race(
        [lockstep.Contender(backend, entry, contestants.QUICK_SHAPE, rules)], rules
    )
    assert once["training"]["once"]
    assert len(once["training"]["rounds_ms"]) == 1
    contender = lockstep.Contender(
        backend, entry, contestants.QUICK_SHAPE, lockstep.Rules(limit=0.0)
    )
    assert not contender.enter("training")
    assert contender.row["training"] == {"stopped_after_s": 0.0}
    assert not contender.enter("inference")
    assert "inference" not in contender.row


def test_exponents_are_those_of_power_laws() -> None:
    points = [
        {"axis": axis, "value": n, "jit_compile": jit, "ms": 0.3 * n**power}
        for axis, jit, power in (
            ("units", True, 2),
            ("units", False, 1),
            ("batch", True, 0),
        )
        for n in (1, 10, 100)
    ]
    found = {
        (row["axis"], row["jit_compile"]): row["exponent"]
        for row in recurrence.exponents(points)
    }
    assert found == {
        ("units", True): pytest.approx(2.0),
        ("units", False): pytest.approx(1.0),
        ("batch", True): pytest.approx(0.0, abs=1e-9),
    }


def test_one_point_has_no_exponent() -> None:
    point = {"axis": "units", "value": 8, "jit_compile": True, "ms": 1.0}
    assert recurrence.exponents([point]) == []


def test_a_summary_has_the_median_and_the_quartiles() -> None:
    summary = lockstep.summary([0.005, 0.001, 0.002, 0.003, 0.004])
    assert summary["ms"] == 3.0
    assert summary["quartiles_ms"] == [2.0, 4.0]
    assert lockstep.summary([0.5])["quartiles_ms"] == [500.0, 500.0]


def test_who_starts_where() -> None:
    def names(backend: str, shape: str) -> list[contestants.Entry]:
        return list(contestants.entries(backend, contestants.SHAPES[shape]))

    wide, small = names("tensorflow", "wide"), names("tensorflow", "small")
    assert {one.contestant for one in wide} - {one.contestant for one in small} == {
        "UnitaryRNN, checkpoint_every=56",
    }
    half = contestants.entries("tensorflow", contestants.HALF_PRECISION)
    assert "UnitaryRNN, mixed_bfloat16" in {one.contestant for one in half}
    assert {one.jit_compile for one in small} == {False, True}
    assert all(one.jit_compile for one in names("jax", "small"))
    peers = [one for one in names("torch", "small") if one.contestant == "geotorch"]
    assert [one.flush_denormals for one in peers] == [False, True]

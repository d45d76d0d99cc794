"""The benchmark of the parametrizations: it runs, and its ratios mean what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import contestants
import keras
import lockstep
import parametrization_tables as shown
import parametrizations
import pytest
import structured
import timed_layers

import keras_urnn as ku

SCRIPT = Path(parametrizations.__file__)
RUN = {"backend": "jax", "shape": contestants.SHAPES["pmnist"]._asdict()}


def system(name: str, ratio: float, over: str | None = "projection") -> dict[str, Any]:
    quartiles = [ratio - 0.01, ratio + 0.01]
    row = {"system": name, "over": over, "ratio": ratio, "ratio_quartiles": quartiles}
    return row if over else {"system": name, "over": None}


def timed(name: str, *ms: float, **about: object) -> dict[str, Any]:
    training = {"ms": sorted(ms)[len(ms) // 2], "rounds_ms": list(ms)}
    mode = {"backend": "torch", "flush_denormals": False, **about}
    return {"contestant": name, "training": training, **mode}


RECORD = {
    "steps": [{**RUN, "rows": [system("cayley", 1.2), system("projection", 1, None)]}],
    "peers": [{**RUN, "ratios": [{"peer": "geotorch", "ratio": 0.4}]}],
    "maps": [
        {**RUN, "rows": [{"map": "givens, capacity=2", "n": 1024, "ratio": 0.25}]}
    ],
}


@pytest.mark.once
def test_a_quick_run_writes_what_it_measured(tmp_path: Path) -> None:
    output, backend = tmp_path / "measured.json", keras.config.backend()
    arguments = ["--preset", "quick", "--backend", backend, "--output", str(output)]
    subprocess.run([sys.executable, str(SCRIPT), *arguments], check=True)
    written = json.loads(output.read_text(encoding="utf-8"))
    (steps,), (peers,), (maps,) = (written[part] for part in parametrizations.PARTS)
    assert steps["shape"] == contestants.QUICK_SHAPE._asdict()
    names = [one.name for one in timed_layers.systems()]
    assert [row["system"] for row in steps["rows"]] == [
        *timed_layers.REFERENCES,
        *names,
    ]
    assert all(row["ratio"] > 0.0 for row in steps["rows"] if row["over"])
    assert all(len(row["rounds_ms"]) == 2 for row in steps["rows"])
    assert [row["peer"] for row in peers["ratios"]] == ["torch, cayley"]
    assert [row["map"] for row in maps["rows"]] == list(structured.MAPS)
    assert {(row["n"], row["is_structured"]) for row in maps["rows"]} == {(4, False)}
    assert all(row["ratio"] > 0.0 for row in maps["rows"])


def test_every_parametrization_and_option_is_timed_over_its_like() -> None:
    over = {one.name: one.over for one in timed_layers.systems()}
    assert {*ku.parametrizations.NAMES} - {*over} == {timed_layers.REFERENCE}
    assert over["givens, capacity=2"] == timed_layers.REFERENCE
    assert over["cayley, field=complex"] == timed_layers.WIDER
    assert over["bounded_svd"] == timed_layers.CONTRACTIVE
    assert {*shown.AIMS} <= {*over}


def test_each_system_has_as_many_numbers_of_state_as_what_it_is_compared_with() -> None:
    for one in timed_layers.systems():
        widths = {
            layer(4).cell.state_size
            for layer in (one.layer, timed_layers.REFERENCES[one.over])
        }
        assert len(widths) == 1, one.name


def test_a_ratio_is_of_rounds_that_were_next_to_each_other() -> None:
    # Round by round 2, 1 and 3: the median of a row by that of the other would be 1.
    found = lockstep.ratios([4.0, 10.0, 9.0], [2.0, 10.0, 3.0])
    assert found == {"ratio": 2.0, "ratio_quartiles": [1.5, 2.5]}


def test_warm_ups_do_not_count() -> None:
    told = ({"seconds": float(number), "first": 9.0} for number in range(10))
    rules = lockstep.Rules(rounds=3, warm_ups=2)
    row = lockstep.in_turns({"one": told}, rules)["one"]
    assert row["rounds_ms"] == [2000.0, 3000.0, 4000.0]
    assert row["first_s"] == 9.0


def test_a_peer_in_its_faster_mode_meets_our_fastest_backend() -> None:
    ours = shown.PEERS["geotorch"]
    rows = [
        timed("geotorch", 20.0, 20.0, 20.0),
        timed("geotorch", 10.0, 10.0, 10.0, flush_denormals=True),
        timed(ours, 5.0, 6.0, 7.0, backend="jax"),
        timed(ours, 50.0, 50.0, 50.0),
    ]
    (found,) = shown.peers_ratios(rows)
    assert (found["backend"], found["flush_denormals"]) == ("jax", True)
    assert found["ratio"] == pytest.approx(0.6)


def test_what_is_left_out_has_no_ratio() -> None:
    assert shown.peers_ratios([timed("geotorch", 1.0, 1.0)]) == []


def test_without_geotorch_its_rows_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parametrizations, "find_spec", lambda name: None)
    (about, _), *_ = parametrizations.peers(parametrizations.parse([]))
    assert "geotorch" not in about["peers"]
    assert len(about["peers"]) == 3
    assert "geotorch isn't installed" in capsys.readouterr().err


def test_promises_are_compared_with_what_was_measured() -> None:
    lines = shown.promises(RECORD).splitlines()[2:]
    assert lines == [
        "| cayley | jax | 1.20 | ≤ 1.1 | missed |",
        "| geotorch | pmnist | 0.40 | ≤ 0.5 | met |",
        "| givens, capacity=2, 1024 | jax | 0.25 | ≤ 0.3 | met |",
    ]


def test_the_table_has_what_was_measured_of_each_backend() -> None:
    *_, line = shown.markdown(RECORD).splitlines()
    assert line == "| `cayley` | projection |  | 1.20 (1.19–1.21) |  |"
    sentence = "at pmnist, 128 units, 0.40 (geotorch)."
    assert shown.peers_sentence(RECORD).endswith(sentence)


def test_a_run_takes_the_place_of_the_one_that_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    for backend, commit in (("jax", "0"), ("torch", "0"), ("jax", "1")):
        new = {**RUN, "backend": backend, "commit": commit, "rows": []}
        parametrizations.add(path, "steps", new)
    runs = parametrizations.load(path)["steps"]
    assert [(run["backend"], run["commit"]) for run in runs] == [
        ("jax", "1"),
        ("torch", "0"),
    ]


def test_done_is_what_was_timed_so_with_this_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parametrizations, "is_current", lambda commit: commit == "now")
    (about, _), *_ = parametrizations.steps(parametrizations.parse([]))
    done = {**about, "commit": "now"}
    assert parametrizations.is_done([done], about)
    assert not parametrizations.is_done([{**done, "commit": "before"}], about)
    assert not parametrizations.is_done([done], {**about, "backend": "other"})

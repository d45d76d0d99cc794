"""Finished trials survive whatever happens."""

import contextlib
import json
import math
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
import trials
from files import RunError

TRIALS = [{"number": number} for number in range(4)]


def square(trial: dict[str, Any]) -> dict[str, Any]:
    return {"square": trial["number"] ** 2}


def fail_at_two(trial: dict[str, Any]) -> dict[str, Any]:
    if trial["number"] == 2:
        raise KeyboardInterrupt
    return square(trial)


@pytest.fixture
def journal(tmp_path: Path) -> trials.Journal:
    return trials.Journal(tmp_path / "trials.jsonl")


def test_rows_come_in_the_order_of_the_trials(journal: trials.Journal) -> None:
    rows = trials.run(square, TRIALS, journal)
    assert [row["square"] for row in rows] == [0, 1, 4, 9]
    assert trials.run(square, TRIALS[::-1], journal) == rows[::-1]


def test_what_is_done_is_not_done_again(journal: trials.Journal) -> None:
    with pytest.raises(KeyboardInterrupt):
        trials.run(fail_at_two, TRIALS, journal)
    assert [row["square"] for row in journal.rows()] == [0, 1]
    called = []

    def count(trial: dict[str, Any]) -> dict[str, Any]:
        called.append(trial["number"])
        return square(trial)

    rows = trials.run(count, TRIALS, journal)
    assert called == [2, 3]
    assert [row["square"] for row in rows] == [0, 1, 4, 9]


LINE = json.dumps({"trial": TRIALS[2], "square": 4}).encode()


@pytest.mark.parametrize("torn", [LINE[:-3], LINE, LINE[:-3] + b"\n", b"\x00\x00\n"])
def test_a_torn_line_is_set_aside(
    journal: trials.Journal, capsys: pytest.CaptureFixture[str], torn: bytes
) -> None:
    trials.run(square, TRIALS[:2], journal)
    whole = journal.path.read_bytes()
    with journal.path.open("ab") as file:
        file.write(torn)
    assert [row["square"] for row in journal.rows()] == [0, 1]
    assert journal.path.read_bytes() == whole + torn  # to read leaves it as it is
    assert len(trials.run(square, TRIALS, journal)) == 4
    assert "Warning: the last line of" in capsys.readouterr().out
    assert journal.path.read_bytes().startswith(whole)
    assert [row["square"] for row in journal.rows()] == [0, 1, 4, 9]
    assert journal.path.with_name("trials.jsonl.torn").read_bytes() == torn


@pytest.mark.parametrize("wrong", [LINE[:-3], b"{}", b"1", b'{"trial": 1}', b"\xff"])
def test_a_line_that_is_no_row_is_named(journal: trials.Journal, wrong: bytes) -> None:
    journal.path.write_bytes(LINE + b"\n" + wrong + b"\n" + LINE + b"\n")
    message = r"line 2 of .*trials\.jsonl is spoilt .* Remove that line"
    with pytest.raises(RunError, match=message):
        journal.rows()


def test_no_row_is_written_onto_a_torn_one(journal: trials.Journal) -> None:
    journal.path.write_bytes(LINE[:-3])  # by a process beside this one
    row = {"trial": TRIALS[0], "square": 0}
    journal.add(row)
    assert journal.rows() == [row]


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--output must hold a journal that can be"):
        trials.Journal(tmp_path).check({})


def test_rows_of_other_settings_are_refused(journal: trials.Journal) -> None:
    settings = {"seed": 0, "system": {"on": 0.6}, "epochs": 9}
    journal.add({"trial": TRIALS[0]})  # of a function that has none
    journal.add({"trial": TRIALS[1], "settings": {**settings, "patience": 3}})
    journal.check({**settings, "newer": 1})
    message = r"other settings: seed \(0 there, 1 now\), system.on \(0.6 there, 0.5 now"
    with pytest.raises(RunError, match=message):
        journal.check({"seed": 1, "system": {"on": 0.5}})


def test_numbers_that_json_lacks_become_null(journal: trials.Journal) -> None:
    journal.add({"trial": {"number": 0}, "scores": [math.nan, {"best": -math.inf}, 1]})
    assert journal.path.read_text() == (
        '{"trial": {"number": 0}, "scores": [null, {"best": null}, 1]}\n'
    )


def test_what_is_asked_for_twice_is_run_once(journal: trials.Journal) -> None:
    rows = trials.run(square, [*TRIALS, *TRIALS], journal)
    assert [row["square"] for row in rows] == 2 * [0, 1, 4, 9]
    assert len(journal.rows()) == 4


def test_processes_of_their_own(journal: trials.Journal) -> None:
    rows = trials.run(square, TRIALS, journal, jobs=2)
    assert [row["square"] for row in rows] == [0, 1, 4, 9]


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "find_spec", lambda _: None)
    with pytest.raises(RunError, match="--engine dask needs the package distributed"):
        trials.check_engine("dask")


@pytest.fixture
def taken_port() -> Iterator[None]:
    # That of Dask's dashboard: a cluster of somebody else's has it, or this fixture.
    with socket.socket() as taken:
        with contextlib.suppress(OSError):
            taken.bind(("", 8787))
        yield


def worker(_: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.2)  # so that no worker is done with all before another begins
    return {"worker": distributed.get_worker().address}


def workers(rows: list[dict[str, Any]]) -> set[str]:
    return {row["worker"] for row in rows}


@pytest.mark.long  # two workers import all that a trial needs
@pytest.mark.usefixtures("taken_port")
def test_a_local_dask_cluster(journal: trials.Journal) -> None:
    rows = trials.run(square, TRIALS, journal, jobs=2, engine="dask")
    assert [row["square"] for row in rows] == [0, 1, 4, 9]


@pytest.mark.usefixtures("taken_port")
def test_it_has_as_many_workers_as_jobs(
    journal: trials.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        distributed, "Client", partial(distributed.Client, processes=False)
    )
    rows = trials.run(worker, TRIALS, journal, jobs=3, engine="dask")
    assert len(workers(rows)) == 3


def test_a_dask_cluster_that_is_there(journal: trials.Journal) -> None:
    threads = {"threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(n_workers=2, **threads) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
    ):
        there = {one.address for one in cluster.workers.values()}
        rows = trials.run(worker, TRIALS, journal, jobs=3, engine="dask")
    assert workers(rows) == there

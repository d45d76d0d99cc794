"""The clock of `fit`: seconds of a batch, and how many batches a round has."""

import keras_trial
import pytest


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [0.0]
    monkeypatch.setattr(keras_trial.time, "perf_counter", lambda: time[0])
    return time


def epoch(clock: keras_trial.Clock, now: list[float], times: list[float]) -> None:
    """An epoch whose batches begin, and which ends, at these times."""
    *begins, end = times
    for batch, now[0] in enumerate(begins):
        clock.on_train_batch_begin(batch)
    now[0] = end
    clock.on_epoch_end(0, {"loss": 0.5})


def test_the_first_batch_compiles_and_says_nothing_of_the_others(
    now: list[float],
) -> None:
    clock = keras_trial.Clock(4)
    epoch(clock, now, [100.0, 130.0, 131.0, 132.0, 133.0])
    assert clock.seconds == (33.0 / 4, 30.0)
    assert clock.batches == 4  # each takes a second, all of them no more than a round
    epoch(clock, now, [200.0, 201.0, 202.0, 203.0, 204.0])
    assert clock.seconds == (1.0, 30.0)
    assert clock.loss == 0.5


def test_a_round_of_slow_batches_has_fewer(now: list[float]) -> None:
    clock = keras_trial.Clock(4)
    epoch(clock, now, [0.0, 9.0, 12.0, 15.0, 18.0])
    assert clock.batches == 2
    epoch(clock, now, [20.0, 23.0, 26.0])
    assert clock.seconds == (3.0, 9.0)


def test_one_batch_stays_one(now: list[float]) -> None:
    clock = keras_trial.Clock(1)
    epoch(clock, now, [0.0, 60.0])
    assert clock.seconds == (60.0, 60.0)
    assert clock.batches == 1

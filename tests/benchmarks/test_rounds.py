"""Rounds of a call: its seconds, and those of the very first one."""

import itertools

import measuring
import pytest


def test_the_first_call_is_told_beside_each_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time, events = [0.0], []

    def call() -> None:
        events.append("call")
        time[0] += 9.0 if events.count("call") == 1 else 2.0  # the first compiles

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: time[0])
    rounds = measuring.rounds(call, calls=3, after=lambda: events.append("after"))
    first, second, third = itertools.islice(rounds, 3)
    assert first == {"seconds": 9.0, "first": 9.0}
    assert second == third == {"seconds": 2.0, "first": 9.0}
    assert events == ["call", "after", *2 * ["call", "call", "call", "after"]]

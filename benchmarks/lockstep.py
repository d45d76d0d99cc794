"""Run contestants in processes of their own, one round of each after the other.

A process for each: what it compiles, how much memory it takes and whether denormals are
flushed is then its own affair, and one that takes too long can be stopped. They take
turns, so that all of them share the machine's moods; who isn't on waits for a line on
its standard input.

The other side is `trial.py`: a word goes in, an object in JSON comes back.
"""

import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from contestants import Entry, Shape

TRIAL = Path(__file__).with_name("trial.py")
MODES = ("jit_compile", "flush_denormals")
PHASES = ("training", "inference", "streaming", "projection")
FLAGS = {"TF_CPP_MIN_LOG_LEVEL": "3"}


class Rules(NamedTuple):
    """How often each is run, and when it is given up."""

    rounds: int = 7
    warm_ups: int = 2
    # Whose first step and the one after it take longer than this many seconds isn't
    # run again.
    once: float = 60.0
    # Whose answer takes longer than this many seconds is stopped.
    limit: float = 480.0


class Contender:
    """A contestant in its process, and what was measured of it."""

    def __init__(self, backend: str, entry: Entry, shape: Shape, rules: Rules) -> None:
        self.rules = rules
        self.row: dict[str, Any] = entry._asdict()
        self._seconds: list[float] = []
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, str(TRIAL), json.dumps([entry, shape])],
            env={**os.environ, **FLAGS, "KERAS_BACKEND": backend},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong is in an answer
            bufsize=0,
        )

    def __str__(self) -> str:
        modes = [mode for mode in MODES if self.row[mode]]
        return ", ".join([self.row["contestant"], *modes])

    @property
    def runs_once(self) -> bool:
        return bool(self.row.get("training", {}).get("once"))

    def enter(self, phase: str) -> bool:
        """Call it for the first time; return whether there is more to time."""
        if self._process is None:
            return False
        if phase == "projection" and self.runs_once:
            return False  # the projection is what takes so long
        answer = self._ask(phase)
        if answer is None or "seconds" not in answer:
            if answer is None and "error" not in self.row:
                self.row[phase] = {"stopped_after_s": self.rules.limit}
            return False
        self.row |= answer.get("about", {})
        self.row[phase] = {"first_s": round(answer["first"], 3)}
        self._seconds = []
        if answer["first"] > self.rules.once:
            # Was it the compilation that took so long?
            self.round(phase, count=True)
            if not self._seconds or self._seconds[0] > self.rules.once:
                self.row[phase]["once"] = True
                return False
            self._seconds = []
        return True

    def round(self, phase: str, count: bool) -> None:
        """Time one round; those of the warm-up don't count."""
        answer = self._ask("again")
        if answer is None:
            if "error" not in self.row:
                self.row[phase]["stopped_after_s"] = self.rules.limit
        elif count:
            self._seconds.append(answer["seconds"])
            self.row[phase] |= summary(self._seconds)

    def memory(self, phase: str) -> None:
        """Run one more round and record how much memory it takes at most."""
        answer = self._ask("memory")
        for name in ("mebibytes", "step_mebibytes"):
            if answer is not None and name in answer:
                self.row[phase][name] = answer[name]

    def ready(self) -> None:
        """Wait for the imports."""
        self._ask("ready")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, word: str) -> dict[str, Any] | None:
        """Send a word and return the answer; None from one that was or is stopped."""
        if self._process is None:
            return None
        line = self._exchange(self._process, f"{word}\n".encode())
        answer: dict[str, Any] = {}
        if line is not None:
            answer = json.loads(line or b'{"error": "the process ended"}')
        if "error" in answer:
            self.row["error"] = answer["error"]
        if line is None or "error" in answer:
            self.stop()
            return None
        return answer

    def _exchange(self, process: subprocess.Popen[bytes], word: bytes) -> bytes | None:
        """Return the line that comes back: empty at the end, None if it's too late."""
        assert process.stdin is not None, "opened as a pipe"
        assert process.stdout is not None, "opened as a pipe"
        try:
            process.stdin.write(word)
        except BrokenPipeError:
            return b""
        in_time, _, _ = select.select([process.stdout], [], [], self.rules.limit)
        return process.stdout.readline() if in_time else None


def race(
    contenders: list[Contender],
    rules: Rules,
    phases: Sequence[str] = PHASES,
    save: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Time all phases of all contenders in turns, and return their rows.

    `save` gets the rows after each phase, so that a stop loses one phase at most.
    """
    rows = [contender.row for contender in contenders]
    try:
        for contender in contenders:
            contender.ready()
        for phase in phases:
            _phase(contenders, rules, phase)
            save(rows)
    finally:
        for contender in contenders:
            contender.stop()
    return rows


def _phase(contenders: list[Contender], rules: Rules, phase: str) -> None:
    timed = []
    for contender in contenders:
        if contender.enter(phase):
            timed.append(contender)
        print(f"{contender}, {phase}", file=sys.stderr, flush=True)
    for number in range(1, rules.warm_ups + rules.rounds):  # 0 was the first call
        for contender in timed:
            contender.round(phase, count=number >= rules.warm_ups)
    if phase == "training":
        for contender in timed:
            contender.memory(phase)


def summary(seconds: list[float]) -> dict[str, Any]:
    """Return the median and the quartiles, in milliseconds, and what they are of."""
    ms = [round(1e3 * one, 4) for one in seconds]
    quartiles = statistics.quantiles(ms, n=4, method="inclusive") if ms[1:] else 3 * ms
    return {
        "ms": round(statistics.median(ms), 4),
        "quartiles_ms": [round(quartiles[0], 4), round(quartiles[2], 4)],
        "rounds_ms": ms,
    }


def in_turns(
    trials: Mapping[str, Iterator[dict[str, Any]]], rules: Rules
) -> dict[str, dict[str, Any]]:
    """Time a round of each in this process, in turns; the first ones are warm-ups."""
    seconds: dict[str, list[float]] = {name: [] for name in trials}
    first = {}
    for number in range(rules.warm_ups + rules.rounds):
        for name, rounds in trials.items():
            found = next(rounds)
            first[name] = round(found["first"], 3)
            if number >= rules.warm_ups:
                seconds[name].append(found["seconds"])
        print(f"round {number} done", file=sys.stderr, flush=True)
    return {name: {"first_s": first[name], **summary(seconds[name])} for name in trials}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Divide round by round; return the median and the quartiles."""
    found = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return {
        "ratio": round(statistics.median(found), 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)],
    }

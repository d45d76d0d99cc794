"""Call every public function with good arguments and with nonsense, many times.

    python -m tests.fuzz [--backend jax torch] [--calls 50000] [--seed 0]
    python -m tests.fuzz --backend jax --replay INDEX

A call may return, or raise a `ValueError` or a `TypeError`. Errors of Keras' own reader
of configs are counted apart. All else is a find: another exception (an error of a
backend or of LAPACK among them, though it be a subclass of these two), a
`RuntimeWarning` of NumPy's, more than 10 s, the end of the process. Finds are printed
with their index; the seed and the index decide a call, so that `--replay` makes it
once more, and shows where it ends.

The calls are in `tests/fuzzing/calls.py`, how often each is drawn beside them. What
they come to, function by function, is written to `tests/results/fuzz.json` for each
backend. The exit status is 0 only where nothing was found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.recording import ROOT, about, record

RESULTS = ROOT / "tests" / "results" / "fuzz.json"
# A process for so many: what backends compile and keep would fill the memory.
CALLS_A_PROCESS = 10_000


@dataclass
class Tally:
    """What the calls of one backend came to."""

    calls: int = 0
    raw: int = 0
    functions: dict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    finds: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, found: dict[str, Any]) -> None:
        """Count one outcome, and print the first find of its kind and place."""
        name, kind = found["name"], found["kind"]
        self.calls += 1
        self.functions[name][kind] += 1
        self.slowest[name] = max(self.slowest[name], round(found["seconds"], 3))
        self.raw += found["raw"] and found["is_allowed"]
        if not found["is_allowed"]:
            place = f"{kind} of {name} at {found['where'] or 'no line of the package'}"
            if place not in self.finds:
                print(f"{found['index']}: {place}\n    {found['message']}")
                print(f"    {found['text']}", flush=True)
            self.finds[place].append(found["index"])

    def as_dict(self) -> dict[str, Any]:
        totals: Counter[str] = sum(self.functions.values(), Counter())
        functions = {
            name: {**dict(sorted(kinds.items())), "slowest": self.slowest[name]}
            for name, kinds in sorted(self.functions.items())
        }
        finds = {
            place: {"times": len(indices), "first": indices[0]}
            for place, indices in sorted(self.finds.items())
        }
        return {
            "calls": self.calls,
            "outcomes": dict(sorted(totals.items())),
            "raised_outside_the_package": self.raw,
            "slowest_call_in_seconds": max(self.slowest.values(), default=0.0),
            "finds": finds,
            "functions": functions,
        }


def main() -> int:
    arguments = parse_arguments()
    if arguments.replay is not None:
        return replay(arguments.backend[0], arguments.seed, arguments.replay)
    found = 0
    for backend in arguments.backend:
        start = time.monotonic()
        tally = fuzz(backend, arguments.seed, arguments.calls)
        seconds = round(time.monotonic() - start, 1)
        entry = {"seed": arguments.seed, "seconds": seconds, **tally.as_dict()}
        print(f"{backend}: {seconds} s, {entry['outcomes']}", flush=True)
        found += len(tally.finds)
        if arguments.record:
            record(RESULTS, "make fuzz", {backend: {**entry, **about()}})
    return int(found > 0)


def fuzz(backend: str, seed: int, calls: int) -> Tally:
    """Make the calls, and print what is found and how far they are."""
    tally, start = Tally(), time.monotonic()
    with compiled_once():
        for outcome in outcomes(backend, seed, calls):
            tally.add(outcome)
            if tally.calls % 1000 == 0:
                seconds = time.monotonic() - start
                print(f"{backend}: {tally.calls} calls, {seconds:.0f} s", flush=True)
    return tally


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    backends = ["tensorflow", "jax", "torch"]
    parser.add_argument(
        "--backend", nargs="+", choices=backends, default=["jax", "torch"]
    )
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=int, metavar="INDEX")
    parser.add_argument(
        "--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}"
    )
    return parser.parse_args()


def replay(backend: str, seed: int, index: int) -> int:
    """Make one call once more, in a process of its own, and show how it ends."""
    code = (
        "from tests.fuzzing import calls, engine\n"
        "engine.show_all_frames()\n"
        f"call = calls.call_of({seed}, {index})\n"
        "print(call, flush=True)\n"
        "print(engine.run(call))\n"
        "print(call.function(*call.args, **call.kwargs))\n"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment(backend), cwd=ROOT, check=False
    ).returncode


def outcomes(backend: str, seed: int, calls: int) -> Iterator[dict[str, Any]]:
    """Yield what each call came to, the one that ended its process included."""
    index = 0
    while index < calls:
        stop = min(calls, index + CALLS_A_PROCESS)
        with tempfile.TemporaryFile("w+") as errors:
            command = [sys.executable, "-m", "tests.fuzzing.worker"]
            worker = subprocess.Popen(
                [*command, str(seed), str(index), str(stop)],
                env=environment(backend),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            assert worker.stdout is not None
            for line in worker.stdout:
                outcome = json.loads(line)
                index = outcome["index"] + 1
                yield outcome
            if worker.wait() != 0:
                errors.seek(0)
                yield ended(index, worker.returncode, errors.read())
                index += 1


def ended(index: int, status: int, errors: str) -> dict[str, Any]:
    """The outcome of the call that ended its process: hung, or crashed."""
    kind = "hung" if "Timeout (" in errors else "crashed"
    lines = [line for line in errors.splitlines() if line.strip()]
    ours = [line.strip() for line in lines if "/keras_urnn/" in line]
    return {
        "index": index,
        "name": "the process",
        "kind": kind,
        "where": ours[0].rpartition("/keras_urnn/")[2] if ours else "",
        "message": f"exit status {status}",
        "text": "\n    ".join(lines[-40:]),
        "seconds": 0.0,
        "raw": False,
        "is_allowed": False,
    }


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let all processes of a run share what JAX compiles: most of their time."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        yield


def environment(backend: str) -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    return {**quiet, **os.environ, "KERAS_BACKEND": backend}


if __name__ == "__main__":
    sys.exit(main())

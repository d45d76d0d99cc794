"""Runs calls `start` to `stop` of a seed, and prints each outcome as a line of JSON.

    KERAS_BACKEND=jax python -m tests.fuzzing.worker SEED START STOP

A process of its own: what ends it, as a fault in a library's C++, ends no more.
"""

import json
import os
import resource
import sys
import traceback
from dataclasses import asdict
from typing import Any

from tests.fuzzing import engine
from tests.fuzzing.calls import call_of

# Beyond what the backend has taken by then. What asks for more raises `MemoryError`,
# where the system would else end some process or other.
MEMORY = 4 * 2**30


def main(seed: int, start: int, stop: int) -> None:
    engine.show_all_frames()
    # What is called may print: only this goes where the outcomes are read.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limit_memory()
    for index in range(start, stop):
        print(json.dumps(outcome_of(seed, index)), file=lines)


def outcome_of(seed: int, index: int) -> dict[str, Any]:
    try:
        call = call_of(seed, index)
    except Exception:
        call = engine.Call("the making of a call", lambda: None)
        outcome = engine.Outcome("not made", 0.0, "", traceback.format_exc())
    else:
        outcome = engine.run(call)
    text = "" if outcome.is_allowed else str(call)
    found = {"index": index, "name": call.name, "text": text}
    return found | asdict(outcome) | {"is_allowed": outcome.is_allowed}


def limit_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

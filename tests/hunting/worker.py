"""Makes pairs `start` to `stop` of a seed, and prints each verdict as a line of JSON.

KERAS_BACKEND=torch python -m tests.hunting.worker differing|equal SEED START STOP
"""

import json
import os
import sys
import time
import warnings
from typing import Any

from tests.fuzzing.draws import Draw
from tests.hunting import differing, equal
from tests.hunting.pairs import Pair

KINDS = {"differing": differing.FAMILIES, "equal": equal.FAMILIES}


class NotMadeError(Exception):
    """A family, and why the pair could not be made."""


def pair_of(kind: str, seed: int, index: int) -> tuple[str, Pair]:
    """The family and the pair that the seed and the index decide."""
    draw = Draw(seed, index)
    families = KINDS[kind]
    weights = [weight for weight, _ in families.values()]
    name = draw.weighted(list(families), weights)
    try:
        return name, families[name][1](draw)
    except ValueError as refusal:
        raise NotMadeError(name, str(refusal)) from refusal


def outcome_of(kind: str, seed: int, index: int) -> dict[str, Any]:
    """The family and the verdict; "left out" where no difference was to be seen.

    Or where a conversion that the pair needs is refused.
    """
    start = time.perf_counter()
    try:
        name, pair = pair_of(kind, seed, index)
    except NotMadeError as reason:
        name, why = reason.args
        seconds = time.perf_counter() - start
        found = {"index": index, "family": name, "verdict": "left out"}
        return {**found, "note": why, "seconds": seconds}
    if kind == "differing" and not pair.certain and not pair.differs():
        verdict = "left out"
    else:
        verdict = pair.verdict(seed)
    seconds = time.perf_counter() - start
    return {
        "index": index,
        "family": name,
        "verdict": verdict,
        "note": pair.note or f"{_shown(pair.first)} and {_shown(pair.second)}",
        "seconds": seconds,
    }


def _shown(target: Any) -> str:
    return f"{type(target).__name__} {target.name!r}"


def main(kind: str, seed: str, start: str, stop: str) -> None:
    warnings.simplefilter("ignore")
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for index in range(int(start), int(stop)):
        print(json.dumps(outcome_of(kind, int(seed), index)), file=lines)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Look for false verdicts of `verify_equivalence` on thousands of pairs of networks.

    python -m tests.certificate_hunt [--backend torch] [--differing 2000] [--equal 500]
    python -m tests.certificate_hunt --replay INDEX [--equal-pair]

Pairs that differ, by one unit in the last place of one weight up to a whole layer, in
weights, settings, wiring, masks, subclass or dtype, must never be "equivalent": that
verdict claims the same outputs for every input within the bound. Pairs that are equal,
as conversions, copies and loaded files, must never be "different".

That two networks differ is known beforehand: from how they were made, as
`tests/hunting/networks.py` says for weights, or from a run of both on random inputs. A
pair for which neither shows it is left out, counted, and replaced by another. The seed
and the index decide a pair, so that `--replay` makes it once more.

What each family came to is written to `tests/results/certificate_hunt.json` with
`--record`. The exit status is 0 only where no verdict was false. PyTorch, which
compiles nothing, is the quickest backend here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.fuzz import compiled_once, environment
from tests.recording import ROOT, about, record

RESULTS = ROOT / "tests" / "results" / "certificate_hunt.json"
FALSE = {"differing": "equivalent", "equal": "different"}
# A process for so many: what backends compile and keep would fill the memory.
PAIRS_A_PROCESS = 500


def main() -> int:
    arguments = parse_arguments()
    if arguments.replay is not None:
        kind = "equal" if arguments.equal_pair else "differing"
        return replay(arguments.backend[0], kind, arguments.seed, arguments.replay)
    wanted = {"differing": arguments.differing, "equal": arguments.equal}
    false = 0
    for backend in arguments.backend:
        start = time.monotonic()
        with compiled_once():
            found = {
                kind: hunt(backend, kind, arguments.seed, pairs)
                for kind, pairs in wanted.items()
            }
        seconds = round(time.monotonic() - start, 1)
        entry = {"seed": arguments.seed, "seconds": seconds, **found}
        false += sum(one["false"] for one in found.values())
        if arguments.record:
            record(RESULTS, "make fuzz", {backend: {**entry, **about()}})
    return int(false > 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    backends = ["tensorflow", "jax", "torch"]
    parser.add_argument("--backend", nargs="+", choices=backends, default=["torch"])
    parser.add_argument("--differing", type=int, default=2000)
    parser.add_argument("--equal", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=int, metavar="INDEX")
    parser.add_argument("--equal-pair", action="store_true", help="with --replay")
    parser.add_argument(
        "--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}"
    )
    return parser.parse_args()


def hunt(backend: str, kind: str, seed: int, pairs: int) -> dict[str, Any]:
    """Count the verdicts on so many pairs, family by family; print the false ones."""
    families: dict[str, Counter[str]] = defaultdict(Counter)
    false: list[dict[str, Any]] = []
    done, slowest = 0, 0.0
    for found in outcomes(backend, kind, seed):
        families[found["family"]][found["verdict"]] += 1
        done += found["verdict"] != "left out"
        slowest = max(slowest, found["seconds"])
        if found["verdict"] == FALSE[kind]:
            false.append(found)
            where = f"{kind} {found['index']}, {found['family']}"
            print(f"{where}: {found['verdict']}\n    {found['note']}", flush=True)
        if done == pairs:
            break
    totals: Counter[str] = sum(families.values(), Counter())
    print(f"{backend}, {kind}: {dict(totals)}", flush=True)
    return {
        "pairs": done,
        "verdicts": dict(sorted(totals.items())),
        "false": len(false),
        "false_indices": [found["index"] for found in false],
        "slowest_pair_in_seconds": round(slowest, 2),
        "families": {
            name: dict(sorted(verdicts.items()))
            for name, verdicts in sorted(families.items())
        },
    }


def outcomes(backend: str, kind: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what is found of one pair after the other, without end."""
    start = 0
    while True:
        stop = start + PAIRS_A_PROCESS
        arguments = [kind, *map(str, (seed, start, stop))]
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.hunting.worker", *arguments],
            env=environment(backend),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        try:
            for line in worker.stdout:
                yield json.loads(line)
            status = worker.wait()
        finally:
            worker.terminate()  # where no more pairs are wanted
        if status != 0:
            raise SystemExit(f"{kind} pairs {start} to {stop}: exit status {status}")
        start = stop


def replay(backend: str, kind: str, seed: int, index: int) -> int:
    """Make one pair once more, in a process of its own, and print the report."""
    code = (
        "from tests.hunting.worker import pair_of\n"
        f"name, pair = pair_of({kind!r}, {seed}, {index})\n"
        "print(name, pair.note, 'a run differs:', pair.differs(), sep='\\n')\n"
        f"print(pair.report({seed}))\n"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment(backend), cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())

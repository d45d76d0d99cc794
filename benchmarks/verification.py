"""What does one call of `to_unitary` and of `verify_equivalence` cost, beside 0.5.0?

A contractive network of 32 units, 30 steps and 2 features, as a layer and as a model
with a `Dense` behind it, is converted and verified. Each call is the first of its
process, since most of the time is a backend's compiling. The build of this folder and
that of 0.5.0 (taken out of the repository's history) take turns, and the medians of
all rounds are compared. Retracing warnings of TensorFlow are counted.

    python benchmarks/verification.py       # some ten minutes

Expected: ratios of at most 0.15 for `to_unitary` and 0.2 for `verify_equivalence` on
JAX, and of at most 0.5 for `verify_equivalence` on TensorFlow and PyTorch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from measuring import BACKENDS, RESULTS, commit, machine, table, write

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = RESULTS / "verification.json"
BEFORE = "c57a30f"  # 0.5.0
UNITS, STEPS, FEATURES = 32, 30, 2
CALLS = ("to_unitary", "verify_equivalence")
TARGETS = {
    ("jax", "to_unitary"): 0.15,
    ("jax", "verify_equivalence"): 0.2,
    ("tensorflow", "verify_equivalence"): 0.5,
    ("torch", "verify_equivalence"): 0.5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", nargs="+", default=list(BACKENDS))
    parser.add_argument("--output", default=str(OUTPUT))
    parser.add_argument("--worker", choices=("layer", "model"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        builds = {"before": taken_out(BEFORE, Path(folder)), "now": ROOT}
        runs = [
            {"build": build, "backend": backend, "target": target}
            | run_worker(path, backend, target)
            for backend in args.backend
            for target in ("layer", "model")
            for _ in range(args.rounds)
            for build, path in builds.items()
        ]
    record = {
        "settings": {"units": UNITS, "steps": STEPS, "features": FEATURES},
        "before": BEFORE,
        "commit": commit(),
        "machine": machine(),
        "runs": runs,
        "ratios": ratios(runs),
    }
    write(Path(args.output), record)
    print(markdown(record))


def taken_out(revision: str, folder: Path) -> Path:
    """Unpack the package as it was at a revision."""
    archive = folder / "package.tar"
    git = ["git", "archive", f"--output={archive}", revision, "keras_urnn"]
    subprocess.run(git, cwd=ROOT, check=True)
    subprocess.run(["tar", "xf", str(archive)], cwd=folder, check=True)
    return folder


def run_worker(build: Path, backend: str, target: str) -> dict[str, Any]:
    environment = {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(build),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, __file__, "--worker", target],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    run = json.loads(done.stdout.splitlines()[-1])
    run["retracing_warnings"] = done.stderr.count("triggered tf.function retracing")
    print(build.name, backend, target, run, file=sys.stderr, flush=True)
    return run


def measure(target: str) -> dict[str, Any]:
    import keras

    import keras_urnn as ku

    keras.utils.set_random_seed(0)
    original = ku.ContractiveRNN(UNITS)
    if target == "layer":
        original.build((None, STEPS, FEATURES))
    else:
        x = keras.Input((STEPS, FEATURES), name="x")
        original = keras.Sequential([x, original, keras.layers.Dense(2)])
    start = time.perf_counter()
    converted = ku.to_unitary(original, input_bound=1.0)
    between = time.perf_counter()
    report = ku.verify_equivalence(original, converted, input_bound=1.0, steps=STEPS)
    end = time.perf_counter()
    return {
        "to_unitary": round(between - start, 3),
        "verify_equivalence": round(end - between, 3),
        "verdict": report.verdict,
    }


def ratios(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Divide the median of now by that of before, with the seconds of both."""
    return [
        {"backend": backend, "target": target, "call": call}
        | _compared(runs, backend, target, call)
        for backend in dict.fromkeys(run["backend"] for run in runs)
        for target in ("layer", "model")
        for call in CALLS
    ]


def _compared(
    runs: list[dict[str, Any]], backend: str, target: str, call: str
) -> dict[str, Any]:
    before, now = (
        median(
            run[call]
            for run in runs
            if (run["build"], run["backend"], run["target"]) == (build, backend, target)
        )
        for build in ("before", "now")
    )
    return {
        "before": before,
        "now": now,
        "ratio": round(now / before, 3),
        "aim": TARGETS.get((backend, call)),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the table of the docs: seconds of now, and their ratios."""
    found = {
        (row["backend"], row["target"], row["call"]): row for row in record["ratios"]
    }
    rows = dict.fromkeys((backend, target) for backend, target, _ in found)
    calls = list(dict.fromkeys(call for *_, call in found))
    lines = (
        [
            f"{BACKENDS[key[0]]}, {key[1]}",
            *(_ratio(found[*key, call]) for call in calls),
        ]
        for key in rows
    )
    return table(["", *(f"`{call}`" for call in calls)], lines)


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['now']:.2f} s ({row['ratio']:.2f} of 0.5.0's)"


if __name__ == "__main__":
    main()

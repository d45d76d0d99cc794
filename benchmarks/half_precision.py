"""Is `mixed_bfloat16` faster, and does it cost accuracy?

A training step of `UnitaryRNN(512)` is timed in `mixed_bfloat16` and in float32, as
`recurrence.py` times its contestants. Then the layer learns scikit-learn's digits,
pixel by pixel, once in float32 and once in `mixed_bfloat16` from each of several seeds,
which decide on the start and the order of the batches. Nothing is chosen by the test
set: all train for the same epochs.

    python benchmarks/half_precision.py                 # about 15 minutes
    python benchmarks/half_precision.py --part speed    # about 3 minutes

What comes out goes beside the other timings, into `results/recurrence.json`. The speed
is promised for a processor with bfloat16: `avx512_bf16` among its flags.
Expected there: a step that is 1.3 times as fast, or more, without XLA; and means of the
accuracy that differ by less than the seeds do.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import recurrence
from contestants import HALF_PRECISION, entries
from lockstep import Contender, Rules, race
from measuring import commit, machine, write
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_urnn as ku

POLICIES = ("float32", "mixed_bfloat16")
TIMED = ("UnitaryRNN", "UnitaryRNN, mixed_bfloat16")
PARTS = ("speed", "accuracy")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", default=str(recurrence.OUTPUT))
    args = parser.parse_args(argv)
    path = Path(args.output)
    if "speed" in args.part:
        write(path, {**recurrence.load(path), "half_precision": speed(Rules())})
    if "accuracy" in args.part:
        write(path, {**recurrence.load(path), "digits": accuracy(args)})


def speed(rules: Rules) -> dict[str, Any]:
    """Time a training step in both policies, with and without XLA, in turns."""
    contenders = [
        Contender("tensorflow", entry, HALF_PRECISION, rules)
        for entry in entries("tensorflow", HALF_PRECISION, TIMED)
    ]
    about = {**recurrence.stamp("tensorflow"), "shape": HALF_PRECISION._asdict()}
    rows = race(contenders, rules, phases=("training",))
    return {**about, "rules": rules._asdict(), "complete": True, "contestants": rows}


def accuracy(args: argparse.Namespace) -> dict[str, Any]:
    """Train from each seed in both policies."""
    data = split_digits()
    runs = []
    for seed in range(args.seeds):
        for policy in POLICIES:
            run = trained(args, data, policy, seed)
            print(run, flush=True)
            runs.append(run)
    settings = {
        name: value
        for name, value in vars(args).items()
        if name not in ("output", "part")
    }
    return {
        "backend": keras.config.backend(),
        "commit": commit(),
        "machine": machine(),
        "settings": settings,
        "runs": runs,
        "summary": [summary(runs, policy) for policy in POLICIES],
    }


def split_digits() -> list[Any]:
    """Return the sequences to train and to test on, and their classes likewise."""
    digits = load_digits()
    x = digits.images.reshape(len(digits.images), -1, 1).astype("float32") / 16.0
    y = digits.target
    parts: list[Any] = train_test_split(x, y, test_size=360, stratify=y, random_state=0)
    return parts


def trained(
    args: argparse.Namespace, data: list[Any], policy: str, seed: int
) -> dict[str, Any]:
    """Train one layer, and return its accuracy on the test digits."""
    x, test_x, y, test_y = data
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            ku.UnitaryRNN(args.units, dtype=policy),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    start = time.perf_counter()
    model.fit(x, y, batch_size=args.batch_size, epochs=args.epochs, verbose=0)
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(test_x, test_y, verbose=0)[1]
    return {
        "policy": policy,
        "seed": seed,
        "test_accuracy": round(float(accuracy), 4),
        "seconds": round(seconds, 1),
    }


def summary(runs: list[dict[str, Any]], policy: str) -> dict[str, Any]:
    found = [run["test_accuracy"] for run in runs if run["policy"] == policy]
    return {
        "policy": policy,
        "mean": round(statistics.mean(found), 4),
        "standard_deviation": round(statistics.stdev(found), 4),
        "least": min(found),
        "most": max(found),
    }


if __name__ == "__main__":
    main()

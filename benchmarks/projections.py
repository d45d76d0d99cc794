"""What does it cost to keep a recurrent kernel on its set?

One training step of each contestant is timed, all of them in one process per backend
and interleaved, so that they share the machine's moods: `SimpleRNN` without constraint,
`SimpleRNN` with a plain SVD as its constraint, and ours. The projection is also timed
alone, on a kernel one optimizer step away from its set; its share of the step is the
number that counts (`promises.py` has its target), since the difference of two steps
drowns in noise.

    python benchmarks/projections.py                          # about 5 minutes
    python benchmarks/projections.py --units 8 --steps 64 --batch-size 32 --output -

Numbers are comparable within one backend's list only. Expected on two cores: a share
of 1 to 4 %, where the plain SVD takes most of the step under XLA.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax", "torch")
REPEATS = 7
WARM_UPS = 2
CLASSES = 10


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.worker:
        print(json.dumps(measure(args)))
        return
    results = {backend: run_worker(backend, args) for backend in args.backends}
    record = {"settings": settings(args), "machine": machine(), "results": results}
    if args.output != "-":
        write(Path(args.output), record)
    print_table(results)


def parse(argv: list[str] | None) -> argparse.Namespace:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--steps", type=int, default=784, help="length of a sequence")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--output", default=str(here / "results" / "projections.json"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def settings(args: argparse.Namespace) -> dict[str, Any]:
    shape = {"units": args.units, "steps": args.steps, "batch_size": args.batch_size}
    return {**shape, "features": 1, "repeats": REPEATS, "warm_ups": WARM_UPS}


def machine() -> dict[str, Any]:
    names = ("keras", "tensorflow", "jax", "torch", "numpy", "keras-urnn")
    return {
        "processor": processor() or platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "versions": {name: version(name) for name in names},
        "date": time.strftime("%Y-%m-%d"),
    }


def cores() -> int | None:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def processor() -> str:
    """Return the processor's name, and which bfloat16 it has; empty if not Linux."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    about = dict(line.split(":", 1) for line in lines if ":" in line)
    about = {name.strip(): value.strip() for name, value in about.items()}
    flags = set(about.get("flags", "").split()) & {"avx512f", "avx512_bf16", "amx_bf16"}
    return ", ".join([about.get("model name", ""), *sorted(flags)])


def commit() -> str:
    """Return the commit, marked where the package or this script differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "../keras_urnn", ".", ":!results")
    return git("rev-parse", "HEAD") + ("-dirty" if changed else "")


def run_worker(backend: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    print(f"{backend} ...", file=sys.stderr, flush=True)
    flags = ["--units", args.units, "--steps", args.steps]
    flags += ["--batch-size", args.batch_size, "--worker"]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, __file__, *map(str, flags)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All contestants of the active backend, interleaved."""
    import keras

    modes = {"tensorflow": [False, True], "jax": [True], "torch": [False]}
    jits = modes[keras.config.backend()]
    steps = {
        (name, jit): training_step(name, jit, args)
        for jit in jits
        for name in contestants(args.units)
    }
    projections = {
        (name, jit): projection(name, jit, args.units)
        for jit in jits
        for name in ("plain SVD", "UnitaryRNN", "ContractiveRNN")
    }
    step_times, projection_times = interleave(steps), interleave(projections)
    return [
        {
            "contestant": name,
            "jit_compile": jit,
            "step_ms": milliseconds(step_times[name, jit]),
            "projection_ms": milliseconds(projection_times.get((name, jit))),
        }
        for name, jit in steps
    ]


def contestants(units: int) -> dict[str, Callable[[], Any]]:
    import keras

    import keras_urnn as ku

    return {
        "SimpleRNN": lambda: keras.layers.SimpleRNN(units, activation="relu"),
        "plain SVD": lambda: keras.layers.SimpleRNN(
            units, activation="relu", recurrent_constraint=plain_svd
        ),
        "UnitaryRNN": lambda: ku.UnitaryRNN(units),
        "ContractiveRNN": lambda: ku.ContractiveRNN(units),
    }


def plain_svd(w: Any) -> Any:
    """The projection as one would write it at first."""
    from keras import ops

    u, _, vt = ops.svd(ops.convert_to_tensor(w), full_matrices=False)
    return ops.matmul(u, vt)


def training_step(
    name: str, jit: bool, args: argparse.Namespace
) -> Callable[[], object]:
    import keras
    import numpy as np

    model = keras.Sequential(
        [
            keras.Input((args.steps, 1)),
            contestants(args.units)[name](),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "sparse_categorical_crossentropy", jit_compile=jit)
    rng = np.random.default_rng(0)
    x = rng.random((args.batch_size, args.steps, 1), dtype="float32")
    y = rng.integers(0, CLASSES, args.batch_size)
    # The loss comes back as a number, so the call waits until the step is done.
    return lambda: model.train_on_batch(x, y)


def projection(name: str, jit: bool, units: int) -> Callable[[], object]:
    import numpy as np
    from keras import ops

    import keras_urnn as ku

    project = {
        "plain SVD": plain_svd,
        "UnitaryRNN": ku.UnitaryProjection(),
        "ContractiveRNN": ku.ContractiveProjection(),
    }[name]
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(units, units)))[0]
    # RMSprop's step of 1e-3 in every entry.
    kernel = (q + 1e-3 * np.sign(rng.normal(size=q.shape))).astype("float32")
    compiled = compile_like_a_step(project, jit)
    return lambda: ops.convert_to_numpy(compiled(ops.convert_to_tensor(kernel)))


def compile_like_a_step(function: Any, jit: bool) -> Any:
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=jit)
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def interleave(
    functions: dict[tuple[str, bool], Callable[[], object]],
) -> dict[tuple[str, bool], list[float]]:
    times: dict[tuple[str, bool], list[float]] = {key: [] for key in functions}
    for repeat in range(WARM_UPS + REPEATS):
        for key, function in functions.items():
            start = time.perf_counter()
            function()
            if repeat >= WARM_UPS:
                times[key].append(time.perf_counter() - start)
    return times


def milliseconds(times: list[float] | None) -> dict[str, float] | None:
    if times is None:
        return None
    rounded = [round(1e3 * t, 3) for t in sorted(times)]
    return {
        "median": statistics.median(rounded),
        "least": rounded[0],
        "most": rounded[-1],
    }


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    print(f"wrote {path.name}", file=sys.stderr)


def print_table(results: dict[str, list[dict[str, Any]]]) -> None:
    print(
        f"{'backend':11} {'XLA':4} {'contestant':15} "
        f"{'step ms':>9} {'proj. ms':>9} share"
    )
    for backend, rows in results.items():
        for row in rows:
            step = row["step_ms"]["median"]
            alone = (row["projection_ms"] or {"median": 0.0})["median"]
            jit = "yes" if row["jit_compile"] else "no"
            print(
                f"{backend:11} {jit:4} {row['contestant']:15} {step:9.1f} {alone:9.2f} "
                f"{alone / step:5.1%}"
            )


if __name__ == "__main__":
    main()

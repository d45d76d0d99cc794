"""What does theorem 1 cost, in time and memory, as the number of states grows?

`to_unitary` converts one layer, with an input bound of 1:

- `contractive`: a `ContractiveRNN` as it is built, on each backend;
- `expansive`: a ReLU layer with `R = 0.9 D⁻¹ Q D`, `Q` orthogonal and `D` spread over
  six decades, which needs a scaling. The search is NumPy's, so on one backend;
- `few states`: the contractive one with `minimize_states=True`, likewise. From 33
  states on nothing but the last singular value is searched for.

Each is measured in a process of its own, after the conversion of a layer of 2 states,
so that imports and first calls aren't counted; what a backend compiles for each shape
is. Memory is what the process holds at most during the conversion, beyond what it held
just before: the kernel's high-water mark of resident memory, which is reset before. So
it has NumPy's arrays, the backend's tensors and LAPACK's work space in it, but not
what was freed before and is used again. Linux only.

    python benchmarks/conversion.py       # about 6 minutes; prints the docs' table

Expected on two cores: under 10 s for 512 contractive states; time grows like n³,
memory like n².
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    BACKENDS,
    RESULTS,
    commit,
    exponent,
    machine,
    memory,
    restart_peak,
    table,
    write,
)

OUTPUT = RESULTS / "conversion.json"
SIZES = (16, 32, 64, 128, 256, 512, 1024)
# What is searched for costs more: up to what is affordable.
LARGEST = {"contractive": 1024, "expansive": 512, "few states": 256}
FITTED = 3  # so many of the largest sizes give the exponent
COSTS = ("seconds", "mebibytes")
HERE = "tensorflow"  # the one backend of what NumPy does
SEED = 0
# What the table has a column for.
TIMED = [
    *(("contractive", backend) for backend in BACKENDS),
    ("expansive", HERE),
    ("few states", HERE),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=max(SIZES))
    parser.add_argument("--output", default=str(OUTPUT))
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.worker[0], int(args.worker[1]))))
        return
    sizes = [n for n in SIZES if n <= args.largest]
    runs = [
        run_worker(network, backend, n)
        for network in LARGEST
        for backend in (BACKENDS if network == "contractive" else [HERE])
        for n in sizes
        if n <= LARGEST[network]
    ]
    record = {
        "settings": {"sizes": sizes, "fitted": FITTED, "seed": SEED},
        "commit": commit(),
        "machine": machine(),
        "runs": runs,
        "exponents": exponents(runs),
    }
    write(Path(args.output), record)
    print(markdown(record))


def run_worker(network: str, backend: str, n: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--worker", network, str(n)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    run = {"network": network, "backend": backend, "n": n}
    run |= json.loads(done.stdout.splitlines()[-1])
    print(run, file=sys.stderr, flush=True)
    return run


def measure(network: str, n: int) -> dict[str, Any]:
    import keras_urnn as ku

    few = network == "few states"
    for units in (2, n):
        layer = build(network, units)
        before = restart_peak()
        start = time.perf_counter()
        converted = ku.to_unitary(layer, input_bound=1.0, minimize_states=few)
        seconds = time.perf_counter() - start
        most = memory("VmHWM")
    return {
        "seconds": round(seconds, 4),
        "mebibytes": round((most - before) / 1024, 2),
        "states": converted.units,
        "unitarity_error": ku.diagnostics.unitarity_error(converted),
    }


def build(network: str, units: int) -> Any:
    import keras

    import keras_urnn as ku

    keras.utils.set_random_seed(SEED)
    layer = ku.ContractiveRNN(units)
    layer.build((None, None, 3))
    if network == "expansive":
        generator = np.random.default_rng(SEED)
        q, _ = np.linalg.qr(generator.normal(size=(units, units)))
        d = 10.0 ** generator.uniform(-3.0, 3.0, units)
        layer.cell.recurrent_kernel.assign(0.9 * q * d / d[:, None])
    return layer


def exponents(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit the growth of each cost with the number of states, by the largest ones."""
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        series.setdefault((run["network"], run["backend"]), []).append(run)
    return [
        {
            "network": network,
            "backend": backend,
            **{cost: _exponent(of[-FITTED:], cost) for cost in COSTS},
        }
        for (network, backend), of in series.items()
    ]


def _exponent(runs: list[dict[str, Any]], cost: str) -> float:
    # A kibibyte is the least that is told.
    return exponent([run["n"] for run in runs], [max(run[cost], 1e-3) for run in runs])


def markdown(record: dict[str, Any]) -> str:
    """Return the table of the docs: a row for each size, then the growth."""
    runs = {(run["network"], run["backend"], run["n"]): run for run in record["runs"]}
    grown = {(row["network"], row["backend"]): row for row in record["exponents"]}
    lines = [
        _line(str(n), [runs.get((*key, n)) for key in TIMED], "{:.2g} s", "{:.0f} MiB")
        for n in record["settings"]["sizes"]
    ]
    growth = [grown[key] for key in TIMED]
    lines.append(_line("grows like", growth, "n^{:.1f}", "n^{:.1f}"))
    titles = [*BACKENDS.values(), "memory", "expansive", "few states"]
    return table(["n", *titles], lines)


def _line(
    first: str, costs: list[dict[str, Any] | None], seconds: str, memory: str
) -> list[str]:
    """The seconds of each, and the largest memory of what each backend converts."""
    shown = [seconds.format(cost["seconds"]) if cost else "" for cost in costs]
    taken = [cost["mebibytes"] for cost in costs[: len(BACKENDS)] if cost]
    shown.insert(len(BACKENDS), memory.format(max(taken)))
    return [first, *shown]


if __name__ == "__main__":
    main()

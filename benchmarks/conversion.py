"""How long does theorem 1 take?

A `ContractiveRNN` is converted with `to_unitary` once, as a user would, in a fresh
process per backend; building the two layers is part of the time, importing is not.

    python benchmarks/conversion.py        # about a minute

Expected on two cores: under 10 s for 512 states.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from projections import BACKENDS, machine, write

OUTPUT = Path(__file__).parent / "results" / "conversion.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args.units)))
        return
    results = {backend: run_worker(backend, args.units) for backend in BACKENDS}
    write(
        OUTPUT,
        {"units": args.units, "machine": machine(), "seconds": results},
    )
    print(json.dumps(results))


def run_worker(backend: str, units: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--worker", "--units", str(units)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(units: int) -> dict[str, Any]:
    import keras_urnn as ku

    layer = ku.ContractiveRNN(units)
    layer.build((None, None, 3))
    start = time.perf_counter()
    converted = ku.to_unitary(layer, input_bound=1.0)
    seconds = time.perf_counter() - start
    error = ku.diagnostics.unitarity_error(converted)
    return {"conversion": round(seconds, 2), "unitarity_error": error}


if __name__ == "__main__":
    main()

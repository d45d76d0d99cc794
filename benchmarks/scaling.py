"""How many random RNNs have a contractive scaling, and how long does it take to know?

Shares: recurrent matrices with independent Gaussian entries, divided by their spectral
radius and multiplied by 0.5, 0.8 or 0.95, by size. Each counts as convertible as it
stands (norm below 1), by powers of two, by a generic scaling, not at all (proved), or
as undecided. A norm below 1 becomes rarer with the size, and so does a scaling.

Times: `find_scaling` on `c D Q D⁻¹` with `Q` orthogonal and `D` spread over six
decades, whose least norm is `c`: below 1 there is a scaling, above there is none. On a
busy machine the threads of a BLAS wait for each other: set OPENBLAS_NUM_THREADS=1,
which is recorded.

    python benchmarks/scaling.py  # about 5 minutes; prints the docs' table
"""

import argparse
import os
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, commit, machine, table, write
from numpy.typing import NDArray

import keras_urnn as ku

OUTPUT = RESULTS / "scaling.json"
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
RADII = (0.5, 0.8, 0.95)
TIMED = (16, 32, 64, 128, 256, 512)
LEAST_NORMS = (0.9, 0.999, 1.001, 1.1)
REPEATS = 3
SEED = 0

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrices", type=int, default=200, help="for each size")
    parser.add_argument("--largest", type=int, default=max(TIMED), help="to be timed")
    parser.add_argument("--output", default=str(OUTPUT))
    args = parser.parse_args()
    settings = {
        "ensemble": "Gaussian entries, scaled to the spectral radius",
        "matrices": args.matrices,
        "seed": SEED,
        "repeats": REPEATS,
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "timed": "c D Q D^-1, Q orthogonal, D log-uniform over six decades",
    }
    shares = [share(n, r, args.matrices) for r in RADII for n in SIZES]
    times = [timed(n, c) for c in LEAST_NORMS for n in TIMED if n <= args.largest]
    record: dict[str, Any] = {
        "settings": settings,
        "commit": commit(),
        "machine": machine(),
    }
    record |= {"shares": shares, "seconds": times}
    write(Path(args.output), record)
    print(markdown(record))
    for row in times:
        print(row)


def share(n: int, radius: float, matrices: int) -> dict[str, Any]:
    generator = np.random.default_rng([SEED, n])
    outcomes = Counter(outcome(gaussian(n, radius, generator)) for _ in range(matrices))
    return {
        "n": n,
        "spectral_radius": radius,
        **{name: count / matrices for name, count in sorted(outcomes.items())},
    }


def gaussian(n: int, radius: float, generator: np.random.Generator) -> Array:
    matrix = generator.normal(size=(n, n))
    return radius * matrix / np.abs(np.linalg.eigvals(matrix)).max()


def outcome(matrix: Array) -> str:
    found = ku.equivalence.find_scaling(matrix)
    if isinstance(found, ku.equivalence.Obstruction):
        return "none" if found.excludes(1.0) else "undecided"
    if np.all(found.d == 1.0):
        return "contractive"
    return "powers_of_two" if found.exact else "generic"


def timed(n: int, least_norm: float) -> dict[str, Any]:
    generator = np.random.default_rng([SEED, n])
    seconds = []
    for _ in range(REPEATS):
        q, _ = np.linalg.qr(generator.normal(size=(n, n)))
        d = 10.0 ** generator.uniform(-3.0, 3.0, n)
        start = time.perf_counter()
        found = outcome(least_norm * q * d / d[:, None])
        seconds.append(time.perf_counter() - start)
    return {
        "n": n,
        "least_norm": least_norm,
        "outcome": found,
        "seconds": round(statistics.median(seconds), 4),
        "slowest": round(max(seconds), 4),
    }


def markdown(record: dict[str, Any]) -> str:
    """Return the table of the docs: convertible, and so without a scaling."""
    shares = {(row["n"], row["spectral_radius"]): row for row in record["shares"]}
    sizes = sorted({n for n, _ in shares})
    radii = sorted({radius for _, radius in shares})
    head = ["n", *(f"spectral radius {radius:g}" for radius in radii)]
    lines = ([str(n), *(_share(shares[n, radius]) for radius in radii)] for n in sizes)
    return table(head, lines)


def _share(row: dict[str, Any]) -> str:
    names = ("contractive", "powers_of_two", "generic")
    already, scaled, generic = (row.get(name, 0.0) for name in names)
    return f"{100 * (already + scaled + generic):.1f} % ({100 * already:.1f} %)"


if __name__ == "__main__":
    main()

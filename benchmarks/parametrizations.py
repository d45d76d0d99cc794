"""What does a computed recurrent matrix cost, and a structured one save?

- `steps`: a training step of `UnitaryRNN` with each parametrization, divided by that of
  a layer that keeps its matrix by a constraint (`timed_layers.py`), by number of units.
- `peers`: our training step, on its fastest backend, divided by that of PyTorch's
  `orthogonal` and of geotorch with the same map, each around a loop written well
  (`torch_trial.py`). Of a peer's times with denormals flushed and without, the better
  one counts. Without geotorch its rows are left out.
- `maps`: steps of a structured map, forward and backward, divided by dense products
  (`structured.py`), by number of units.

All ratios are of rounds that take turns: the median and the quartiles of seven. The
steps are those of `recurrence.py`'s shape "pmnist" and of others of 64 to 512 units,
with fewer time steps from 256 units on, so that a backend takes some ten minutes: what
is computed once for a sequence weighs more there.

    python benchmarks/parametrizations.py                     # about 35 minutes
    python benchmarks/parametrizations.py --part steps --shape pmnist --backend jax
    python benchmarks/parametrizations.py --resume            # what this commit lacks

Each part of each backend and shape goes into the results when it is done. Expected on
two cores: what `AIMS` has; what came out is printed at the end.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contestants import JIT, PEERS, QUICK_SHAPE, SHAPES, Entry, Shape
from lockstep import FLAGS, Contender, Rules, race
from measuring import BACKENDS, FOLDER, RESULTS, commit, is_current, machine, write
from parametrization_tables import (
    maps_lines,
    markdown,
    measured_on,
    peers_ratios,
    peers_sentence,
    promises,
)

OUTPUT = RESULTS / "parametrizations.json"
SIZES = {
    shape.name: shape
    for shape in (
        SHAPES["pmnist"]._replace(per_round=2),
        Shape("units_64", 64, 128, 784, 1, per_round=4),
        Shape("units_256", 256, 128, 392, 1),
        Shape("units_512", 512, 128, 196, 1),
    )
}
PEERS_SHAPES = (SIZES["pmnist"], SHAPES["small"]._replace(per_round=6))
FLUSH = (False, True)  # denormals, of a peer
WIDTHS, BATCH = [128, 256, 512, 1024], 128
SHOWN = (markdown, peers_sentence, maps_lines, measured_on)  # by `docs/choosing.md`

Part = Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    path = Path(args.output)
    for part in args.part:
        for about, measure in PARTS[part](args):
            if args.resume and is_done(load(path)[part], about):
                continue
            title = f"== {part}, {about['backend']}, {about['shape']['name']}"
            print(title, file=sys.stderr, flush=True)
            stamped = {**about, "commit": commit(), "machine": machine()}
            add(path, part, {**stamped, **measure()})
    record = load(path)
    print("\n\n".join(show(record) for show in (*SHOWN, promises)))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(BACKENDS)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backend", nargs="+", choices=names, default=names)
    parser.add_argument("--shape", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=Rules().rounds)
    parser.add_argument("--warm-ups", type=int, default=Rules().warm_ups)
    parser.add_argument("--resume", action="store_true", help="skip what is there")
    parser.add_argument("--preset", choices=("full", "quick"), default="full")
    parser.add_argument("--output", default=str(OUTPUT))
    args = parser.parse_args(argv)
    args.shapes = [SIZES[name] for name in args.shape]
    args.peers, args.peers_shapes = PEERS, PEERS_SHAPES
    args.widths, args.batch = WIDTHS, BATCH
    if args.preset == "quick":
        args.rounds, args.warm_ups = 2, 1
        args.shapes = args.peers_shapes = [QUICK_SHAPE]
        args.peers = ["torch, cayley"]
        args.widths, args.batch = [4], 3
    args.rules = Rules(rounds=args.rounds, warm_ups=args.warm_ups)
    return args


def steps(args: argparse.Namespace) -> Part:
    """Yield what is run of each shape and backend, and what runs it."""
    for shape in args.shapes:
        for backend in args.backend:
            about = _about(backend, shape._asdict(), args.rules)
            given = {"shape": shape, "rules": args.rules}
            yield about, partial(run_worker, "timed_layers", backend, given)


def maps(args: argparse.Namespace) -> Part:
    for backend in args.backend:
        sizes = {"sizes": args.widths, "batch": args.batch}
        about = _about(backend, {"name": "maps", **sizes}, args.rules)
        given = {**sizes, "rules": args.rules}
        yield about, partial(run_worker, "structured", backend, given)


def peers(args: argparse.Namespace) -> Part:
    names = [name for name in args.peers if name != "geotorch" or find_spec("geotorch")]
    if len(names) < len(args.peers):
        print("geotorch isn't installed: it is left out", file=sys.stderr)
    for shape in args.peers_shapes:
        about = _about("all", shape._asdict(), args.rules)
        about |= {"backends": args.backend, "peers": names}
        yield about, partial(run_peers, names, args.backend, shape, args.rules)


PARTS = {"steps": steps, "peers": peers, "maps": maps}


def _about(backend: str, shape: dict[str, Any], rules: Rules) -> dict[str, Any]:
    return {"backend": backend, "shape": shape, "rules": rules._asdict()}


def run_worker(script: str, backend: str, given: dict[str, Any]) -> dict[str, Any]:
    """Let a process of its own, on one backend, measure."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), json.dumps(given)],
        env={**os.environ, **FLAGS, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return {"rows": json.loads(done.stdout.splitlines()[-1])}


def run_peers(
    names: list[str], backends: list[str], shape: Shape, rules: Rules
) -> dict[str, Any]:
    """Time the peers, and ours with the same maps on all backends, in turns."""
    entered = [
        ("torch", Entry(name, False, flush)) for name in names for flush in FLUSH
    ]
    ours = dict.fromkeys(PEERS[name] for name in names)
    entered += [
        (backend, Entry(name, JIT[backend][-1], False))
        for backend in backends
        for name in ours
    ]
    contenders = [Contender(*one, shape, rules) for one in entered]
    rows = race(contenders, rules, phases=("training",))
    for (backend, _), row in zip(entered, rows, strict=True):
        row["backend"] = backend
    return {"rows": rows, "ratios": peers_ratios(rows)}


def load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {part: [] for part in PARTS}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def add(path: Path, part: str, new: dict[str, Any]) -> None:
    """Put a run into the results, in the place of the one that it repeats."""
    record = load(path)
    others = [run for run in record[part] if _key(run) != _key(new)]
    write(path, {**record, part: sorted([*others, new], key=_key)})


def is_done(runs: list[dict[str, Any]], about: dict[str, Any]) -> bool:
    """Return whether exactly this was timed with the code as it is."""
    return any(
        all(run[name] == value for name, value in about.items())
        and is_current(run["commit"])
        for run in runs
    )


def _key(run: dict[str, Any]) -> tuple[int, str]:
    return run["shape"].get("units", 0), f"{run['shape']['name']} {run['backend']}"


if __name__ == "__main__":
    main()

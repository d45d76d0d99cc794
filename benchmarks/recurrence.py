"""How fast is a training step, against whoever else could do it?

For each backend and shape all contestants of `contestants.py` are timed in one run, in
turns (`lockstep.py`): training, inference, streaming, the projection (`trial.py`),
the first call of each, and the memory that a training step takes. A product of matrices
of the same shapes, in the same run, is the machine's limit.

With `--growth` our layer's training step is timed as one size after the other grows,
the others being fixed, and beside it the same cell in Keras' own loop: the layer's
fused recurrence should be the faster one at each size. The exponents are least-squares
lines through the logarithms: 1 is linear, 2 quadratic.

    python benchmarks/recurrence.py                                 # about 2.5 hours
    python benchmarks/recurrence.py --growth                        # about 40 minutes
    python benchmarks/recurrence.py --backend tensorflow --shape small
    python benchmarks/recurrence.py --phases training projection --output shares.json
    python benchmarks/recurrence.py --resume          # only what this commit lacks

What is done goes into the results after each phase of each backend and shape, so a stop
loses minutes, and one part can be run again by itself. Run it when nothing else runs,
on Linux. Then `python benchmarks/performance.py` fills `docs/performance*.md`.

Expected on two cores: what `targets.py` promises; the tables that are printed at the
end say what came out.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import contestants
import targets
from contestants import BASE, GROWTH, SHAPES, Shape, entries, grown
from lockstep import PHASES, Contender, Rules, race
from measuring import (
    BACKENDS,
    RESULTS,
    commit,
    exponent,
    is_current,
    machine,
    write,
)

OUTPUT = RESULTS / "recurrence.json"
LAYER, LOOP = "UnitaryRNN", "RNN(UnitaryRNNCell)"
NOTHING: dict[str, Any] = {"runs": [], "growth": []}


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    path = Path(args.output)
    rules = Rules(rounds=args.rounds, warm_ups=args.warm_ups)
    kept = load(path) if args.resume else NOTHING
    for backend in args.backend:
        for shape in args.shape:
            if not is_done(kept["runs"], rules, backend, shape):
                run(path, backend, shape, rules, args.contestants, args.phases)
        if args.growth and not is_done(kept["growth"], rules, backend):
            add(path, "growth", {**stamp(backend), **growth(backend, rules)})
    record = load(path)
    print(f"{targets.ratios(record)}\n\n{targets.promises(record)}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(BACKENDS)
    parser.add_argument("--backend", nargs="+", choices=names, default=names)
    parser.add_argument("--shape", nargs="+", choices=SHAPES)
    parser.add_argument("--contestants", nargs="+", choices=contestants.CONTESTANTS)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--rounds", type=int, default=Rules().rounds)
    parser.add_argument("--warm-ups", type=int, default=Rules().warm_ups)
    parser.add_argument("--growth", action="store_true", help="time this instead")
    parser.add_argument("--resume", action="store_true", help="skip what is there")
    parser.add_argument("--quick", action="store_true", help="a tiny shape, two rounds")
    parser.add_argument("--output", default=str(OUTPUT))
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds, args.warm_ups, args.shape = 2, 1, [contestants.QUICK_SHAPE]
        args.contestants = args.contestants or contestants.QUICK
    elif args.growth:
        args.shape = [SHAPES[name] for name in args.shape or ()]
    else:
        args.shape = [SHAPES[name] for name in args.shape or SHAPES]
    return args


def run(
    path: Path,
    backend: str,
    shape: Shape,
    rules: Rules,
    names: list[str] | None,
    phases: Sequence[str] = PHASES,
) -> None:
    """Time everyone on one backend and shape, and save it as it comes."""
    print(f"== {backend}, {shape.name}", file=sys.stderr, flush=True)
    chosen = None if names is None else tuple(names)
    contenders = [
        Contender(backend, entry, shape, rules)
        for entry in entries(backend, shape, chosen)
    ]
    about = {**stamp(backend), "shape": shape._asdict(), "rules": rules._asdict()}

    def save(rows: list[dict[str, Any]], complete: bool = False) -> None:
        add(path, "runs", {**about, "complete": complete, "contestants": rows})

    rows = race(contenders, rules, phases, save)
    save(rows, complete=names is None and tuple(phases) == PHASES)


def growth(backend: str, rules: Rules) -> dict[str, Any]:
    """Time each axis in a run of its own, all its sizes in turns."""
    points = [point for axis in GROWTH for point in _points(backend, axis, rules)]
    return {
        "complete": True,
        "base": BASE._asdict(),
        "rules": rules._asdict(),
        "layer": LAYER,
        "points": points,
        "exponents": exponents(points),
    }


def _points(backend: str, axis: str, rules: Rules) -> Iterator[dict[str, Any]]:
    print(f"== {backend}, growth with {axis}", file=sys.stderr, flush=True)
    contenders, values = [], []
    for value in GROWTH[axis]:
        shape = grown(axis, value)
        for entry in entries(backend, shape, (LAYER, LOOP)):
            if not entry.flush_denormals:
                contenders.append(Contender(backend, entry, shape, rules))
                values.append(value)
    rows = race(contenders, rules, phases=("training",))
    found = {
        (row["contestant"], value, row["jit_compile"]): row["training"]["ms"]
        for value, row in zip(values, rows, strict=True)
        if "ms" in row.get("training", {})
    }
    for (name, value, jit), ms in found.items():
        if name == LAYER:
            loop = found.get((LOOP, value, jit))
            point = {"axis": axis, "value": value, "jit_compile": jit}
            yield {**point, "ms": ms, "loop_ms": loop}


def exponents(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fit `log ms = exponent log value + constant` for each axis and mode."""
    series: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for point in points:
        of = series.setdefault((point["axis"], point["jit_compile"]), [])
        of.append((point["value"], point["ms"]))
    return [
        {"axis": axis, "jit_compile": jit, "exponent": exponent(*zip(*of, strict=True))}
        for (axis, jit), of in series.items()
        if len(of) > 1
    ]


def stamp(backend: str) -> dict[str, Any]:
    return {"backend": backend, "commit": commit(), "machine": machine()}


def load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return NOTHING
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def add(path: Path, part: str, new: dict[str, Any]) -> None:
    """Put a run into the results, in the place of the one it repeats."""
    record = load(path)
    write(path, {**record, part: merged(record[part], new)})


def merged(runs: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the runs with `new` for the one of its backend and shape."""
    others = [run for run in runs if _key(run) != _key(new)]
    return sorted([*others, new], key=_key)


def is_done(
    runs: list[dict[str, Any]], rules: Rules, backend: str, shape: Shape | None = None
) -> bool:
    """Return whether all of this was timed by these rules with the code as it is."""
    wanted = {"backend": backend, "shape": shape._asdict() if shape else {}}
    return any(
        run["complete"]
        and _key(run) == _key(wanted)
        and run["rules"] == rules._asdict()
        and is_current(run["commit"])
        for run in runs
    )


def _key(run: dict[str, Any]) -> tuple[int, int]:
    names = list(SHAPES)
    name = run.get("shape", {}).get("name")
    place = names.index(name) if name in names else len(names)
    return list(BACKENDS).index(run["backend"]), place


if __name__ == "__main__":
    main()

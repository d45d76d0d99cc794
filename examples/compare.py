"""Which recurrent network remembers? All of them on one task, under one budget.

Question: what is a unitary recurrence worth, and which parametrization of it? Each
system of `systems.py` learns a task of `tasks.py`: it gets the same batches, the same
number of optimizer steps and the same width of state.

Set-up: one recurrent layer and a dense one, Adam, gradients clipped to a norm of 1,
batches drawn as they are needed. Every `--every` steps the loss is taken on sequences
that training never sees. Several seeds draw other weights and other batches.

Expected, `--task copying --delay 200`: unitary networks go below the loss of a model
without memory, 0.0945; LSTM and GRU stay on it for as long. One system takes some
minutes on a core under JAX.

    python examples/compare.py --preset quick --output demo-compare
    python examples/compare.py --task copying --seeds 3 --jobs 2 --output compare
    python examples/compare.py --task adding --systems LSTM scoRNN --output compare
    python examples/compare.py --plot-only --output compare

Killed at any moment, the same command goes on where it stopped; another one with other
systems, tasks or seeds adds to what is in the directory.
"""

import argparse
import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import compare_plots
import comparing
import keras
import machine
import numpy as np
import runs
import tasks
import trials
from files import check, one_sentence, write_json
from flags import fill_in, positive, seed
from pixels import DATASETS
from systems import SYSTEMS

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"delay": 20, "width": 32, "steps": 300, "every": 50},
    "full": {"delay": 200, "width": 64, "steps": 2000, "every": 50},
}
JOURNAL = "trials.jsonl"
GROUP = ("task", "delay", "system", "width")  # what seeds have in common
ROW = {  # what is read of a trial
    "trial": {
        "task": tasks.NAMES,
        "delay": int,
        "system": tuple(SYSTEMS),
        "width": int,
        "seed": int,
    },
    "losses": [float | None],
    "baseline": float,
    "loss": str,
    "parameters": int,
    "seconds": float,
    "settings": dict,
    "environment": machine.ENVIRONMENT,
}


def journal_of(folder: Path) -> trials.Journal:
    """Return the finished trials of a folder."""
    return trials.Journal(folder / JOURNAL, partial(check, shape=ROW))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train what is missing; return what all that is in the directory says."""
    output, journal = arguments.output, journal_of(arguments.output)
    if arguments.plot_only:
        settings = runs.settings_of(output)
    else:
        settings = run_settings(arguments)
        learn = partial(comparing.learn, settings=settings, data_dir=arguments.data_dir)
        trials.run_in(
            output, settings, learn, wanted(arguments), journal, arguments.jobs
        )
    rows = trials.all_rows(output, journal)
    return {"script": "examples/compare.py", "settings": settings, "means": means(rows)}


def wanted(arguments: argparse.Namespace) -> list[trials.Trial]:
    """Return the trials that were asked for, one seed after the other."""
    return [
        {
            "task": arguments.task,
            "delay": arguments.delay,
            "system": system,
            "width": arguments.width,
            "seed": arguments.seed + number,
        }
        for number, system in itertools.product(
            range(arguments.seeds), arguments.systems
        )
    ]


def run_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the budget, which all trials of a directory share."""
    return {
        "steps": arguments.steps,
        "every": arguments.every,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "dataset": arguments.dataset,
        "backend": keras.config.backend(),
    }


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the losses of each system on each task, over its seeds.

    The last loss of a seed is the median of its last five: single ones jump.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row["trial"][name] for name in GROUP), []).append(row)
    return [
        {
            **dict(zip(GROUP, key, strict=True)),
            "seeds": len(group),
            "loss": group[0]["loss"],
            "baseline": group[0]["baseline"],
            "parameters": group[0]["parameters"],
            "every": group[0]["settings"]["every"],
            "losses": [row["losses"] for row in group],
            "last": [last_loss(row) for row in group],
            "seconds": round(float(np.mean([row["seconds"] for row in group])), 1),
        }
        for key, group in groups.items()
    ]


def last_loss(row: dict[str, Any]) -> float | None:
    """Return the median of the last five losses; None where one is not a number."""
    last = row["losses"][-5:]
    return None if None in last else float(np.median(last))


def print_summary(result: dict[str, Any], output: Path) -> None:
    print("\ntask            system       width  parameters  seconds  last loss")
    for row in sorted(result["means"], key=compare_plots.order):
        last = " ".join("-" if one is None else f"{one:.4f}" for one in row["last"])
        task = f"{row['task']}, {row['delay']}"
        print(
            f"{task:<16}{row['system']:<12} {row['width']:>5}  {row['parameters']:>10}"
            f"  {row['seconds']:>7.0f}  {last}  (no memory: {row['baseline']:.4f})"
        )
    print(f"\nwritten: {output / runs.RESULT}, {output / JOURNAL} and the pictures")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="full", help="sets the next four")
    add("--delay", type=positive(int), help="steps to remember over")
    add("--width", type=positive(int), help="real numbers of state")
    add("--steps", type=positive(int), help="of the optimizer")
    add("--every", type=positive(int), help="steps between two points of a curve")
    add("--task", choices=tasks.NAMES, default="copying")
    add("--systems", nargs="+", choices=tuple(SYSTEMS), default=list(SYSTEMS))
    add("--seeds", type=positive(int), default=1, help="how many")
    add("--seed", type=seed, default=0, help="the first of them")
    add("--batch-size", type=positive(int), default=64)
    add("--learning-rate", type=positive(float), default=1e-3)
    add("--dataset", choices=DATASETS, default=tasks.SCIKIT_LEARN, help="of images")
    add("--data-dir", help="where MNIST is")
    add("--jobs", type=positive(int), default=1, help="trials at once")
    add("--output", type=Path, default=Path("demo-compare"))
    add("--plot-only", action="store_true", help="draw what is there, train nothing")
    arguments = parser.parse_args(argv)
    fill_in(arguments, PRESETS[arguments.preset])
    if arguments.steps % arguments.every:
        parser.error(
            f"--steps must be a multiple of --every. Received: {arguments.steps} and "
            f"{arguments.every}"
        )
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    try:
        with one_sentence("compare.py"):
            result = run(arguments)
            compare_plots.draw(result["means"], arguments.output)
            write_json(arguments.output / runs.RESULT, result)
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from here") from None
    print_summary(result, arguments.output)


if __name__ == "__main__":
    main()

"""How many states does a unitary RNN need where a contractive one made the data?

Question: figures 2 and 3 of Emami et al. (2019). Data come from a slow contractive
RNN of 4 ReLU states, seen through noise (`synthetic_system.py`). RNNs, unitary RNNs
(URNN) and LSTMs of 2 to 14 states learn it, over many realizations of the system. By
theorem 1 a URNN with twice the states of an RNN can do as well as that.

Set-up: 1,000 sequences of 1,000 steps, of which 600 to train, 100 to choose the
epoch, 300 to test, touched once for the chosen epoch and once for the last. Mean
squared error, Adam with a rate of 0.01, batches of 10, 100 epochs, from an orthogonal
recurrent matrix. `--recipe identity` begins at the identity, `--recipe ours` also clips
gradients and lowers the rate to 0. Reported is the test R² about zero, as the poster
has it, and the usual one, about the mean.

Expected: below the ceiling of 0.990 at 20 dB and 0.969 at 15 dB, which the noise
sets; a URNN of 4 states at about 0.95, of 8 at about 0.97, and by our recipe at the
ceiling. On two cores a model takes 10 to 40 seconds under JAX, by its size, an LSTM two
minutes.

    python examples/synthetic.py --preset quick --output demo-synthetic
    python examples/synthetic.py --preset poster --jobs 2 --output synthetic
    python examples/synthetic.py --preset poster --models lstm --output synthetic
    python examples/synthetic.py --preset poster --recipe ours --output synthetic
    python examples/synthetic.py --plot-only --output synthetic

Killed at any moment, the same command goes on where it stopped; another one with other
models, sizes, ratios or realizations adds to what is in the directory.
"""

import argparse
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import machine
import numpy as np
import runs
import synthetic_learning
import synthetic_plots
import synthetic_system as task
import trials
from files import RunError, check, one_sentence, write_json
from flags import decibels, fill_in, positive, seed, share
from scipy import stats

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"units": [2, 4, 8], "realizations": 1, "snr": [20.0], "epochs": 30},
    "poster": {
        "units": [2, 4, 6, 8, 10, 12, 14],
        "realizations": 30,
        "snr": [20.0, 15.0],
        "epochs": 100,
    },
}
JOURNAL = "trials.jsonl"
GROUP = ("model", "recipe", "units", "snr")  # what realizations have in common
ROW = {  # what is read of a trial
    "trial": {
        "model": tuple(synthetic_learning.LAYERS),
        "recipe": tuple(synthetic_learning.RECIPES),
        "units": int,
        "snr": float,
        "realization": int,
    },
    "r2_about_zero": float | None,
    "r2_centered": float | None,
    "diverged": bool,
    "best_epoch": int,
    "parameters": int,
    "on": [float],
    "measured_snr": float,
    "seconds": float,
    "settings": dict,
    "environment": machine.ENVIRONMENT,
}


def journal_of(folder: Path) -> trials.Journal:
    """Return the finished trials of a folder."""
    return trials.Journal(folder / JOURNAL, partial(check, shape=ROW))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing; return the means of all that is in the directory."""
    output, journal = arguments.output, journal_of(arguments.output)
    if arguments.plot_only:
        settings = runs.settings_of(output)
    else:
        settings = run_settings(arguments)
        check_split(arguments)
        learn = partial(synthetic_learning.learn, settings=settings)
        trials.run_in(
            output,
            settings,
            learn,
            wanted(arguments),
            journal,
            arguments.jobs,
            arguments.engine,
        )
    rows = trials.all_rows(output, journal)
    return {
        "script": "examples/synthetic.py",
        "settings": settings,
        "environments": distinct(row["environment"] for row in rows),
        **summary(rows),
    }


def check_split(arguments: argparse.Namespace) -> None:
    """Raise RunError when a part of the sequences would be empty."""
    whole, ratio = arguments.sequences, arguments.test_ratio
    first, second = synthetic_learning.split(whole, ratio)
    parts = {"train": first, "choose the epoch": second - first, "test": whole - second}
    empty = [name for name, size in parts.items() if size < 1]
    if empty:
        raise RunError(
            f"--sequences {whole} and --test-ratio {ratio:g} leave none to "
            f"{' and none to '.join(empty)}. Take more sequences, or another ratio."
        )


def distinct(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those that differ, in their order."""
    return [json.loads(text) for text in dict.fromkeys(map(json.dumps, found))]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the finished trials say together."""
    ratios = sorted({row["trial"]["snr"] for row in rows}, reverse=True)
    return {
        "ceiling": {f"{snr:g}": task.ceiling(snr) for snr in ratios},
        "means": means(rows),
        "pairs": pairs(rows),
    }


def wanted(arguments: argparse.Namespace) -> list[trials.Trial]:
    """Return the trials that were asked for, each realization as a whole."""
    return [
        {
            "model": model,
            "recipe": arguments.recipe,
            "units": units,
            "snr": snr,
            "realization": realization,
        }
        for realization, snr, units, model in itertools.product(
            range(arguments.realizations),
            arguments.snr,
            arguments.units,
            arguments.models,
        )
    ]


def run_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what all trials of a directory share."""
    system = task.Recipe(
        states=arguments.states,
        inputs=arguments.inputs,
        outputs=arguments.outputs,
        epsilon=arguments.epsilon,
        on=arguments.on,
        length=arguments.length,
        sequences=arguments.sequences,
    )
    return {
        "system": system._asdict(),
        "test_ratio": arguments.test_ratio,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "backend": keras.config.backend(),
    }


def means(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and 95 % interval over the realizations, for each model and size."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row["trial"][name] for name in GROUP), []).append(row)
    return [
        {
            **dict(zip(GROUP, key, strict=True)),
            "realizations": len(group),
            "r2_about_zero": interval([r2(row) for row in group]),
            "median": float(np.median([r2(row) for row in group])),
            "r2_centered": interval([r2(row, "r2_centered") for row in group]),
            "diverged": sum(row["diverged"] for row in group),
            "parameters": group[0]["parameters"],
            "seconds": round(float(np.mean([row["seconds"] for row in group])), 1),
        }
        for key, group in groups.items()
    ]


def r2(row: dict[str, Any], kind: str = "r2_about_zero") -> float:
    """Return R² on the test: of a model whose output overflows, minus infinity."""
    found = row[kind]
    return -math.inf if found is None else float(found)


def pairs(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare URNNs with RNNs of half their units, realization by realization.

    With the RNN of the same recipe and with that of the poster's, where there are such.
    A difference above 0 is in the URNN's favour. `p_value` is that of Wilcoxon's
    signed-rank test, two-sided: single RNNs that diverge weigh no more there than
    others, while they rule the mean.
    """
    scores = {
        tuple(row["trial"][name] for name in (*GROUP, "realization")): row
        for row in rows
    }
    differences: dict[tuple[Any, ...], list[float]] = {}
    for (model, recipe, units, snr, realization), row in scores.items():
        for against in dict.fromkeys((recipe, "poster")):
            half = scores.get(("rnn", against, units / 2, snr, realization))
            if model == "urnn" and half is not None:
                one, other = r2(row), r2(half)
                difference = 0.0 if one == other else one - other  # infinities, too
                key = (recipe, against, units, snr)
                differences.setdefault(key, []).append(difference)
    return [
        {
            "recipe": recipe,
            "against": against,
            "units": units,
            "snr": snr,
            "realizations": len(found),
            "difference": interval(found),
            "median": float(np.median(found)),
            "better": int(np.sum(np.array(found) > 0.0)),
            "p_value": float(stats.wilcoxon(found).pvalue),
        }
        for (recipe, against, units, snr), found in differences.items()
    ]


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean, and its 95 % interval by Student's t.

    There is none of one value, nor where one of them is infinite.
    """
    mean = float(np.mean(values))
    half = None
    if len(values) > 1 and math.isfinite(mean):
        quantile = stats.t.ppf(0.975, len(values) - 1)
        half = float(quantile * stats.sem(values))
    return {"mean": mean, "half_width": half}


def spread(found: dict[str, float | None]) -> str:
    """Return an interval as text."""
    half = found["half_width"]
    return f"{found['mean']:.4f}" + ("" if half is None else f" ± {half:.4f}")


def print_summary(result: dict[str, Any], output: Path) -> None:
    print("\nmodel  recipe  units  SNR   R² about zero    centered  diverged  seconds")
    for row in result["means"]:
        print(
            f"{row['model']:<5}  {row['recipe']:<6}  "
            f"{row['units']:>5}  {row['snr']:>3g}  "
            f"{spread(row['r2_about_zero']):<15}  {row['r2_centered']['mean']:.4f}  "
            f"{row['diverged']:>3} of {row['realizations']:<2}  {row['seconds']:.0f}"
        )
    for row in result["pairs"]:
        print(
            f"URNN {row['units']}, {row['recipe']}, less RNN {row['units'] // 2}, "
            f"{row['against']}, {row['snr']:g} dB: {spread(row['difference'])}, "
            f"better in {row['better']} of {row['realizations']}"
        )
    print(f"\nwritten: {output / runs.RESULT}, {output / JOURNAL} and the pictures")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="synthetic.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="quick", help="sets the next four")
    add("--units", nargs="+", type=positive(int), help="hidden units of the models")
    add("--realizations", type=positive(int), help="of the system")
    add("--snr", nargs="+", type=decibels, help="signal-to-noise ratios, in dB")
    add("--epochs", type=positive(int))
    models = tuple(synthetic_learning.LAYERS)
    add("--models", nargs="+", choices=models, default=["rnn", "urnn"])
    recipes = tuple(synthetic_learning.RECIPES)
    add("--recipe", choices=recipes, default="poster", help="how they are trained")
    add("--batch-size", type=positive(int), default=10)
    add("--learning-rate", type=positive(float), default=0.01)
    defaults = task.Recipe()
    add("--states", type=positive(int), default=defaults.states, help="of the system")
    add("--inputs", type=positive(int), default=defaults.inputs)
    add("--outputs", type=positive(int), default=defaults.outputs)
    add("--length", type=positive(int), default=defaults.length, help="in steps")
    add("--sequences", type=positive(int), default=defaults.sequences)
    add("--test-ratio", type=share, default=0.3)
    add("--epsilon", type=share, default=defaults.epsilon)
    add("--on", type=share, default=defaults.on, help="share of the time")
    add("--seed", type=seed, default=0)
    add("--jobs", type=positive(int), default=1, help="trials at once")
    add(
        "--engine",
        choices=tuple(trials.ENGINES),
        default="local",
        help="what runs them",
    )
    add("--output", type=Path, default=Path("demo-synthetic"))
    add("--plot-only", action="store_true", help="draw what is there, train nothing")
    arguments = parser.parse_args(argv)
    fill_in(arguments, PRESETS[arguments.preset])
    if arguments.recipe == "identity" and "lstm" in arguments.models:
        parser.error(
            "--recipe identity is for --models rnn urnn: an LSTM's recurrent matrix is "
            "that of four gates"
        )
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    try:
        with one_sentence("synthetic.py"):
            result = run(arguments)
            synthetic_plots.draw(result, arguments.output)
            write_json(arguments.output / runs.RESULT, result)
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from here") from None
    print_summary(result, arguments.output)


if __name__ == "__main__":
    main()

"""Which recurrent matrix learns permuted MNIST best: unitary, contractive or any?

Question: figure 4 of Emami et al. (2019). A unitary RNN (URNN) and a contractive one
(ContRNN), both at a learning rate of 1e-3, and an RNN without constraint at 1e-3 and
at 1e-4, with 16 to 96 ReLU units.

Set-up: images of digits, one pixel per step, in one fixed random order (`pixels.py`).
One recurrent layer, softmax on its last output, RMSprop, batches of 64. Of the 60,000
training images 5,000 choose the epoch; training ends when `--patience` epochs in a row
have not raised the accuracy on them. The test set is used when that is over, with the
weights of the best epoch.

`--curves urnn-ours contrnn-ours` are these by a recipe of ours: they start from a cycle
of their units (`classifiers.py`), and the rate falls to 0 along a cosine, over all
`--epochs`, which then are part of the recipe, whatever `--patience` is.

Expected: at 96 units a test accuracy of 0.86 to 0.88 for the URNN, 0.91 by our recipe
(`docs/experiments.md`). An epoch of 784 steps takes about a minute on two cores;
`--preset quick`, on digits of 64 pixels, is done in less.

    python examples/permuted_mnist.py --preset quick --output demo-permuted
    python examples/permuted_mnist.py --preset poster --output permuted
    python examples/permuted_mnist.py --preset poster --output permuted --plot-only

Killed at any moment, the same command goes on from the latest finished epoch. Started
more than once at a time, each process takes the points that no other one is at. Other
curves and sizes add to what is in the directory, and with more `--epochs` or more
`--patience` what fewer of them had ended goes on.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import checkpoints
import classifiers
import keras
import machine
import numpy as np
import permuted_mnist_plots
import pixels
import runs
import trials
from files import RunError, check, one_sentence, write_json
from flags import fill_in, positive, seed, use_backend
from sklearn.metrics import confusion_matrix


class Curve(NamedTuple):
    """A kind of recurrent matrix, and how it is trained."""

    layer: str  # a key of `classifiers.LAYERS`
    learning_rate: float
    decays: bool = False  # the rate, to 0 along a cosine over all epochs


# Those of figure 4, first those that the library is for.
POSTER = {
    "urnn": Curve("unitary", 1e-3),
    "contrnn": Curve("contractive", 1e-3),
    "rnn-1e-3": Curve("plain", 1e-3),
    "rnn-1e-4": Curve("plain", 1e-4),
}
CURVES = {
    **POSTER,
    "urnn-ours": Curve("unitary from a cycle", 1e-3, decays=True),
    "contrnn-ours": Curve("contractive from a cycle", 1e-3, decays=True),
}
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"dataset": "digits", "units": [8, 16], "epochs": 5, "patience": 3},
    "poster": {
        "dataset": "mnist",
        "units": [16, 32, 48, 64, 80, 96],
        "epochs": 30,
        # Noise of the contractive curve had ended its 80 units after 21 epochs by 10.
        "patience": 20,
    },
}
JOURNAL = "points.jsonl"
ROW = {  # what is read of a point; the last two are not in rows before 0.5
    "trial": {"curve": tuple(CURVES), "units": int},
    "parameters": int,
    "epochs": int,
    "best_epoch": int,
    "stopped_early": bool,
    "test_accuracy": float,
    "validation_accuracy": float,
    "validation_accuracies": [float],
    "confusion": [[int]],
    "seconds": float,
    "settings": {"dataset": pixels.DATASETS, "patience": int | None},
    "environment": machine.ENVIRONMENT,
    "pieces?": [checkpoints.PIECE],
    "decays?": bool,
}


def journal_of(folder: Path) -> trials.Journal:
    """Return the finished points of a folder."""
    return trials.Journal(folder / JOURNAL, check_row)


def check_row(row: dict[str, Any]) -> None:
    """Raise ValueError for what is no finished point."""
    check(row, ROW)
    epochs = len(row["validation_accuracies"])
    if not 1 <= row["best_epoch"] <= row["epochs"] == epochs:
        raise ValueError(
            f"its best epoch is {row['best_epoch']} of {row['epochs']}, and there are "
            f"validation accuracies of {epochs}"
        )
    if [len(counts) for counts in row["confusion"]] != [
        pixels.CLASSES
    ] * pixels.CLASSES:
        raise ValueError("'confusion' must be a square of all classes")


def run(arguments: argparse.Namespace, journal: trials.Journal) -> None:
    """Train what is missing."""
    if arguments.plot_only:
        runs.settings_of(arguments.output)
        return
    settings = run_settings(arguments)
    task = pixels.load(arguments.dataset, arguments.data_dir)
    classifiers.check_batch_size(arguments.batch_size, task)
    journal.check(settings)
    runs.claim(arguments.output, settings)
    wanted = [
        {"curve": curve, "units": units}
        for curve, units in itertools.product(arguments.curves, arguments.units)
    ]
    for point in wanted:
        if CURVES[point["curve"]].decays:  # by the number of epochs
            decay = {"epochs": arguments.epochs}
            runs.claim(arguments.output / name_of(point), decay)
    found = latest(journal)
    names = {name_of(point) for point in wanted} - found.keys()
    runs.check_epochs((arguments.output / name for name in names), arguments.epochs)
    journal.set_torn_line_aside()
    for point in wanted:
        folder = arguments.output / name_of(point)
        folder.mkdir(exist_ok=True)
        try:
            with runs.alone(folder):
                there = latest(journal).get(name_of(point))
                if there is None or goes_on(
                    there, arguments.epochs, arguments.patience
                ):
                    journal.add(learn(point, task, arguments, settings))
        except runs.BusyError:
            print(f"\n{folder.name}: left to the process that is at it", flush=True)


def publish(journal: trials.Journal) -> list[dict[str, Any]]:
    """Draw and write all points that are in the directory, and return them.

    One process after the other: the last one to end has the points of all.
    """
    output = journal.path.parent
    with journal.lock:
        points = points_of(journal)
        permuted_mnist_plots.draw(points, output)
        result = {"script": "examples/permuted_mnist.py", "points": points}
        write_json(output / runs.RESULT, result)
    return points


def points_of(journal: trials.Journal) -> list[dict[str, Any]]:
    """Return the finished points.

    Raises:
        RunError: when there is none.
    """
    points = list(latest(journal).values())
    if not points:
        raise RunError(
            f"--output {journal.path.parent} holds no finished point yet. Wait for the "
            "process that is at it, or run the same command without --plot-only."
        )
    return points


def run_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what all points of a directory share."""
    return {
        "dataset": arguments.dataset,
        "batch_size": arguments.batch_size,
        "policy": "mixed_bfloat16" if arguments.mixed_precision else "float32",
        "jit_compile": arguments.jit_compile,
        "seed": arguments.seed,
        "max_norm": classifiers.MAX_NORM,
        "permutation_seed": pixels.PERMUTATION_SEED,
        "backend": keras.config.backend(),
    }


def name_of(point: dict[str, Any]) -> str:
    """Return the folder of a point: its checkpoints and the log of its epochs."""
    return f"{point['curve']}-{point['units']}"


def latest(journal: trials.Journal) -> dict[str, dict[str, Any]]:
    """Return the last row of each point, by its name."""
    return {name_of(row["trial"]): row for row in journal.latest().values()}


def goes_on(row: dict[str, Any], epochs: int, patience: int) -> bool:
    """Whether a point that is there was ended by fewer epochs or less patience."""
    waited = row["epochs"] - row["best_epoch"]
    impatient = waited >= patience and not CURVES[row["trial"]["curve"]].decays
    return bool(row["epochs"] < epochs and not impatient)


class Patience(keras.callbacks.Callback):
    """Ends training when the best epoch lies `patience` epochs back, `None` never.

    `keras.callbacks.EarlyStopping` begins to count again where a killed run goes on;
    the log knows all epochs.
    """

    def __init__(self, folder: Path, patience: int | None) -> None:
        super().__init__()
        self.folder, self.patience = folder, patience

    def on_epoch_end(self, *_: Any) -> None:
        if self.exhausted():
            self.model.stop_training = True

    def exhausted(self) -> bool:
        epochs = checkpoints.history(self.folder)
        if not epochs or self.patience is None:
            return False
        best = checkpoints.best_epoch(epochs)["epoch"]
        return bool(len(epochs) - best >= self.patience)


def learn(
    point: dict[str, Any],
    task: pixels.Task,
    arguments: argparse.Namespace,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Train a point to its end; return what came out."""
    curve = CURVES[point["curve"]]
    folder = arguments.output / name_of(point)
    # Where the rate falls, the best epochs are the last.
    most = None if curve.decays else arguments.patience
    patience = Patience(folder, most)
    keras.utils.set_random_seed(arguments.seed)
    model = classifiers.build(
        curve.layer, task.steps, point["units"], settings["policy"]
    )
    start = time.perf_counter()
    classifiers.train(
        model,
        task,
        folder,
        optimizer=optimizer(curve, task, arguments),
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        seed=arguments.seed,
        jit_compile=settings["jit_compile"],
        callbacks=[patience],
        ended=patience.exhausted,
    )
    guessed = classifiers.guess(model, task.test)
    summary = checkpoints.summary(folder)
    return {
        "trial": point,
        "layer": curve.layer,
        "learning_rate": curve.learning_rate,
        "decays": curve.decays,
        "test_accuracy": float(np.mean(guessed == task.test.y)),
        "validation_accuracy": summary["validation_accuracy"],
        "best_epoch": summary["best_epoch"],
        "epochs": len(summary["history"]),
        "stopped_early": patience.exhausted(),
        "parameters": model.count_params(),
        "seconds": summary["seconds"],
        "seconds_of_this_run": round(time.perf_counter() - start, 1),
        "validation_accuracies": [row["val_accuracy"] for row in summary["history"]],
        "confusion": confusion_matrix(
            task.test.y, guessed, labels=range(pixels.CLASSES)
        ).tolist(),
        "settings": {
            **settings,
            "epochs": arguments.epochs,
            "patience": most,
        },
        "pieces": checkpoints.pieces(folder),
        "environment": machine.environment(),
    }


def optimizer(
    curve: Curve, task: pixels.Task, arguments: argparse.Namespace
) -> keras.optimizers.Optimizer:
    rate = curve.learning_rate
    if curve.decays:
        steps = arguments.epochs * (len(task.train.y) // arguments.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.RMSprop(rate)


def print_summary(points: Sequence[dict[str, Any]], output: Path) -> None:
    print(
        "\ncurve      units  parameters  epochs  best  validation  test    minutes  on"
    )
    for row in points:
        trial, trained = row["trial"], permuted_mnist_plots.epochs_of(row)
        print(
            f"{trial['curve']:<9}  {trial['units']:>5}  {row['parameters']:>10,}  "
            f"{trained:<6}  {row['best_epoch']:>4}  "
            f"{row['validation_accuracy']:.4f}      {row['test_accuracy']:.4f}  "
            f"{row['seconds'] / 60:>7.1f}  {row['environment']['device']}"
        )
    if not all(permuted_mnist_plots.ended(row) for row in points):
        print("+: not at its end; more --epochs go on with it")
    print(f"\nwritten: {output / runs.RESULT}, {output / JOURNAL} and the pictures")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permuted_mnist.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="quick", help="sets the next four")
    add("--dataset", choices=pixels.DATASETS)
    add("--units", nargs="+", type=positive(int), help="of the recurrent layer")
    add("--epochs", type=positive(int), help="at most so many")
    add("--patience", type=positive(int), help="epochs without a better one")
    add("--curves", nargs="+", choices=CURVES, default=list(POSTER))
    add("--batch-size", type=positive(int), default=64)
    add("--seed", type=seed, default=0)
    add("--backend", choices=("tensorflow", "jax", "torch"), help="else KERAS_BACKEND")
    add(
        "--jit-compile",
        action=argparse.BooleanOptionalAction,
        default="auto",
        help="XLA, on PyTorch torch.compile; by default where Keras takes it",
    )
    add("--mixed-precision", action="store_true", help="bfloat16 in the recurrence")
    add("--data-dir", help="where tensorflow-datasets keeps MNIST")
    add("--output", type=Path, default=Path("demo-permuted"))
    add("--plot-only", action="store_true", help="draw what is there, train nothing")
    arguments = parser.parse_args(argv)
    fill_in(arguments, PRESETS[arguments.preset])
    if arguments.data_dir and arguments.dataset == "digits":
        parser.error("--data-dir is for --dataset mnist; digits come with scikit-learn")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    use_backend(arguments.backend)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    journal = journal_of(arguments.output)
    try:
        with one_sentence("permuted_mnist.py"):
            run(arguments, journal)
            points = publish(journal)
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the same command goes on from here") from None
    print_summary(points, arguments.output)


if __name__ == "__main__":
    main()

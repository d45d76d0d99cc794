"""A contractive RNN becomes a unitary one with the same outputs, on real digits.

Question: does theorem 1 hold outside the paper, for a trained classifier? A
contractive RNN with n ReLU states is trained, `ku.to_unitary` turns it into a
unitary RNN with at most 2n states, and the two are compared on adverse inputs
and on the test images. A unitary RNN trained from the start stands beside them.

Set-up: images of digits, one pixel per step, in one fixed random order
(`pixels.py`). One recurrent layer, softmax on its last output, RMSprop. The
weights of the epoch with the best validation accuracy are kept; the test set is
used once, after training.

Expected: `--dataset digits` takes about two minutes on two cores; both trained
models reach a test accuracy between 0.91 and 0.97. `--dataset mnist` (784 steps,
96 units) reaches 0.6 to 0.7 after one epoch, by the seed more than by the layer. In
both the converted model gives the same outputs as the original, up to rounding.

    python examples/demo.py --dataset digits --output demo
    python examples/demo.py --dataset mnist --output demo-mnist

Adding `--resume` goes on where a killed run stopped, and with `--epochs 20`
where a finished one did.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import classifiers
import keras
import machine
import numpy as np
import pixels
import plots
import runs
from checkpoints import summary
from files import one_sentence, write_json
from flags import fill_in, positive, seed

import keras_urnn as ku

KINDS = ("contractive", "unitary")
# Learning rate, and MNIST's batch size, are the paper's; the rest was chosen by
# validation accuracy.
DEFAULTS = {
    "digits": {"epochs": 120, "units": 64, "batch_size": 32, "learning_rate": 1e-3},
    "mnist": {"epochs": 10, "units": 96, "batch_size": 64, "learning_rate": 1e-3},
}
INPUT_BOUND = 1.0  # a pixel lies between 0 and 1
PICTURE = "demo.png"


def measure(model: Any, task: pixels.Task) -> dict[str, Any]:
    """Return the test accuracy of a model and the spectrum of its recurrent matrix."""
    cell = model.get_layer("recurrent").cell
    matrix = keras.ops.convert_to_numpy(cell.recurrent_matrix()).astype("float64")
    eigenvalues = np.linalg.eigvals(matrix)
    guessed = classifiers.guess(model, task.test)
    return {
        "states": len(matrix),
        "parameters": model.count_params(),
        "test_accuracy": float(np.mean(guessed == task.test.y)),
        "singular_values": to_list(np.linalg.svd(matrix, compute_uv=False)),
        "eigenvalues": to_list(np.stack([eigenvalues.real, eigenvalues.imag], -1)),
    }


def to_list(array: pixels.Array) -> list[Any]:
    """Return an array as JSON keeps it, to the accuracy of float32."""
    return np.round(array, 7).tolist()


def convert(model: Any, task: pixels.Task) -> tuple[Any, dict[str, Any]]:
    """Return the equivalent unitary model and how far the two are apart."""
    start = time.perf_counter()
    converted = ku.to_unitary(model, input_bound=INPUT_BOUND)
    seconds = time.perf_counter() - start
    report = ku.verify_equivalence(model, converted, input_bound=INPUT_BOUND)
    print(f"\n{report}")
    before, after = (
        m.predict(task.test.x, batch_size=classifiers.EVALUATION_BATCH, verbose=0)
        for m in (model, converted)
    )
    same = int(np.sum(before.argmax(-1) == after.argmax(-1)))
    print(f"same class for {same:,} of {len(before):,} test images")
    return converted, {
        "conversion_seconds": round(seconds, 3),
        "same_class_on_test_images": same,
        "test_images": len(before),
        "largest_test_difference": float(np.max(np.abs(before - after))),
        "equivalent": report.equivalent,
        "report": dataclasses.asdict(report),
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, convert and compare; return the whole story as plain data."""
    settings = run_settings(arguments)
    task = pixels.load(arguments.dataset, arguments.data_dir)
    classifiers.check_batch_size(arguments.batch_size, task)
    runs.open_directory(arguments.output, settings, arguments.resume, arguments.epochs)
    models, equivalence = {}, None
    for kind in settings["models"]:
        keras.utils.set_random_seed(arguments.seed)
        model = classifiers.build(kind, task.steps, arguments.units)
        classifiers.train(
            model,
            task,
            arguments.output / kind,
            optimizer=keras.optimizers.RMSprop(arguments.learning_rate),
            batch_size=arguments.batch_size,
            epochs=arguments.epochs,
            seed=arguments.seed,
        )
        models[kind] = model
        if kind == "contractive":
            models["converted"], equivalence = convert(models[kind], task)
    return {
        "script": "examples/demo.py",
        "settings": {**settings, "epochs": arguments.epochs},
        "samples": {part: len(split.y) for part, split in task._asdict().items()},
        "environment": machine.environment(),
        "training": {
            kind: summary(arguments.output / kind) for kind in settings["models"]
        },
        "models": {kind: measure(model, task) for kind, model in models.items()},
        "equivalence": equivalence,
    }


def run_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the numbers; more epochs may be added by a resume."""
    return {
        "dataset": arguments.dataset,
        "models": [kind for kind in KINDS if kind in arguments.models],
        "units": arguments.units,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "max_norm": classifiers.MAX_NORM,
        "permutation_seed": pixels.PERMUTATION_SEED,
        "backend": keras.config.backend(),
    }


def print_summary(result: dict[str, Any], output: Path) -> None:
    for kind, training in result["training"].items():
        print(
            f"{kind}: {training['seconds']:.0f} s of training, best of "
            f"{len(training['history'])} epochs {training['best_epoch']} "
            f"(validation accuracy {training['validation_accuracy']:.4f})"
        )
    print("\nmodel         states   test accuracy")
    for kind, measured in result["models"].items():
        print(f"{kind:<12}  {measured['states']:>6}   {measured['test_accuracy']:.4f}")
    print(f"\nwritten: {output / runs.RESULT}, {output / PICTURE}")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=pixels.DATASETS, default="digits")
    add("--data-dir", help="where tensorflow-datasets keeps MNIST")
    add("--models", nargs="+", choices=KINDS, default=list(KINDS))
    add("--epochs", type=positive(int), help="120 for digits, 10 for mnist")
    add("--units", type=positive(int), help="64 for digits, 96 for mnist")
    add("--batch-size", type=positive(int), help="32 for digits, 64 for mnist")
    add("--learning-rate", type=positive(float), help="1e-3 for both")
    add("--seed", type=seed, default=0)
    add("--output", type=Path, default=Path("demo"), help="defaults to demo/")
    add("--resume", action="store_true", help="go on from the latest epoch")
    arguments = parser.parse_args(argv)
    if arguments.data_dir and arguments.dataset == "digits":
        parser.error("--data-dir is for --dataset mnist; digits come with scikit-learn")
    fill_in(arguments, DEFAULTS[arguments.dataset])
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    with one_sentence("demo.py"):
        result = run(arguments)
        plots.demo(result, arguments.output / PICTURE)
        write_json(arguments.output / runs.RESULT, result)
    print_summary(result, arguments.output)
    if result["equivalence"] and not result["equivalence"]["equivalent"]:
        raise SystemExit("demo.py: the converted model is not equivalent.")


if __name__ == "__main__":
    main()

"""How much of a gradient reaches the first steps of a long sequence?

Question: what is left of the gradient of the last state on its way back through a
recurrence? It vanishes where the recurrence forgets, and what happened there can't be
learned.

Set-up: recurrent layers of `systems.py` as they start, before any training, on
sequences of the copying task (`tasks.py`). For each the norm of the gradient of the
last state, along a direction of norm 1, by the state of each step:
`keras_urnn.diagnostics.gradient_norm_profile`.

Expected: 1 at the last step. With a unitary matrix and modReLU, which starts as the
identity, it stays 1 all the way back; everywhere else nothing is left after 200 steps.
ReLU cuts off about half of the states at each step, of an orthogonal matrix, too.

    python examples/gradients.py --output demo-gradients    # seconds on a CPU
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import machine
import numpy as np
import plots
import tasks
from files import write_json
from flags import positive, seed
from runs import RESULT
from systems import SYSTEMS

import keras_urnn as ku

SHOWN = ("RNN", "LSTM", "contractive", "URNN", "expRNN", "full-capacity uRNN")


def profiles(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return the norm at each step, from the first to the last, by system."""
    task = tasks.make("copying", arguments.delay)
    x, _ = task.draw(np.random.default_rng(arguments.seed), arguments.sequences)
    found = {}
    for system in arguments.systems:
        keras.utils.set_random_seed(arguments.seed)
        layer = SYSTEMS[system].make(arguments.width)
        layer.build(x.shape)
        norms = ku.diagnostics.gradient_norm_profile(layer, x)
        found[system] = [float(norm) for norm in norms]
    return found


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gradients.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--systems", nargs="+", choices=tuple(SYSTEMS), default=list(SHOWN))
    add("--delay", type=positive(int), default=200, help="of the copying task")
    add("--width", type=positive(int), default=64, help="real numbers of state")
    add("--sequences", type=positive(int), default=64, help="how many are averaged")
    add("--seed", type=seed, default=0)
    add("--output", type=Path, default=Path("demo-gradients"))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    settings = {**vars(arguments), "backend": keras.config.backend()}
    del settings["output"]
    result: dict[str, Any] = {
        "script": "examples/gradients.py",
        "settings": settings,
        "environment": machine.environment(),
        "norms": profiles(arguments),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_json(arguments.output / RESULT, result)
    plots.gradient_norms(result["norms"], arguments.output / "gradients.png")
    for system, norms in result["norms"].items():
        print(f"{system:<20} at the first of {len(norms)} steps: {norms[0]:.2g}")
    print(f"\nwritten: {arguments.output / RESULT} and gradients.png")


if __name__ == "__main__":
    main()

"""ReLU networks have unitary twins; a sigmoid network has none. The gap, measured.

Question: theorem 1 turns every contractive ReLU RNN into a unitary one; theorem 3
says that for sigmoid this fails. How large is the difference on the smallest RNN
there is, `h_t = φ(0.5 h_{t-1} + x_t + b)`?

Set-up: for ReLU `ku.to_unitary` builds the unitary RNN, of 2 states. For sigmoid
unitary RNNs of 1 to 32 states are fitted to `ku.theory.sigmoid_example()`: a linear
readout, Adam, cosine decay, mean square error at all steps, random inputs, several
restarts. Contractive RNNs, fitted in the same way, say how well such a training does
where an exact solution exists. What is chosen by validation sequences is measured on
test sequences, as the largest error (relative to the largest output) and as the root
mean square.

One sample: 20 inputs drawn uniformly from [-2, 2], and the 20 states that follow.

Expected: about four minutes on two cores. ReLU: an error below 1e-6. Sigmoid: the
contractive fit with 1 state comes near 1e-6; the unitary ones go from 2e-2 or 3e-2 with
1 state to a little below 1e-3 from 8 states on. An error of a fit bounds the
least possible error from above; it proves nothing about what can't be had. That is
what the theorem is for.

    python examples/theorems.py --output demo-theorems

The numbers for theorem 2, and the eigenvalues behind theorem 3, come with it.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import machine
import numpy as np
import plots
import runs
import tables
from files import one_sentence, write_json
from flags import positive, seed
from numpy.typing import NDArray

import keras_urnn as ku

Array = NDArray[Any]

LAYERS = {"unitary": ku.UnitaryRNN, "contractive": ku.ContractiveRNN}
SIZES = (1, 2, 4, 8, 16, 32)
RESTARTS = 6
STEPS = 2500  # of the optimizer, each on a batch of new sequences
BATCH_SIZE = 64
LEARNING_RATE = 0.1  # at first; chosen from 0.02 and 0.1 in trial runs
LENGTH = 20
INPUT_BOUND = 2.0
HELD_OUT = 1000  # validation sequences, and as many test sequences
PREDICTION_BATCH = 4000
RELU_BIAS = 0.5  # with it the state is on at some steps and off at others
LEVEL = 2.0  # fits level off where no larger size divides the error by this
CONSTANT_INPUTS = (-2.0, 0.0, 2.0)
LARGEST_TIGHT = 8
STATES = 4  # of the other networks of theorem 2
RESULT = "theorems.json"
PICTURE = "theorems.png"


class Sequences(NamedTuple):
    """Inputs and what the target makes of them, each `(samples, LENGTH, 1)`."""

    x: Array
    y: Array


def layer_of(cell: Any) -> Any:
    return keras.layers.RNN(cell, return_sequences=True)


def outputs(layer: Any, x: Array) -> Array:
    """Run a layer or a model on many sequences."""
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    return model.predict(x, batch_size=PREDICTION_BATCH, verbose=0)


def draw(cell: Any, samples: int, *entropy: int) -> Sequences:
    """Draw inputs from [-INPUT_BOUND, INPUT_BOUND] and run a cell on them."""
    generator = np.random.default_rng(entropy)
    x = generator.uniform(-INPUT_BOUND, INPUT_BOUND, (samples, LENGTH, 1))
    x = x.astype("float32")
    return Sequences(x, outputs(layer_of(cell), x))


def relative_max(y: Array, expected: Array) -> float:
    return float(np.max(np.abs(y - expected)) / np.max(np.abs(expected)))


def rms(y: Array, expected: Array) -> float:
    return float(np.sqrt(np.mean(np.square(y - expected, dtype="float64"))))


def convert_relu(number: int) -> dict[str, Any]:
    """Measure theorem 1 on the sigmoid example's ReLU twin."""
    weights = ku.theory.sigmoid_example().get_weights()
    cell = ku.ContractiveRNNCell(1, "relu", name="relu_twin")
    cell.build((None, 1))
    cell.set_weights([*weights[:2], np.full(1, RELU_BIAS)])
    unitary = ku.to_unitary(cell, input_bound=INPUT_BOUND)
    test = draw(cell, HELD_OUT, number, 2)
    converted = outputs(layer_of(unitary), test.x)
    return {
        "states": cell.units,
        "unitary_states": unitary.units,
        "share_of_steps_on": float(np.mean(test.y > 0.0)),
        "relative_max": relative_max(converted, test.y),
        "rms": rms(converted, test.y),
    }


def fit(kind: str, states: int, restarts: int, train: Sequences, number: int) -> Any:
    """Fit `restarts` networks at once; return the model with one output for each.

    They are branches of one model, which is quicker than one after the other and the
    same: the loss is a sum over them, and Adam treats each weight by itself.
    """
    keras.utils.set_random_seed(number)
    inputs = keras.Input((LENGTH, 1))
    branches = []
    for restart in range(restarts):
        layer = LAYERS[kind](
            states,
            "sigmoid",
            return_sequences=True,
            unroll=True,  # twice as fast on TensorFlow, which runs without XLA here
            name=f"recurrent_{restart}",
        )
        branches.append(keras.layers.Dense(1)(layer(inputs)))
    joined = keras.layers.Concatenate()(branches) if restarts > 1 else branches[0]
    model = keras.Model(inputs, joined)
    steps = len(train.x) // BATCH_SIZE
    decay = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(decay), "mse", jit_compile="auto")
    targets = np.repeat(train.y, restarts, axis=-1)
    model.fit(train.x, targets, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    return model


def measure(
    model: Any, restarts: int, validation: Sequences, test: Sequences
) -> dict[str, Any]:
    """Return the test errors of all restarts and which one validation chooses."""
    chosen = outputs(model, validation.x)
    tested = outputs(model, test.x)
    by_validation = [rms(chosen[..., i : i + 1], validation.y) for i in range(restarts)]
    best = int(np.argmin(by_validation))
    cells = [model.get_layer(f"recurrent_{i}").cell for i in range(restarts)]
    matrices = [keras.ops.convert_to_numpy(c.recurrent_matrix()) for c in cells]
    return {
        "states": cells[best].units,
        "best": best,
        "validation_rms": by_validation,
        "rms": [rms(tested[..., i : i + 1], test.y) for i in range(restarts)],
        "relative_max": [
            relative_max(tested[..., i : i + 1], test.y) for i in range(restarts)
        ],
        "unitarity_error": max(ku.diagnostics.unitarity_error(m) for m in matrices),
        "linearization": linearize(cells[best]),
    }


def linearize(cell: Any) -> list[dict[str, Any]]:
    """Return slopes and eigenvalues under constant inputs, and what ties them."""
    rows = []
    for x in CONSTANT_INPUTS:
        _, slopes, eigenvalues = ku.theory.linearization(cell, [x])
        moduli = np.abs(eigenvalues)
        ratios = np.log(moduli) - np.log(slopes)
        rows.append(
            {
                "x": x,
                "slopes": np.sort(slopes).tolist(),
                "moduli": np.sort(moduli).tolist(),
                # 1 for unitary matrices: the products of both are equal
                "mean_ratio": float(np.exp(np.mean(ratios))),
            }
        )
    return rows


def fit_all(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Fit and measure each kind of network at each size."""
    cell, number = ku.theory.sigmoid_example(), arguments.seed
    train = draw(cell, arguments.steps * BATCH_SIZE, number, 0)
    validation, test = (draw(cell, HELD_OUT, number, which) for which in (1, 2))
    fits: dict[str, list[dict[str, Any]]] = {kind: [] for kind in LAYERS}
    for kind, measured in fits.items():
        for states in sorted(arguments.sizes):
            start = time.perf_counter()
            model = fit(kind, states, arguments.restarts, train, number)
            row = measure(model, arguments.restarts, validation, test)
            row["seconds"] = round(time.perf_counter() - start, 1)
            measured.append(row)
            error = row["rms"][row["best"]]
            print(f"{kind:<11} {states:>3} states: rms {error:.1e}", flush=True)
    return fits


def level(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say from which size on no larger one divides the error by `LEVEL`."""
    errors = [row["rms"][row["best"]] for row in rows]
    for i, row in enumerate(rows[:-1]):
        if min(errors[i + 1 :]) > errors[i] / LEVEL:
            return {"levels_off": True, "from_states": row["states"]}
    return {"levels_off": False, "from_states": None}


def bound_states() -> list[dict[str, Any]]:
    """Return theorem 2's bounds for the networks where they are known."""
    shrinking = np.linspace(0.2, 0.8, STATES)
    turning = np.linalg.qr(np.random.default_rng(0).normal(size=(STATES, STATES)))[0]
    cells = [
        ("`tight_example(n)`", ku.theory.tight_example(n))
        for n in range(1, LARGEST_TIGHT + 1)
    ]
    cells += [
        ("diagonal, distinct entries", cell_of(np.diag(shrinking))),
        ("shift", cell_of(np.eye(STATES, k=1))),
        ("orthogonal", cell_of(turning)),
    ]
    rows = []
    for name, cell in cells:
        bounds = ku.theory.unitary_state_bounds(cell)
        rows.append({"network": name, "n": cell.units, **bounds._asdict()})
    return rows


def cell_of(recurrent_matrix: Array) -> Any:
    """Return the ReLU cell of a matrix; each state has an input of its own."""
    n = len(recurrent_matrix)
    cell = keras.layers.SimpleRNNCell(n, activation="relu")
    cell.build((None, n))
    cell.set_weights([np.eye(n), recurrent_matrix, np.zeros(n)])
    return cell


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Convert, fit and compute; return the whole story as plain data."""
    start = time.perf_counter()
    relu, fits = convert_relu(arguments.seed), fit_all(arguments)
    return {
        "script": "examples/theorems.py",
        "settings": {
            "seed": arguments.seed,
            "sizes": sorted(arguments.sizes),
            "restarts": arguments.restarts,
            "steps": arguments.steps,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "length": LENGTH,
            "input_bound": INPUT_BOUND,
            "held_out": HELD_OUT,
            "relu_bias": RELU_BIAS,
            "level": LEVEL,
        },
        "environment": machine.environment(),
        "relu": relu,
        "fits": fits,
        "level": {kind: level(rows) for kind, rows in fits.items()},
        "linearization": linearize(ku.theory.sigmoid_example()),
        "state_bounds": bound_states(),
        "seconds": round(time.perf_counter() - start, 1),
    }


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="theorems.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--sizes", nargs="+", type=positive(int), default=list(SIZES))
    add("--restarts", type=positive(int), default=RESTARTS, help="defaults to 6")
    add("--steps", type=positive(int), default=STEPS, help="defaults to 2500")
    add("--seed", type=seed, default=0)
    add("--output", type=Path, default=Path("demo-theorems"))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    print(f"Keras {keras.__version__}, {keras.config.backend()} on {machine.device()}")
    with one_sentence("theorems.py"):
        runs.make_directory(arguments.output)
        result = run(arguments)
        write_json(arguments.output / RESULT, result)
        plots.theorems(result, arguments.output / PICTURE)
    for table in tables.theorems(result).values():
        print(f"\n{table}")
    print()
    print(tables.levels(result))
    print(f"\nwritten: {arguments.output / RESULT}, {arguments.output / PICTURE}")


if __name__ == "__main__":
    main()

"""Run a cell and its conversion side by side, over random and adverse inputs."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.intervals import STORAGE_ROUNDOFF, Array, Interval
from keras_urnn.equivalence.pairs import CellPair
from keras_urnn.equivalence.reachable import Recurrence
from keras_urnn.equivalence.search import most_different

# What rounding may do to the outputs over a few steps, relative to the largest: the
# sums are formed in another order, nothing else.
OUTPUT_TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-6,
    "bfloat16": 2.0**-4,
    "float16": 2.0**-7,
}


# How long the sequences are that are searched by gradient.
SEARCHED_STEPS = 100


def rounding_tolerance(dtype: str, growth: float, steps: int) -> float:
    """What rounding may do to the outputs of a recurrence, relative to the largest.

    A step grows what is there by at most `growth` (`Recurrence.growth`). A recurrence
    with `growth < 1` adds up the roundings of its last `1 / (1 - growth)` steps: at
    0.999 in float32 6e-5 at worst (seen: 3e-6 at n = 1, 3e-7 from n = 4 on). Never
    more than 1/2, where differences would mean nothing.
    """
    steps = telling_steps(dtype, growth, steps)
    grown = steps * max(growth, 1.0) ** (steps - 1)
    memory = grown if growth >= 1.0 else min(grown, 1.0 / (1.0 - growth))
    accumulated = STORAGE_ROUNDOFF[dtype] * memory
    return float(min(OUTPUT_TOLERANCE[dtype] + accumulated, 0.5))


def telling_steps(dtype: str, growth: float, steps: int) -> int:
    """Over how many steps outputs can be compared: until rounding may be all of them.

    All, unless a step may grow what rounding did: hard_silu is steeper than the
    identity in places, and a threshold jumps.
    """
    if growth <= 1.0 + 1e-6:
        return steps
    return max(1, min(steps, int(-np.log(STORAGE_ROUNDOFF[dtype]) / np.log(growth))))


@dataclass(frozen=True)
class Observation:
    """What a run showed.

    Attributes:
        name: string. What was run.
        absolute: float. `max|y - y'|`.
        relative: float. The same over `max|y|`, or over the value that added states
            rest at where that is larger: it is taken off again in each step.
        tolerance: float. What rounding may do to `relative`.
        largest_added: float. The largest distance of an added state from its rest.
        distance: float. The smallest distance of an added state's pre-activation from
            the end of the half-line where it rests; infinite where none was in view.
        inside: bool. Whether the inputs stayed in the range that the proof is for.
    """

    name: str
    absolute: float
    relative: float
    tolerance: float
    largest_added: float = 0.0
    distance: float = float("inf")
    inside: bool = True

    @property
    def objections(self) -> list[str]:
        """Why this run shows that the two are not equivalent."""
        found = []
        # Written so that NaN fails.
        if not self.relative <= self.tolerance:
            found.append(
                f"{self.name}: outputs differ by {self.relative:.3g}, relative"
            )
        if not self.largest_added == 0.0:
            found.append(
                f"{self.name}: an added state left its rest by {self.largest_added:.3g}"
            )
        if not self.inside:
            found.append(f"{self.name}: what enters it leaves the range given for it")
        return found


def compare(
    name: str, expected: Array, found: Array, tolerance: float, scale: float = 0.0
) -> Observation:
    """Compare the outputs of two runs, relative to `max|y|` or a larger `scale`."""
    absolute = float(np.max(np.abs(expected - found)))
    scale = max(scale, float(np.max(np.abs(expected))))
    relative = absolute / scale if absolute and scale else absolute
    return Observation(name, absolute, relative, tolerance)


@dataclass(frozen=True, eq=False)
class Sampling:
    """How many inputs to draw, how long, and from what.

    Attributes:
        steps: integer. The length of a sequence, where nothing else fixes it.
        batch_size: integer. How many sequences of each kind.
        generator: NumPy's random generator.
    """

    steps: int
    batch_size: int
    generator: np.random.Generator

    def inputs(self, entering: Interval, shape: tuple[int, ...]) -> Array:
        """Random sequences, and sequences held at a corner of the range.

        Uniform in the range, each step on its own; then as many constant ones, the
        first at the upper end of all features, the second at the lower.
        """
        size = (self.batch_size, *shape)
        uniform = self.generator.uniform(entering.lower, entering.upper, size)
        held = (self.batch_size, *(1 for _ in shape[:-1]), shape[-1])
        high = self.generator.random(held) < 0.5
        high[0], high[1:2] = True, False
        corners = np.where(high, entering.upper, entering.lower)
        return np.concatenate([uniform, np.broadcast_to(corners, size)])


def trial_inputs(pair: CellPair, sampling: Sampling) -> Array:
    """Random, constant and adverse inputs in the range of what enters a cell."""
    old, new = pair.recurrences
    n, shape = old.units, (sampling.steps, len(old.kernel))
    drawn = sampling.inputs(pair.sampled, shape)
    driven = _adverse(old, new.recurrent_matrix[:n, n:], pair.sampled, sampling)
    return np.concatenate([drawn, *driven])


def observe(pair: CellPair, x: Array) -> Observation:
    """Run both cells on `x` with all their states in view."""
    old, new = pair.recurrences
    n = old.units
    expected, states = _run(pair.old, x), _run(pair.new, x)
    # The original may compute in less: see `arithmetic_dtype`.
    dtypes, steps = (old.dtype, new.dtype), x.shape[1]
    steps = min(telling_steps(dtype, old.growth, steps) for dtype in dtypes)
    tolerance = max(rounding_tolerance(dtype, old.growth, steps) for dtype in dtypes)
    tolerance *= 1.0 if pair.is_exact else 10.0
    rest = new.flat.value if new.flat else 0.0
    outputs = expected[:, :steps], states[:, :steps, :n]
    seen = compare(pair.name, *outputs, tolerance, abs(rest))
    seen = replace(seen, inside=_stays_inside(x, pair.entering))
    if new.units == n or new.flat is None:
        return seen
    largest = float(np.max(np.abs(states[..., n:] - rest)))
    beyond = new.flat.side * (_added_preactivations(new, n, x, states) - new.flat.edge)
    return replace(seen, largest_added=largest, distance=float(np.min(beyond)))


def _stays_inside(x: Array, entering: Interval | None) -> bool:
    """Whether `x` is in the range that a proof is for; a copy is proved for all."""
    if entering is None:
        return True
    return bool(np.all((entering.lower <= x) & (x <= entering.upper)))


def _adverse(
    old: Recurrence, readout: Array, entering: Interval, sampling: Sampling
) -> list[Array]:
    """Drive the added states that see most, by the sign of their linearised gain.

    While all states are on, the input `j + 1` steps back reaches added state `i`
    through `K Rʲ s_i q_i`: by its sign, each feature goes to its end of the range.
    Once with the signs of each step, once held at the sign of their sum.
    """
    steps = sampling.steps
    strongest = np.argsort(-np.linalg.norm(readout, axis=0), kind="stable")
    driven = strongest[: sampling.batch_size]
    reach = readout[:, driven]
    gains = np.zeros((steps, len(driven), entering.lower.size))
    for j in range(1, steps):
        gains[steps - 1 - j] = (old.kernel @ (old.d[:, None] * reach)).T
        reach = old.recurrent_matrix @ reach
    signs = [gains, np.broadcast_to(gains.sum(axis=0), gains.shape)]
    return [
        np.where(np.swapaxes(gain, 0, 1) > 0, entering.upper, entering.lower)
        for gain in signs
    ]


def searched_inputs(pair: CellPair, sampling: Sampling) -> Array:
    """Climb from random sequences to some on which the two cells differ most."""
    n, steps = pair.states, min(sampling.steps, SEARCHED_STEPS)
    drawn = sampling.inputs(pair.sampled, (steps, pair.sampled.lower.size))
    old, new = _all_states(pair.old, drawn.shape), _all_states(pair.new, drawn.shape)
    (found,) = most_different(
        lambda tensors: [old(tensors[0])],
        lambda tensors: [new(tensors[0])[..., :n]],
        [drawn.astype(_array_dtype(pair.old))],
        [pair.sampled],
    )
    return found.astype(np.float64)


def _run(cell: Any, x: Array) -> Array:
    # Compiled, and without the gradients that an eager call would keep.
    found = _all_states(cell, x.shape).predict_on_batch(x)
    return np.asarray(found, dtype=np.float64)


def _all_states(cell: Any, shape: tuple[int, ...]) -> Any:
    """A model from sequences to the states of a copy of `cell` at each step."""
    config = cell.get_config()
    if config.get("output_units") is not None:
        config["output_units"] = None
    copy = type(cell).from_config(config)
    copy.build((None, shape[-1]))
    copy.set_weights(cell.get_weights())
    layer = keras.layers.RNN(copy, return_sequences=True, dtype=cell.dtype_policy)
    return keras.Sequential([keras.Input(shape[1:], dtype=_array_dtype(cell)), layer])


def _array_dtype(cell: Any) -> str:
    """NumPy has no bfloat16; layers cast what they are given."""
    return "float64" if cell.compute_dtype == "float64" else "float32"


def _added_preactivations(new: Recurrence, n: int, x: Array, states: Array) -> Array:
    start = np.broadcast_to(new.initial_state, states[:, :1].shape)
    before = np.concatenate([start, states[:, :-1]], axis=1)
    driven = x @ new.kernel[:, n:] + new.bias[n:]
    return (before * new.d) @ new.recurrent_matrix[:, n:] + driven

"""Tasks that ask a recurrent network for a long memory, by one interface.

- `copying`: repeat ten symbols after `delay` steps (Arjovsky et al., 2016)
- `adding`, `multiplication`: of two numbers that are marked among `delay`
- `sequential`, `permuted`: name the digit in an image that is read pixel by pixel

The first three are drawn batch by batch, so that no sequence is seen twice. Beside its
data each task says what a model without memory reaches.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pixels
from numpy.typing import NDArray

Array = NDArray[Any]
Batch = tuple[Array, Array]

SYMBOLS = 8  # of the copying task, numbered from 1; 0 is a blank
COPIED = 10  # so many of them
DELIMITER = SYMBOLS + 1
SCIKIT_LEARN = "digits"


class Task(NamedTuple):
    """Where batches come from, and how a model's answers are judged.

    Attributes:
        steps: length of a sequence.
        features: numbers a step.
        outputs: numbers that a model answers with; of classes, their logits.
        per_step: whether there is an answer at each step, or one after the last.
        classes: whether the answers are classes (cross-entropy) or numbers (squares).
        baseline: the loss of the best model that has no memory.
        draw: function of a generator and a size that returns `x` of shape
            `(size, steps, features)`, and `y`.
        held_out: the same, of sequences that no training batch holds.
    """

    steps: int
    features: int
    outputs: int
    per_step: bool
    classes: bool
    baseline: float
    draw: Callable[[np.random.Generator, int], Batch]
    held_out: Callable[[np.random.Generator, int], Batch]

    @property
    def loss(self) -> str:
        """Its name, as in the tables: an entropy is in nats."""
        return "cross-entropy" if self.classes else "mean squared error"


def copying(delay: int) -> Task:
    """Repeat ten symbols, after a delay at whose end stands a delimiter.

    A model that remembers none of them answers with blanks, and at the last ten steps
    with each symbol equally often: `10 ln 8 / (delay + 20)`.
    """
    steps = delay + 2 * COPIED

    def draw(rng: np.random.Generator, size: int) -> Batch:
        symbols = rng.integers(1, SYMBOLS + 1, (size, COPIED))
        x, y = np.zeros((2, size, steps), "int32")
        x[:, :COPIED], x[:, -COPIED - 1] = symbols, DELIMITER
        y[:, -COPIED:] = symbols
        return np.eye(DELIMITER + 1, dtype="float32")[x], y

    baseline = COPIED * math.log(SYMBOLS) / steps
    return Task(
        steps, DELIMITER + 1, SYMBOLS + 1, True, True, baseline, draw, held_out=draw
    )


def adding(delay: int) -> Task:
    """Add two of the numbers in [0, 1], one marked in each half of the sequence.

    A model that does not read the marks answers with the mean: a variance of 1 / 6.
    """
    return _marked(delay, np.add, baseline=1.0 / 6.0)


def multiplication(delay: int) -> Task:
    """Multiply them instead: the variance is 7 / 144."""
    return _marked(delay, np.multiply, baseline=7.0 / 144.0)


def _marked(
    delay: int, operation: Callable[[Array, Array], Array], baseline: float
) -> Task:
    def draw(rng: np.random.Generator, size: int) -> Batch:
        rows, half = np.arange(size), delay // 2
        values = rng.random((size, delay), dtype="float32")
        first, second = rng.integers(0, half, size), rng.integers(half, delay, size)
        marks = np.zeros_like(values)
        marks[rows, first] = marks[rows, second] = 1.0
        y = operation(values[rows, first], values[rows, second])
        return np.stack([values, marks], axis=-1), y[:, None]

    return Task(delay, 2, 1, False, False, baseline, draw, held_out=draw)


def image(name: str, dataset: str, data_dir: str | None) -> Task:
    """Read an image pixel by pixel, row by row or in one fixed random order."""
    data = pixels.load(dataset, data_dir)
    back = np.argsort(pixels.permutation(data.steps))

    def of(split: pixels.Split) -> Callable[[np.random.Generator, int], Batch]:
        x = split.x[:, back] if name == "sequential" else split.x

        def draw(rng: np.random.Generator, size: int) -> Batch:
            chosen = rng.integers(0, len(x), size)
            return x[chosen], split.y[chosen]

        return draw

    baseline = math.log(pixels.CLASSES)
    train, held_out = of(data.train), of(data.validation)
    return Task(
        data.steps, 1, pixels.CLASSES, False, True, baseline, train, held_out=held_out
    )


DRAWN = {"copying": copying, "adding": adding, "multiplication": multiplication}
IMAGES = ("sequential", "permuted")
NAMES = (*DRAWN, *IMAGES)


def make(
    name: str,
    delay: int = 200,
    dataset: str = SCIKIT_LEARN,
    data_dir: str | None = None,
) -> Task:
    """Return a task by its name.

    Args:
        name: string, one of `NAMES`.
        delay: integer, at least 2. Steps between the symbols and their copies, or
            numbers in a sequence. Not used by images. Defaults to `200`.
        dataset: string, one of `pixels.DATASETS`: which images. Defaults to `"digits"`.
        data_dir: where MNIST is, as for `pixels.load`. Defaults to `None`.

    Raises:
        ValueError: for another name, or a shorter delay.
    """
    if name in IMAGES:
        return image(name, dataset, data_dir)
    if name not in DRAWN:
        raise ValueError(f"`name` must be one of {NAMES}. Received: {name!r}.")
    if delay < 2:
        raise ValueError(
            f"`delay` must be at least 2. Received: {delay}. Each half of a sequence "
            "has a number that is marked."
        )
    return DRAWN[name](delay)

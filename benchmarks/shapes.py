"""The problems that the recurrences are timed on."""

from typing import NamedTuple


class Shape(NamedTuple):
    """A batch of sequences, and the layers that it goes through."""

    name: str
    units: int
    batch: int
    steps: int  # length of a sequence
    features: int
    layers: int = 1
    per_round: int = 1  # steps of the optimizer timed together, fewer if they are slow


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("small", 8, 10, 1000, 2, per_round=60),
        Shape("pmnist", 128, 128, 784, 1, per_round=4),
        Shape("wide", 512, 128, 784, 1),
        Shape("long", 64, 16, 10_000, 1),
    )
}
HALF_PRECISION = SHAPES["wide"]._replace(name="half precision")
QUICK = Shape("quick", 4, 3, 12, 2, per_round=2)

# One size at a time grows from here.
BASE = Shape("base", 64, 32, 256, 1, per_round=2)
GROWTH = {
    "units": (8, 64, 128, 256, 512, 1024),
    "steps": (16, 64, 256, 1024),
    "batch": (1, 8, 32, 128, 512),
    "layers": (1, 2, 4),
}


def grown(axis: str, value: int, base: Shape = BASE) -> Shape:
    """Return `base` with one of its sizes replaced."""
    return base._replace(name=f"{axis} {value}", **{axis: value})

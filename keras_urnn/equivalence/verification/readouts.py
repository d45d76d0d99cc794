"""The argument `readouts`: the arrays `C` and `C'` that two cells are seen through."""

from collections.abc import Sequence
from typing import Any

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.ranges.cells import visible_units
from keras_urnn.equivalence.ranges.intervals import Array

_EXPECTED = (
    "two arrays, of shapes (outputs of the cell, outputs) for the original and the "
    "converted one"
)
_ADVICE = "They are for two single cells, or layers of one: y = h @ readout."


def checked_readouts(
    readouts: Any, cells: tuple[Sequence[Any], Sequence[Any]]
) -> tuple[Array, Array] | None:
    """Return the two arrays, or `None` where none are given, or raise.

    Args:
        readouts: the argument.
        cells: the cells of the original, and those of the converted one.
    """
    if readouts is None:
        return None
    if not isinstance(readouts, tuple | list) or len(readouts) != 2:
        raise _checks.error("readouts", _EXPECTED, readouts, _ADVICE)
    if len(cells[0]) != 1 or len(cells[1]) != 1:
        found = f"two arrays, for {len(cells[0])} and {len(cells[1])} cells"
        raise _checks.error("readouts", _EXPECTED, found, _ADVICE)
    first, second = (
        _numbers.real_numbers("readouts", readout, _EXPECTED, _ADVICE)
        for readout in readouts
    )
    _check_shapes([first, second], [visible_units(one[0]) for one in cells])
    return first, second


def _check_shapes(arrays: Sequence[Array], rows: Sequence[int]) -> None:
    """Raise unless each array has two axes, as many rows as given, and a column."""
    shapes = [array.shape for array in arrays]
    fits = [shape[:-1] for shape in shapes] == [(row,) for row in rows]
    if not fits or any(array.size == 0 for array in arrays):
        found = f"shapes {shapes}, for cells of {rows[0]} and {rows[1]} outputs"
        raise _checks.error("readouts", _EXPECTED, found, _ADVICE)

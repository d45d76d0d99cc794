"""Half precision: the matrix that a step uses is an exact one, rounded once."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_urnn.parametrizations import Parametrization
from tests.helpers import (
    EPSILON,
    LAYERS,
    PARAMETRIZATIONS,
    Array,
    assert_on_its_set,
    nearest_on_set,
    precision,
    to_numpy,
)
from tests.layers.kinds import SideBySide, layers_of_each

UNITS = 8  # of which each kind can be made

POLICIES = ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"]


def layers_by_steps() -> dict[str, Any]:
    """Layers of the maps of few factors, which step by `apply` as wide ones do."""
    found = {}
    for name, row in PARAMETRIZATIONS.items():
        made = row.make()
        never = type(made).is_structured is Parametrization.is_structured
        if row.is_thin and not never:
            layer = LAYERS["unitary"](UNITS, row.activation, parametrization=made)
            layer.cell.parametrization.is_structured = lambda: True
            found[f"{name}, by steps"] = layer
    return found


def recurrent(cell: Any) -> list[Array]:
    """The trained weights that the matrix is made of."""
    of_map = [one for one in cell.trainable_variables if "recurrent" in one.name]
    return [to_numpy(ops.cast(one, "float32")) for one in of_map]


def used(cell: Any) -> Array:
    """The matrix that a step multiplies by, in the dtype of the step."""
    eye = ops.eye(cell.width, dtype=cell.compute_dtype)
    matrix = cell.parametrization.apply(eye, cell.prepared())
    return to_numpy(ops.cast(matrix, "float32"))


def distance_from_set(cell: Any, matrix: Array) -> float:
    """`max|UᵀU - I|`, or what the norm is above that of the set."""
    if hasattr(cell, "max_norm"):
        return float(np.linalg.norm(matrix, 2) / cell.max_norm - 1.0)
    return float(np.max(np.abs(matrix.T @ matrix - np.eye(len(matrix)))))


def assert_rounded_once(cell: Any, matrix: Array) -> None:
    """Each entry is that of a matrix on the set, rounded to the dtype of the step.

    This is so where the map is computed in float32 and gives a matrix: a structured
    step rounds its factors instead, and a projected weight is stored as it is rounded.
    """
    prepared = cell.parametrization.prepare()
    if isinstance(prepared, tuple):
        return
    fused = ops.cast(cell.recurrent_matrix(), cell.compute_dtype)
    np.testing.assert_array_equal(to_numpy(ops.cast(fused, "float32")), matrix)
    if ops.dtype(prepared) == cell.compute_dtype:
        return
    exact = nearest_on_set(cell, to_numpy(prepared))
    rounding = EPSILON[cell.compute_dtype] / 2.0 * np.abs(exact)
    of_map = 4 * len(exact) * EPSILON["float32"]
    assert np.all(np.abs(matrix - exact) <= rounding + of_map)


@pytest.mark.once
@pytest.mark.parametrize("policy", POLICIES)
def test_the_matrix_of_a_trained_layer_is_on_its_set(policy: str) -> None:
    """`max|UᵀU - I| ≤ 4 eps` for the machine epsilon of the dtype of the step.

    An orthogonal matrix whose entries are rounded once has 0.2 to 0.6 eps.
    """
    with precision(policy):
        kinds = SideBySide(layers_of_each(UNITS) | layers_by_steps())
        before = {name: recurrent(one.cell) for name, one in kinds.layers.items()}
        # The loss is the mean over all layers: the rate is 0.1 for each.
        rate = 0.1 * len(kinds.layers)
        losses = kinds.train(keras.optimizers.SGD(rate), steps=5)
        assert np.all(np.isfinite(losses))
        assert losses[-1] < losses[0]
        for name, layer in kinds.layers.items():
            cell = layer.cell
            pairs = zip(before[name], recurrent(cell), strict=True)
            assert any(np.any(start != now) for start, now in pairs), name
            assert_on_its_set(cell)
            matrix = used(cell)
            most = 4 * EPSILON[cell.compute_dtype]
            assert distance_from_set(cell, matrix) <= most, name
            assert_rounded_once(cell, matrix)

"""What is a difference between two runs, and what may be rounding."""

import numpy as np

from keras_urnn.equivalence.verification.comparison import (
    compare,
    compare_nudged,
    nudge,
)
from tests.equivalence.networks import Array

STEPS = 50


def outputs(growth: float) -> Array:
    """One sequence whose start moves its later outputs by `growth` a step."""
    return 1e-7 * growth ** np.arange(STEPS)[None, :, None]


def test_a_difference_is_relative_to_the_largest_output() -> None:
    y = np.array([[1.0, -4.0]])
    seen = compare("name", y, y + 1e-3, 1e-4)
    np.testing.assert_allclose([seen.absolute, seen.relative], [1e-3, 2.5e-4])
    assert len(seen.differences) == 1
    assert "name: outputs differ by 0.00025, relative" in seen.differences[0]
    assert not compare("name", y, y + 1e-3, 1e-3).differences
    assert compare("name", y, y * np.nan, 1.0).differences


def test_sequences_are_compared_while_rounding_is_small() -> None:
    y = np.ones((1, STEPS, 1))
    chaotic, late = y + outputs(2.0), np.ones_like(y)
    late[:, 20:] += 1.0
    # 1e-7 doubles each step: beyond 1e-3 from step 14 on.
    assert not compare_nudged("n", y, late, chaotic, ["float32"]).differences
    calm = y + outputs(1.0)
    assert compare_nudged("n", y, late, calm, ["float32"]).differences
    # The tolerance is that of the step compared last.
    early = y + 0.01
    assert not compare_nudged("n", y, early, chaotic, ["float32"]).differences
    assert compare_nudged("n", y, early, calm, ["float32"]).differences


def test_the_coarser_dtype_decides() -> None:
    y = np.ones((2, 3))
    found = y * (1.0 + 1e-4)
    assert compare_nudged("n", y, found, y, ["float32"]).differences
    assert not compare_nudged("n", y, found, y, ["float32", "bfloat16"]).differences


def test_inputs_are_nudged_by_what_storing_them_does() -> None:
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (4, 5))
    moved = np.abs(nudge(x, "float32") - x)
    np.testing.assert_allclose(moved, 2.0**-24 * (1.0 + np.abs(x)), rtol=1e-6)
    assert np.all(np.abs(nudge(x, "float64") - x) < 1e-15)
    np.testing.assert_array_equal(nudge(x, "float64", "float32"), nudge(x, "float32"))

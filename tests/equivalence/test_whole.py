"""Whole models side by side: what is a difference, and what rounding may do."""

from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.verification.evidence import Evidence, Trial
from keras_urnn.equivalence.verification.side_by_side import compare_models
from keras_urnn.equivalence.verification.trial_inputs import Sampling

L, ops = keras.layers, keras.ops
TOLERANCE = 1e-5


def probabilities(moved: float) -> Any:
    """A softmax of numbers up to 1e3; each weight is moved by `moved` of itself."""
    x = keras.Input((4,), name="x")
    dense = L.Dense(3)
    model = keras.Model(x, L.Softmax()(dense(x)))
    generator = np.random.default_rng(0)
    kernel = generator.uniform(200.0, 300.0, (4, 1)) + generator.normal(size=(4, 3))
    signs = generator.choice([-1.0, 1.0], kernel.shape)
    dense.set_weights([kernel * (1.0 + moved * signs), np.zeros(3)])
    return model


def compare(*models: Any, tolerance: float | None = TOLERANCE) -> Evidence:
    trial = Trial(Sampling(1, 64, np.random.default_rng(0)), None, False)
    entrances = Entrances({"x": Interval.of([-1.0] * 4, [1.0] * 4)}, {})
    return compare_models("m", models, entrances, trial, tolerance)


def test_a_softmax_of_large_numbers_magnifies_rounding() -> None:
    """The error of a logit of 1e3 is 1e3 times the relative error of its weights."""
    found = compare(probabilities(0.0), probabilities(2.0**-23))
    (seen,) = found.observations
    assert 2.0 * TOLERANCE < seen.relative < 1e-3
    assert not seen.differences
    (seen,) = compare(probabilities(0.0), probabilities(1e-2)).observations
    assert seen.differences


class Noise(L.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(ops.shape(x), seed=self.seed_generator)


def test_what_is_random_is_no_difference() -> None:
    x = keras.Input((4,), name="x")
    noisy = keras.Model(x, Noise()(x))
    found = compare(noisy, noisy)
    assert (found.differences, found.gaps) == ([], ["m: its outputs are random"])


def test_what_can_not_be_copied_is_run_all_the_same() -> None:
    x = keras.Input((4,), name="x")
    models = [keras.Model(x, L.Lambda(lambda x: 2.0 * x)(x)) for _ in range(2)]
    (seen,) = compare(*models, tolerance=None).observations
    assert not seen.differences


def test_inputs_that_fit_both_are_no_difference() -> None:
    def of(steps: int | None, dtype: str = "float32") -> Any:
        x = keras.Input((steps, 4), dtype=dtype, name="x")
        return keras.Model(x, L.Activation("tanh")(x))

    words = ["m: its inputs are others"]
    for other in (of(3), of(None, "float16")):
        assert compare(of(None), other).gaps == words
    assert compare(of(2), of(3)).differences == words

"""Keras' own test of a layer, `run_layer_test`, on every public layer."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers import BATCH, FEATURES, LAYERS, STEPS, UNITS, each_cell

try:
    # Not public, hence this one place: Keras ships its test cases in the wheel.
    from keras.src.testing import TestCase as KerasTestCase
except ImportError:
    KerasTestCase = None

needs_keras_testing = pytest.mark.skipif(
    KerasTestCase is None, reason="this Keras ships no keras.src.testing"
)

# Arguments, and the shape that follows for a batch of `STEPS` steps.
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "plain": ({}, (BATCH, UNITS)),
    "sequences": ({"return_sequences": True}, (BATCH, STEPS, UNITS)),
    "state": (
        {"return_state": True, "output_units": 2},
        ((BATCH, 2), (BATCH, 2), (BATCH, UNITS - 2)),
    ),
    "dropout": (
        {"dropout": 0.1, "recurrent_dropout": 0.1, "output_units": 2},
        (BATCH, 2),
    ),
    "learned-start": (
        {"learn_initial_state": True, "activation": "tanh"},
        (BATCH, UNITS),
    ),
    "stateful": ({"stateful": True}, (BATCH, UNITS)),
}


# A case makes half a dozen models, and the layers differ in their set alone: the second
# one takes most cases once.
EACH = [("unitary", case) for case in CASES]
EACH += [("contractive", "plain"), ("contractive", "state")]
ONCE = [("contractive", case) for case in CASES if ("contractive", case) not in EACH]


@needs_keras_testing
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # by Keras' own test
@pytest.mark.parametrize(
    ("name", "case"), [*EACH, *(pytest.param(*x, marks=pytest.mark.once) for x in ONCE)]
)
def test_layer(name: str, case: str) -> None:
    arguments, shape = CASES[case]
    several = isinstance(shape[0], tuple)
    KerasTestCase().run_layer_test(
        LAYERS[name],
        init_kwargs={"units": UNITS, **arguments},
        input_shape=(BATCH, STEPS, FEATURES),
        expected_output_shape=shape,
        expected_num_trainable_weights=3 + ("learn_initial_state" in arguments),
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=1,
        supports_masking=True,
        # Its loss sums one output.
        run_training_check=not several,
    )


@needs_keras_testing
@each_cell
def test_cell(make_cell: Callable[..., Any]) -> None:
    cell = make_cell(UNITS, "tanh", dropout=0.1, output_units=2)
    KerasTestCase().run_class_serialization_test(cell)

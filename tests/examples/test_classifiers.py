"""The cycle that our recipe for permuted MNIST starts from."""

import classifiers
import keras
import numpy as np
import pytest


@pytest.mark.each_backend
@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("unitary from a cycle", 1.0),
        ("contractive from a cycle", classifiers.MAX_NORM),
    ],
)
def test_a_state_goes_round_the_cycle(kind: str, kept: float) -> None:
    units, steps = 5, 13
    model = classifiers.build(kind, steps, units)
    recurrent = model.get_layer("recurrent")
    kernel, matrix, bias = recurrent.get_weights()
    kernel[:] = 0.0
    kernel[0, 2] = 0.7
    recurrent.set_weights([kernel, matrix, bias])
    x = np.zeros((1, steps, 1), "float32")
    x[0, 0] = 1.0  # then nothing, for two rounds and two units
    state = keras.ops.convert_to_numpy(recurrent(x))
    expected = np.zeros((1, units), "float32")
    expected[0, (2 + steps - 1) % units] = 0.7 * kept ** (steps - 1)
    np.testing.assert_allclose(state, expected, rtol=1e-5 * (kept < 1.0), atol=0)

"""The length of a block: what benchmarks/recurrence.py chose at its shapes."""

import keras
import pytest

from keras_urnn.recurrence.schedule import block_length

# Steps and width, and the length on TensorFlow (without XLA), JAX and PyTorch.
LENGTHS = [
    (784, 128, (16, 196, 56)),  # the shape `pmnist`: four blocks on JAX
    (10_000, 64, (20, 250, 50)),  # `long`: narrower, so longer under XLA
    (1000, 8, (20, 50, 50)),  # `small`: nothing to overlap
    (1568, 128, (16, 56, 56)),  # too long for blocks apart
    (200, 64, (20, 50, 50)),  # four blocks at least, so not longer
    (131, 8, (20, 64, 64)),  # a prime number of steps: the last block is shorter
    (7, 8, (7, 7, 7)),
    (None, 8, (20, 20, 20)),
]


@pytest.mark.parametrize(("steps", "width", "lengths"), LENGTHS)
def test_length_of_a_block(
    steps: int | None, width: int, lengths: tuple[int, int, int]
) -> None:
    at = ("tensorflow", "jax", "torch").index(keras.config.backend())
    assert block_length(steps, width) == lengths[at]

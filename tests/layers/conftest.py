"""What every test of the layers gets: the same random numbers each time."""

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # Keras draws its numbers from seeds of its own. To set TensorFlow's would also
        # empty its cache of operations: 0.3 s for each test that builds a layer.
        monkeypatch.setattr(tf.random, "set_seed", lambda seed: None)
    keras.utils.set_random_seed(20191030)

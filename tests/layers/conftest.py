"""What every test of the layers gets: the same random numbers each time."""

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(20191030)

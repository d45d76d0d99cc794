"""The tests of the theorems start like the layers': from the same random numbers."""

from tests.layers.conftest import seeded

__all__ = ["seeded"]

"""The converter's tests start like the layers': same numbers, one compilation."""

from tests.layers.conftest import compile_once, seeded

__all__ = ["compile_once", "seeded"]

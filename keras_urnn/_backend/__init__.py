"""The one place that may import a backend, inside a function and only the active one.

Here are the functions for all other modules. Those of the fused recurrence are imported
from their files: `engines`, `loops`, `derivatives`.
"""

from keras_urnn._backend.automatic_gradients import gradients
from keras_urnn._backend.compilation import call, compiled, inference
from keras_urnn._backend.precision import (
    double_precision,
    full_precision,
    product_dtype,
    rounds_products,
)
from keras_urnn._backend.products import cubic, fold, matmul
from keras_urnn._backend.trigonometry import cos_and_sin

__all__ = [
    "call",
    "compiled",
    "cos_and_sin",
    "cubic",
    "double_precision",
    "fold",
    "full_precision",
    "gradients",
    "inference",
    "matmul",
    "product_dtype",
    "rounds_products",
]

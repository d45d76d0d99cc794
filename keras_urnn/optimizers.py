"""A check of `keras.optimizers.OptimizerMap`, which is silent about its patterns."""

import re
from typing import Any

from keras_urnn import _checks, constrained


def check_patterns(optimizer_map: Any, model: Any) -> None:
    """Raise where a pattern of an `OptimizerMap` picks no weight of a model.

    `keras.optimizers.MultiOptimizer` gives each trainable weight the optimizer whose
    pattern matches the whole of its path, and the default optimizer where none does. A
    pattern with a typing error is never used, and Keras says nothing. Call this after
    `compile`, once the model is built.

    Args:
        optimizer_map: `keras.optimizers.OptimizerMap`, or another mapping from patterns
            to optimizers.
        model: built model, layer or cell.

    Raises:
        ValueError: for a pattern that matches no path, and a model without weights.
        TypeError: for a map without patterns, as a function is, and for something else
            than a model.

    Example:
        ```python
        rates = keras.optimizers.OptimizerMap(keras.optimizers.Adam(1e-3))
        rates[".*/recurrent_[a-z_]+"] = keras.optimizers.Adam(1e-4)
        model.compile(keras.optimizers.MultiOptimizer(rates), "mse")
        model.build(x.shape)
        keras_urnn.optimizers.check_patterns(rates, model)
        ```
    """
    if not callable(getattr(optimizer_map, "keys", None)):
        expected, advice = "an OptimizerMap", "A function has no patterns to check."
        raise _checks.type_error("optimizer_map", expected, optimizer_map, advice)
    constrained.check_built(model, "check_patterns")
    paths = [weight.path for weight in model.trainable_weights]
    for pattern in optimizer_map:
        if not any(pattern == path or re.fullmatch(pattern, path) for path in paths):
            raise ValueError(
                f"Each pattern of `optimizer_map` must match the path of a trainable "
                f"weight. Received: {pattern!r}, which matches none of "
                f"{', '.join(paths)}. A pattern has to match the whole path."
            )

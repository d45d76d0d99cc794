"""The weights of a `SimpleRNN` in a layer of this library."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks
from keras_urnn.layers.cell_checks import check_real


def from_simple_rnn(
    kind: type[Any], layer: keras.layers.SimpleRNN, arguments: dict[str, Any]
) -> Any:
    """What `StructuredRNN.from_simple_rnn` does, for a layer of class `kind`."""
    _check_simple_rnn(layer)
    config = layer.get_config()
    config |= {"seed": layer.cell.seed, "recurrent_constraint": None, **arguments}
    _check_weights(layer, config)
    _check_step(config)
    new = kind(**config)
    advice = "The states of `layer` are; complex ones start from initializers."
    check_real(new.cell.parametrization, advice)
    batch_size = layer.states[0].shape[0] if layer.stateful else None
    new.build((batch_size, None, layer.cell.kernel.shape[0]))
    new.cell.kernel.assign(layer.cell.kernel)
    if layer.cell.bias is not None:
        new.cell.bias.assign(layer.cell.bias)
    kernel = ops.convert_to_numpy(layer.cell.recurrent_kernel)
    moved = new.cell.parametrization.initialize(kernel)
    if moved > 0.0:
        warnings.warn(
            f"{new.name}: the recurrent kernel was moved by {moved:.3g} in the "
            f"Frobenius norm (its own is {np.linalg.norm(kernel):.3g}), to the "
            "nearest matrix on the set; the outputs differ from the original's "
            "until trained further.",
            stacklevel=3,  # where the class method was called
        )
    return new


def _check_simple_rnn(layer: Any) -> None:
    """Refuse what is no built `SimpleRNN`."""
    if not isinstance(layer, keras.layers.SimpleRNN):
        raise TypeError(
            "`layer` must be a `keras.layers.SimpleRNN`. Received: "
            f"layer={layer!r}. Other layers have other weights."
        )
    if not layer.built:
        raise ValueError(
            f"`layer` must be built. Received: {layer.name!r} without weights. "
            "Call it on data, or `build` it with an input shape."
        )


def _check_step(config: dict[str, Any]) -> None:
    """Refuse a skip: the recurrent kernel of `layer` is inside of its activation."""
    if config.get("skip") is not None:
        advice = "The step of `layer` has none. Train a layer with it from the start."
        raise _checks.error("skip", "None for a warm start", config["skip"], advice)


def _check_weights(layer: keras.layers.SimpleRNN, config: dict[str, Any]) -> None:
    """Refuse a config that the weights don't fit, and weights that aren't finite."""
    if layer.cell.bias is not None and not config["use_bias"]:
        advice = "Leaving a trained bias out changes the function."
        raise _checks.error(
            "use_bias", "True, as in `layer`", config["use_bias"], advice
        )
    if config["units"] != layer.units:
        advice = "The weights are those of so many states."
        expected = f"{layer.units}, as in `layer`"
        raise _checks.error("units", expected, config["units"], advice)
    if not all(np.all(np.isfinite(weight)) for weight in layer.cell.get_weights()):
        advice = "Its training has diverged; start from an earlier state of it."
        raise _checks.error("layer", "of finite weights", layer.name, advice)

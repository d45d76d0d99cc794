"""Which layers of a model are converted, and which calls of them can't be."""

from typing import Any

import keras

from keras_urnn.equivalence.plans.cells import are_unitary
from keras_urnn.equivalence.ranges.cells import cells_of, directions_of, visible_units
from keras_urnn.equivalence.refusals.targets import check_cell, refusal

# Gated layers stay as they are: theorem 1 says nothing about them.
_LEFT_ALONE = (keras.layers.LSTM, keras.layers.GRU)


def is_converted(layer: Any) -> bool:
    """Whether a layer of a model is to be converted: recurrent, and not gated."""
    if isinstance(layer, keras.layers.Bidirectional):
        return is_converted(layer.forward_layer)
    gated = (keras.layers.LSTMCell, keras.layers.GRUCell)
    return (
        isinstance(layer, keras.layers.RNN)
        and type(layer) not in _LEFT_ALONE
        and not all(isinstance(cell, gated) for cell in cells_of(layer))
    )


def check_wiring(layer: Any, given: Any, mask: Any, training: bool) -> None:
    """Raise for a call of a recurrent layer that its conversion can't repeat.

    Args:
        layer: recurrent layer that is to be converted.
        given: its `initial_state`, or `None`.
        mask: its mask, or `None`.
        training: whether it trains at inference.
    """
    for cell in cells_of(layer):
        check_cell(cell, layer.name)
    found = _hindrance(layer, given is not None, mask is not None)
    if training:
        found = "a recurrent layer that trains at inference (`training=True`)"
    if found:
        advice = "No conversion repeats that: rewrite this part of the model."
        raise refusal("wired as its conversion can be", layer.name, found, advice)


def _hindrance(layer: Any, is_given: bool, is_masked: bool) -> str | None:
    """What stands in the way of converting a call of a layer, in words, if anything.

    Args:
        layer: recurrent layer.
        is_given: whether it is given an `initial_state`.
        is_masked: whether it is given a mask.
    """
    if are_unitary(cells_of(layer)):
        return None  # a copy has the same states
    return (
        _loop_over_cells(layer, is_given)
        or _split_state(layer, is_given)
        or _masked_start(layer, is_given, is_masked)
    )


def _loop_over_cells(layer: Any, is_given: bool) -> str | None:
    if not _is_any(keras.layers.RNN, layer):
        return None
    if is_given:
        # Only our layers fill the rest of a given state with its resting value.
        return "`initial_state` given to a keras.layers.RNN over cells"
    if layer.stateful and len(cells_of(layer)) > len(directions_of(layer)):
        return "a stateful keras.layers.RNN over several cells"
    return None


def _split_state(layer: Any, is_given: bool) -> str | None:
    split = [cell for cell in cells_of(layer) if visible_units(cell) < cell.units]
    if are_unitary(split) or not (is_given or layer.return_state):
        return None
    return "a state in two parts (`output_units`) that is wired"


def _masked_start(layer: Any, is_given: bool, is_masked: bool) -> str | None:
    # Unlike ours, its output at a masked first step is its initial state.
    starts_elsewhere = is_given or layer.stateful
    if keras.config.backend() != "jax" or not (is_masked and starts_elsewhere):
        return None
    if not _is_any(keras.layers.SimpleRNN, layer):
        return None
    return "a keras.layers.SimpleRNN with a mask and a start other than 0, on JAX"


def _is_any(kind: type[Any], layer: Any) -> bool:
    """Whether the layer, or one of the two of a `Bidirectional`, is of this class."""
    return any(type(one) is kind for one in directions_of(layer))


def goes_on(name: str) -> ValueError:
    """The error for a stateful layer that is called several times without a bound."""
    advice = (
        "Each call goes on from the state that another has left: give the largest |x| "
        f"that enters it in any of them, `input_bound={{..., {name!r}: ...}}`, and no "
        "`initial_state`."
    )
    return refusal("called once", name, "a stateful layer, called twice", advice)


def check_wrapped(layer: Any) -> None:
    """Raise where a layer to be converted is inside an unknown wrapper."""
    inside = layer.layer
    if isinstance(inside, keras.layers.Wrapper):
        check_wrapped(inside)
    if isinstance(inside, keras.Model) or is_converted(inside):
        kind = "nested model" if isinstance(inside, keras.Model) else "recurrent layer"
        advice = "Only TimeDistributed and Bidirectional are known: take it out."
        found = f"a {kind} inside {type(layer).__name__}"
        raise refusal("made of layers that can be converted", layer.name, found, advice)

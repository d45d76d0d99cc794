"""Which layers of a model are converted, and what can stand in the way."""

from typing import Any

import keras

from keras_urnn.equivalence.plans.layers import are_unitary
from keras_urnn.equivalence.ranges.recurrent import (
    cells_of,
    directions_of,
    visible_units,
)
from keras_urnn.equivalence.refusals import check_cell, refusal

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
    directions, cells = directions_of(layer), cells_of(layer)
    if are_unitary(cells):
        return None  # a copy has the same states
    over_cells = any(type(one) is keras.layers.RNN for one in directions)
    if is_given and over_cells:
        # Only our layers complete a given state by the resting value of the rest.
        return "`initial_state` given to a keras.layers.RNN over cells"
    if layer.stateful and over_cells and len(cells) > len(directions):
        return "a stateful keras.layers.RNN over several cells"
    split = [cell for cell in cells if visible_units(cell) < cell.units]
    if not are_unitary(split) and (is_given or layer.return_state):
        return "a state in two parts (`output_units`) that is wired"
    simple = any(type(one) is keras.layers.SimpleRNN for one in directions)
    on_jax = keras.config.backend() == "jax"
    if on_jax and simple and is_masked and (is_given or layer.stateful):
        # At a masked first step it puts out, unlike ours, what it starts from.
        return "a keras.layers.SimpleRNN with a mask and a start other than 0, on JAX"
    return None


def goes_on(name: str) -> ValueError:
    """The error for a stateful layer of which more has to be known."""
    advice = (
        "Each call goes on from the state that another has left: give the largest |x| "
        f"that enters it in any of them, `input_bound={{..., {name!r}: ...}}`, and no "
        "`initial_state`."
    )
    return refusal("called once", name, "a stateful layer, called twice", advice)


def check_wrapped(layer: Any) -> None:
    """Raise where something to convert is inside a wrapper that is not known."""
    inside = layer.layer
    if isinstance(inside, keras.layers.Wrapper):
        check_wrapped(inside)
    if isinstance(inside, keras.Model) or is_converted(inside):
        kind = "nested model" if isinstance(inside, keras.Model) else "recurrent layer"
        advice = "Only TimeDistributed and Bidirectional are known: take it out."
        found = f"a {kind} inside {type(layer).__name__}"
        raise refusal("made of layers that can be converted", layer.name, found, advice)

"""Compare the code, the dtypes and the flags of the layers around recurrent cells."""

from typing import Any

import keras

from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS
from keras_urnn.equivalence.verification.same_layers import attributes, policy_of
from keras_urnn.layers.contractive_rnn import ContractiveRNN
from keras_urnn.layers.unitary_rnn import UnitaryRNN

_FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)
# The layers whose code is known, each with those that may take its place.
_COUNTERPARTS = {
    keras.layers.RNN: (keras.layers.RNN,),
    keras.layers.SimpleRNN: (keras.layers.SimpleRNN, UnitaryRNN),
    ContractiveRNN: (ContractiveRNN, UnitaryRNN),
    UnitaryRNN: (UnitaryRNN,),
}
_CELLS = (*SIMPLE_CELLS, keras.layers.StackedRNNCells)


def recurrent_objections(name: str, old: Any, new: Any) -> list[str]:
    """Why one recurrent layer may run its cells in another way than the other.

    Where there are none, both are loops of known code over their cells, and their
    outputs are equal where those of the cells are.
    """
    if isinstance(old, keras.layers.Bidirectional):
        return _of_both_directions(name, old, new)
    if not isinstance(old, keras.layers.RNN):
        # A cell has no flags.
        is_cell = type(new) in SIMPLE_CELLS
        kind = type(new).__name__
        wrong = [] if is_cell else [f"{name}: not a cell, but a {kind}"]
        return wrong + _replaced(name, old, new)
    if not isinstance(new, keras.layers.RNN):
        return [f"{name}: not a recurrent layer, but a {type(new).__name__}"]
    return (
        _of_the_classes(name, old, new)
        + _differing(name, old, new, _FLAGS)
        + _of_the_policies(name, old, new)
        + _replaced(name, old, new, old.cell, new.cell)
    )


def _of_both_directions(name: str, old: Any, new: Any) -> list[str]:
    if not isinstance(new, keras.layers.Bidirectional):
        return [f"{name}: not a Bidirectional layer, but a {type(new).__name__}"]
    kinds = {type(old), type(new)} - {keras.layers.Bidirectional}
    return (
        [_unknown(name, kind) for kind in kinds]
        + _differing(name, old, new, ("merge_mode", "return_state"))
        + _of_the_policies(name, old, new)
        + _replaced(name, old, new)
        + recurrent_objections(name, old.forward_layer, new.forward_layer)
        + recurrent_objections(name, old.backward_layer, new.backward_layer)
    )


def _of_the_classes(name: str, old: Any, new: Any) -> list[str]:
    """Whether the code of both is known, and both run the same loop."""
    of_layers = {type(one) for one in (old, new) if type(one) not in _COUNTERPARTS}
    of_cells = {type(one.cell) for one in (old, new) if type(one.cell) not in _CELLS}
    if of_layers or of_cells:
        return [_unknown(name, kind) for kind in (*of_layers, *of_cells)]
    if type(new) not in _COUNTERPARTS[type(old)]:
        kinds = type(new).__name__, type(old).__name__
        return [f"{name}: it is a {kinds[0]}, not a {kinds[1]}"]
    on_jax = keras.config.backend() == "jax"
    unrolled = old.unroll and old.zero_output_for_mask and type(old) is not type(new)
    if on_jax and unrolled:
        # Keras' own loop then repeats the last output at a masked step; ours gives 0.
        return [
            f"{name}: on JAX a masked step of a {type(old).__name__} that is "
            "unrolled puts out something else"
        ]
    return []


def _unknown(name: str, kind: type[Any]) -> str:
    return f"{name}: nothing is proved of what a {kind.__name__} computes"


def _differing(name: str, old: Any, new: Any, flags: tuple[str, ...]) -> list[str]:
    return [
        f"{name}: `{flag}` is {getattr(new, flag)!r}, not {getattr(old, flag)!r}"
        for flag in flags
        if getattr(new, flag) != getattr(old, flag)
    ]


def _of_the_policies(name: str, old: Any, new: Any) -> list[str]:
    if policy_of(old) == policy_of(new):
        return []
    return [f"{name}: its dtype policy is not the original's"]


def _replaced(name: str, *layers: Any) -> list[str]:
    """Methods of a layer or cell that were replaced on the object itself."""
    found = {
        key
        for layer in layers
        for key, value in attributes(layer).items()
        if callable(value) and callable(getattr(type(layer), key, None))
    }
    return [f"{name}: its `{key}` was replaced" for key in sorted(found)]

"""What each argument of the cells and layers means, for the four docstrings."""

import inspect
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

Class = TypeVar("Class", bound=type[Any])

# A class' docstring holds this line where `described` puts the section `Args`.
PLACE: Final = "The arguments are described in `keras_urnn/layers/arguments.py`."
_LONGEST_LINE: Final = 80  # of an entry; indented by 8 it is as long as the code's

EVERY: Final = """
units: positive integer, at most 65,536. The number of states, and of outputs.
    Complex states are rows `[Re | Im]`: outputs of `2 * units` real numbers.
use_bias: boolean. Whether the step has a bias. (The uRNN has none beside that
    of `"modrelu"`.)
kernel_initializer: initializer of the input kernel `K`, for complex states of
    `[Re | Im]`.
recurrent_initializer: initializer of the recurrent matrix, for complex states
    of `[Re | Im]`. What it gives is projected; `"orthogonal"` draws from the
    Haar measure, of the unitary group for complex states. With
    `parametrization="fourier"` it draws other weights than a matrix.
bias_initializer: initializer of the bias.
kernel_regularizer: regularizer of the input kernel.
recurrent_regularizer: regularizer of the recurrent kernel.
bias_regularizer: regularizer of the bias.
kernel_constraint: constraint of the input kernel.
recurrent_constraint: must be None; it is here for the order of the arguments.
bias_constraint: constraint of the bias.
dropout: number in [0, 1). The fraction of the inputs to drop in training.
recurrent_dropout: number in [0, 1). The fraction of the states to drop in
    training, the same at each step; one that is dropped counts as at rest.
seed: integer or None. Seeds the dropout masks.
output_units: integer or None. Output only the first so many states, and hold
    the state as two tensors of widths `[output_units, units - output_units]`.
    Converted layers use it. Of complex states it counts real numbers.
resting_state: sequence of as many numbers as the state has, or None. The state
    to start from, or to learn from, and the centre of the step: with `c` it is
    `h_t = φ(x_t @ K + b + (h_{t-1} - c) @ R)`, so that a state at `c` sends
    nothing to the others. Zero if None. Converted layers use it.
state_scale: sequence of as many positive numbers, or None. With a scale `d`
    the step is `h_t = φ((x_t @ K + b)∘d + ((h_{t-1} - c)∘d) @ R) / d`: for
    ReLU the same as a step with `diag(d) @ R @ diag(1/d)`, which may be
    expansive. Converted layers use it.
skip: number in (0, 1), `keras_urnn.Skip` or None. With a number `β` the step is
    `h_t = (1-β) h_{t-1} @ R + β φ(h_{t-1} @ V + x_t @ K + b)`, so that no
    activation stops what is remembered; `Skip` has options. It goes with
    neither `resting_state` nor `state_scale`.
"""

UNITARY: Final = """
activation: string, callable or None. Any Keras activation, `"modrelu"` or
    `"oplu"` (`keras_urnn.activations`, whose weights are then the cell's), or
    None for the identity. `"relu"` is the paper's: it can switch states off
    exactly. Complex states take `"modrelu"` or None.
parametrization: string or `keras_urnn.parametrizations.Parametrization`. How
    the recurrent matrix is kept orthogonal: `"projection"` projects it after
    each optimizer step, the others compute it from other weights: see
    `keras_urnn.parametrizations`. One of `field="complex"` makes the states
    complex.
"""

CONTRACTIVE: Final = """
activation: string, callable or None. Any Keras activation, `"modrelu"` or
    `"oplu"` (`keras_urnn.activations`, whose weights are then the cell's), or
    None for the identity. `"relu"` is what `keras_urnn.to_unitary` converts.
    Complex states take `"modrelu"` or None.
max_norm: number in (0, 1]. The largest spectral norm of the recurrent matrix.
    Below 1 the step is a contraction.
parametrization: string or `keras_urnn.parametrizations.Parametrization`. How
    the recurrent matrix is kept contractive: `"projection"` projects it after
    each optimizer step, `"bounded_svd"` computes it from other weights. One
    with `field="complex"` makes the states complex.
"""

OF_CELLS: Final = """
learn_initial_state: boolean. Whether to train the state to start from (at first
    `resting_state`).
**kwargs: `name`, `dtype` and `trainable`, as for every Keras layer.
"""

OF_LAYERS: Final = """
activity_regularizer: regularizer of the outputs.
return_sequences: boolean. Whether to return the outputs of all steps, or the
    last.
return_state: boolean. Whether to return the last state too; with
    `output_units`, which splits it, two tensors.
go_backwards: boolean. Whether to run from the last step to the first.
stateful: boolean. Whether each batch starts where the last one ended; needs a
    fixed batch size.
unroll: boolean. Whether to unroll the loop: faster for very short sequences.
learn_initial_state: boolean. Whether to train the state to start from (at first
    `resting_state`). With `stateful=True` it is not trained, as the state
    carried over takes its place; `reset_state` takes it up, also after loading
    weights.
checkpoint_every: integer or None. Keep every so many-th state for the backward
    pass, and compute the others once more: less memory for long sequences,
    for some more time. None keeps all.
**kwargs: `zero_output_for_mask`, `name`, `dtype` and `trainable`, as for
    `keras.layers.SimpleRNN`.
"""


def described(*texts: str) -> Callable[[Class], Class]:
    """Write the section `Args` of a class: its arguments in order, with defaults.

    `python -OO` drops docstrings, and there is nothing to write then.
    """

    def describe(kind: Class) -> Class:
        if kind.__doc__ is not None:
            section = "\n".join(["Args:", *_entries(kind, "".join(texts))])
            indented = section.replace("\n", "\n    ")
            kind.__doc__ = inspect.cleandoc(kind.__doc__).replace(PLACE, indented)
        return kind

    return describe


def _entries(kind: type[Any], text: str) -> list[str]:
    """What is said of each argument of the class, in the order of its signature."""
    entries = re.split(r"\n+(?=\S)", text.strip())
    of_argument = {entry.partition(":")[0].lstrip("*"): entry for entry in entries}
    return [
        _with_default(of_argument[name], parameter.default)
        for name, parameter in inspect.signature(kind).parameters.items()
    ]


def _with_default(entry: str, default: Any) -> str:
    if default is inspect.Parameter.empty:
        return entry
    shown = f'"{default}"' if isinstance(default, str) else repr(default)
    sentence = f"Defaults to `{shown}`."
    last_line = entry.rpartition("\n")[2]
    fits = len(f"{last_line} {sentence}") <= _LONGEST_LINE
    return f"{entry} {sentence}" if fits else f"{entry}\n    {sentence}"

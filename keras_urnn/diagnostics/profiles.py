"""How norms of states, and of their gradients, change over the steps of a sequence."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _backend, _checks, _numbers
from keras_urnn.diagnostics.matrices import Array


def state_norm_profile(layer: Any, x: Any) -> Array:
    """The norms `‖h_t‖` of the outputs of a recurrent layer, step by step.

    Args:
        layer: built recurrent layer, of this library or of Keras.
        x: array of shape `(batch, steps, features)`, what goes into it.

    Returns:
        An array of shape `(steps,)`: the root mean square over the batch.

    Raises:
        ValueError: for a layer that is not built, and data of another shape.
        TypeError: for what is no recurrent layer of one cell, and for data that are no
            real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8)
        layer.build((None, None, 3))
        x = np.ones((2, 10, 3))
        keras_urnn.diagnostics.state_norm_profile(layer, x)  # shape (10,)
        ```
    """
    x, cell = _checked(layer, x), _Moved(layer.cell)
    rnn = keras.layers.RNN(cell, return_sequences=True, dtype=layer.dtype_policy)
    return _norms(rnn(_beside(x, cell.width)))


def gradient_norm_profile(layer: Any, x: Any, seed: int = 0) -> Array:
    """The norms of the gradient of the last output for each state, step by step.

        ‖∂(v·h_T) / ∂h_t‖,    v of norm 1, drawn at random

    is 1 at the last step. It is about the same all the way back where the recurrence
    keeps gradients, falls where they vanish, and grows where they explode. Of an LSTM
    it is the gradient for the output `h_t`; its other state may carry more.

    Args:
        layer: built recurrent layer, of this library or of Keras.
        x: array of shape `(batch, steps, features)`, what goes into it.
        seed: integer that `v` is drawn with, one for each sequence. Defaults to `0`.

    Returns:
        An array of shape `(steps,)`: the root mean square over the batch.

    Raises:
        ValueError: for a layer that is not built, data of another shape, and a seed
            outside [0, 2**31).
        TypeError: for what is no recurrent layer of one cell, and for data that are no
            real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8, activation=None)
        layer.build((None, None, 3))
        x = np.ones((2, 10, 3))
        keras_urnn.diagnostics.gradient_norm_profile(layer, x)  # ten times 1.0
        ```

    Reference:
        - [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464), section 5
    """
    x, cell = _checked(layer, x), _Moved(layer.cell)
    if not _checks.is_integer(seed) or not 0 <= seed < 2**31:
        advice = "It seeds the direction that the gradient is taken in."
        raise _checks.error("seed", "an integer in [0, 2**31)", seed, advice)
    v = np.random.default_rng(seed).standard_normal((len(x), cell.width))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    rnn = keras.layers.RNN(cell, dtype=layer.dtype_policy)
    both = _beside(x, cell.width)
    features = x.shape[-1]

    def along_v(moves: list[Any]) -> Any:
        given = ops.concatenate([both[..., :features], moves[0]], axis=-1)
        last = rnn(given)
        return ops.sum(last * ops.cast(v, last.dtype))

    (gradient,) = _backend.gradients(along_v)([both[..., features:]])
    return _norms(gradient)


class _Moved(keras.layers.Layer):
    """A cell whose output, and first state, is moved by the last of its inputs."""

    def __init__(self, cell: Any) -> None:
        super().__init__(dtype=cell.dtype_policy)
        self.cell = cell
        self.state_size = cell.state_size
        self.width = int(keras.tree.flatten(cell.state_size)[0])
        self.output_size = self.width

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        x, move = inputs[..., : -self.width], inputs[..., -self.width :]
        _, new = self.cell(x, states)
        first, *others = keras.tree.flatten(new)
        moved = first + move
        return moved, [moved, *others]

    def get_initial_state(self, batch_size: int | None = None) -> Any:
        return self.cell.get_initial_state(batch_size=batch_size)


def _checked(layer: Any, x: Any) -> Array:
    expected, advice = "a recurrent layer of one cell", "Pass `model.layers[i]`, say."
    cell = getattr(layer, "cell", None) if isinstance(layer, keras.layers.RNN) else None
    if cell is None or isinstance(cell, keras.layers.StackedRNNCells):
        raise _checks.type_error("layer", expected, layer, advice)
    if not layer.built:
        found, remedy = f"{layer.name!r} without weights", "Call it on data first."
        raise _checks.error("layer", "built", found, remedy)
    expected, advice = "sequences of real numbers", "It is what the layer is called on."
    array = _numbers.real_array("x", x, expected, advice)
    if array.ndim != 3 or array.size == 0:
        raise _checks.error("x.shape", "(batch, steps, features)", array.shape, advice)
    return array


def _beside(x: Array, width: int) -> Any:
    """The inputs, with a move of 0 beside each of them."""
    return ops.convert_to_tensor(
        np.concatenate([x, np.zeros((*x.shape[:2], width))], axis=-1),
        keras.config.floatx(),
    )


def _norms(tensor: Any) -> Array:
    values = np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), "float64")
    return np.sqrt(np.mean(np.sum(values**2, axis=-1), axis=0))

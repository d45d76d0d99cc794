"""The weights of a model that are projected, and the projection of them all by hand."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks
from keras_urnn.constraints import ContractiveProjection, UnitaryProjection
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding


def project(model: keras.layers.Layer) -> dict[str, float]:
    """Puts every projected kernel of a model back on its set, and says how far it was.

    Keras applies constraints in its own optimizers only. Call it after each step of a
    loop that bypasses them (`torch.optim`, optax, updates of your own), and after
    weights were loaded, assigned or averaged. For every weight `W` whose constraint is
    a `UnitaryProjection` or a `ContractiveProjection`, in layers, cells and models
    inside, whether it is trainable or frozen,

        W ← constraint(W),    the nearest matrix on the set

    A matrix that is on its set is left unchanged, bit for bit. Other constraints, such
    as those of Keras, are not applied. No gradient flows through it.

    Args:
        model: built model, layer or cell. Its weights are changed in place.

    Returns:
        A dict from the path of each projected weight to the largest change of an
        entry, a `float`: 0.0 where it was on its set, NaN where it is not finite (it is
        left as it is then).

    Raises:
        TypeError: for something else than a model, layer or cell of Keras.
        ValueError: when it is not built, no weight in it has such a constraint, or the
            call is inside of a function that is being compiled, where the changes are
            no numbers yet.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8)
        layer.build((None, None, 3))
        layer.cell.recurrent_kernel.assign(2.0 * np.eye(8))
        keras_urnn.project(layer)  # {"unitary_rnn/.../recurrent_kernel": 1.0}
        ```
    """
    changes: dict[str, float] = {}
    for weight in projected_weights(model, "project"):
        # Layers that were given one name may share a path; NaN is the larger.
        change = np.maximum(_reapply(weight), changes.get(weight.path, 0.0))
        changes[weight.path] = float(change)
    return changes


def is_projected(weight: keras.Variable) -> bool:
    """Whether the constraint of a weight is a projection of this library."""
    return isinstance(weight.constraint, UnitaryProjection | ContractiveProjection)


def matrix_of(weight: keras.Variable) -> Tensor:
    """The matrix that a projected weight stands for; a complex one in real form."""
    value = ops.convert_to_tensor(weight)
    return embedding(value) if weight.constraint.field == "complex" else value


def projected_weights(model: Any, caller: str) -> list[keras.Variable]:
    """The weights that are kept on a set, those of frozen layers too, or raise."""
    check_built(model, caller)
    weights = [weight for weight in model.weights if is_projected(weight)]
    if not weights:
        raise ValueError(
            f"`{caller}` must be given a model with a projected kernel. "
            f"Received: model={model.name!r}, in which no weight has a "
            "`UnitaryProjection` or `ContractiveProjection`. Use a layer of "
            "`keras_urnn`, or pass one as a kernel constraint. (A parametrization that "
            "computes the matrix from other weights, as Cayley, needs none.)"
        )
    return weights


def check_built(model: Any, caller: str) -> None:
    """Raise for what is no model, layer or cell with weights."""
    if not isinstance(model, keras.layers.Layer):
        advice = f"`{caller}` reads the constraints of its weights."
        expected = "a model, layer or cell of Keras"
        raise _checks.type_error("model", expected, model, advice)
    if not model.built:
        raise ValueError(
            f"`model` must be built. Received: {model.name!r} without weights. Call it "
            "on data, or `build` it with an input shape."
        )


def _reapply(weight: keras.Variable) -> float:
    before = ops.stop_gradient(ops.convert_to_tensor(weight))
    after = weight.constraint(before)
    try:
        was, is_now = (
            np.asarray(ops.convert_to_numpy(value), dtype="float64")
            for value in (before, after)
        )
    except (TypeError, NotImplementedError) as symbolic:
        raise ValueError(
            "`project` must be called outside of functions that are compiled. "
            f"Received: {weight.path!r} in one. Call it after the compiled step, or "
            "apply `weight.constraint` to the tensors inside of it."
        ) from symbolic
    weight.assign(after)
    return float(np.max(np.abs(is_now - was), initial=0.0))

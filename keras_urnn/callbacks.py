"""Callbacks that watch the constrained kernels of a model, and keep them in place."""

import warnings
from typing import Any

import keras

from keras_urnn import _checks, constrained, diagnostics, linalg
from keras_urnn.constraints import UnitaryProjection
from keras_urnn.diagnostics import matrices


class UnitarityMonitor(keras.callbacks.Callback):
    """Logs how far each unitary or contractive matrix is from its set, and its norm.

    At the end of each epoch it adds, for every recurrent matrix of this library in the
    model, and for every other weight whose constraint is a `UnitaryProjection` or a
    `ContractiveProjection`,

        unitarity_error = max |RᵀR - I|,    spectral_norm = ‖R‖₂

    to the logs, and `determinant_sign`, 1 or -1, of those that are square and unitary.
    So they stand in the history, in `keras.callbacks.CSVLogger` (list it after this
    one) and in the progress bar. With one such matrix the names are these. With several
    a slash and the name of the layer follow: `unitarity_error/encoder`. Layers inside
    of others follow their names, `unitarity_error/outer/encoder`, and a weight that is
    no recurrent matrix its layer's, `unitarity_error/dense/kernel`. These names are the
    same in each run if you name the layers.

    A kernel that has left its set by more than rounding, at the end of an epoch or of
    the training, is named in a `RuntimeWarning`, once in a call of `fit`, with the
    cause where the model shows it: `use_ema=True`, or a layer that is frozen. List this
    callback after `ReapplyConstraints`, which mends the former when training ends.

    Raises:
        ValueError: when the model in training has no such matrix.

    Example:
        ```python
        history = model.fit(x, y, callbacks=[keras_urnn.callbacks.UnitarityMonitor()])
        history.history["unitarity_error"]  # one number an epoch
        ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._has_warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._has_warned = False
        if getattr(self.model, "built", True):  # else they come with the first batch
            _watched(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        watched = _watched(self.model)
        self._warn_once()
        if logs is None:
            return
        if not isinstance(logs, dict):
            advice = "Keras passes the logs of the epoch."
            raise _checks.type_error("logs", "a dict or None", logs, advice)
        for name, (matrix, has_sign) in watched.items():
            suffix = "" if len(watched) == 1 else f"/{name}"
            logs[f"unitarity_error{suffix}"] = diagnostics.unitarity_error(matrix)
            logs[f"spectral_norm{suffix}"] = diagnostics.spectral_norm(matrix)
            if has_sign:
                logs[f"determinant_sign{suffix}"] = diagnostics.determinant_sign(matrix)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # An optimizer puts its averages in place of the weights after the last epoch.
        self._warn_once()

    def _warn_once(self) -> None:
        kernels = filter(constrained.is_projected, self.model.weights)
        left = [] if self._has_warned else [k for k in kernels if _has_left(k)]
        if left:
            self._has_warned = True
            paths = ", ".join(kernel.path for kernel in left)
            warnings.warn(
                f"{paths}: no longer on the set of the constraint, by more than "
                f"rounding. {_cause(self.model, left)}",
                RuntimeWarning,
                stacklevel=2,
            )


class ReapplyConstraints(keras.callbacks.Callback):
    """Applies every weight's constraint once more when training ends.

    With `use_ema=True` an optimizer averages the weights before they are projected and
    puts the average in their place at the end of `fit`: the average of orthogonal
    matrices is not orthogonal (an error of 0.1 to 0.3 was measured). This callback
    calls `keras_urnn.project` after that, and maps each trainable weight `w` with
    another constraint to `constraint(w)`.

    Example:
        ```python
        model.compile(keras.optimizers.Adam(use_ema=True), "mse")
        model.fit(x, y, callbacks=[keras_urnn.callbacks.ReapplyConstraints()])
        ```
    """

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if any(map(constrained.is_projected, self.model.weights)):
            constrained.project(self.model)
        for weight in self.model.trainable_weights:
            if weight.constraint is not None and not constrained.is_projected(weight):
                weight.assign(weight.constraint(weight))


def _watched(model: Any) -> dict[str, tuple[Any, bool]]:
    """What is measured, by its name: the cells with a matrix, other projected weights.

    Beside each stands whether it is square and unitary.
    """
    constrained.check_built(model, "UnitarityMonitor")
    found = {
        name: (cell, cell.recurrent_set == "unitary")
        for name, cell in matrices.cells_in(model)
        if cell.built
    }
    of_cells = {id(weight) for cell, _ in found.values() for weight in cell.weights}
    for weight in filter(constrained.is_projected, model.weights):
        if id(weight) not in of_cells:
            matrix = constrained.matrix_of(weight)
            is_square = len(matrix.shape) == 2 and matrix.shape[0] == matrix.shape[1]
            is_unitary = isinstance(weight.constraint, UnitaryProjection)
            path = weight.path.removeprefix(f"{model.name}/")
            found[path] = matrix, is_square and is_unitary
    if not found:
        constrained.projected_weights(model, "UnitarityMonitor")  # says what it misses
    return found


def _has_left(kernel: keras.Variable) -> bool:
    """Whether a kernel is off its set by more than rounding; the logs show a NaN."""
    matrix = constrained.matrix_of(kernel)
    rounding = 4 * max(matrix.shape[-2:]) * linalg.EPSILON[kernel.dtype]
    if isinstance(kernel.constraint, UnitaryProjection):
        return diagnostics.unitarity_error(matrix) > rounding
    bound = kernel.constraint.max_norm * (1.0 + rounding)
    return diagnostics.spectral_norm(matrix) > bound


def _cause(model: Any, left: list[keras.Variable]) -> str:
    """What the model shows of the cause, and what to do."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a loss scale
    if getattr(inner, "use_ema", False):
        return (
            "The optimizer has `use_ema=True`: it puts averages in place of the "
            "weights, which no constraint is applied to. Add "
            "`keras_urnn.callbacks.ReapplyConstraints()`, before this callback."
        )
    if not any(kernel.trainable for kernel in left):
        return (
            "It is frozen, so no optimizer step projects it: it was assigned or loaded "
            "so. Call `keras_urnn.project(model)` once."
        )
    return (
        "Keras' optimizers would have projected it, so the training step bypasses them "
        "(`torch.optim`, optax, updates of its own), the weight had no gradient, or "
        "something assigned it since. Call `keras_urnn.project(model)` after each step."
    )

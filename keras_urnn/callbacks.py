"""Callbacks that watch the constrained kernels of a model, and keep them in place."""

import warnings
from typing import Any

import keras

from keras_urnn import _checks, constrained, diagnostics, linalg
from keras_urnn.constraints import UnitaryProjection
from keras_urnn.equivalence.models import graph


class UnitarityMonitor(keras.callbacks.Callback):
    """Logs the unitarity error and the spectral norm of each constrained matrix.

    At the end of each epoch it adds, for every weight of the model whose constraint is
    a `UnitaryProjection` or a `ContractiveProjection`, and for every recurrent matrix
    that a parametrization computes from other weights,

        unitarity_error = max |RᵀR - I|,    spectral_norm = ‖R‖₂

    to the logs, so that they stand in the history, in `keras.callbacks.CSVLogger`
    (list it after this one) and in the progress bar. With one such matrix the names are
    these; with several, each is followed by the path of its weight in the model, or by
    the path of its cell and `recurrent_matrix`.

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
            _matrices(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        matrices = _matrices(self.model)
        self._warn_once()
        if logs is None:
            return
        if not isinstance(logs, dict):
            advice = "Keras passes the logs of the epoch."
            raise _checks.type_error("logs", "a dict or None", logs, advice)
        for path, matrix in matrices.items():
            path = path.removeprefix(f"{self.model.name}/")
            suffix = "" if len(matrices) == 1 else f"/{path}"
            logs[f"unitarity_error{suffix}"] = diagnostics.unitarity_error(matrix)
            logs[f"spectral_norm{suffix}"] = diagnostics.spectral_norm(matrix)

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


def _matrices(model: Any) -> dict[str, Any]:
    """The projected weights of a model, and the cells that compute their matrix."""
    constrained.check_built(model, "UnitarityMonitor")
    cells = [
        cell
        for cell in graph.recurrent_cells(model)
        if cell.built
        and callable(getattr(cell, "recurrent_matrix", None))
        and not any(map(constrained.is_projected, cell.weights))
    ]
    kernels = [weight for weight in model.weights if constrained.is_projected(weight)]
    if not cells:
        kernels = constrained.projected_weights(model, "UnitarityMonitor")
    found = {kernel.path: constrained.matrix_of(kernel) for kernel in kernels}
    for cell in cells:
        found[f"{cell.kernel.path.rpartition('/')[0]}/recurrent_matrix"] = cell
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

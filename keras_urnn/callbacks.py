"""Callbacks that watch the constrained kernels of a model, and keep them in place."""

from typing import Any

import keras

from keras_urnn import diagnostics
from keras_urnn.constraints import ContractiveProjection, UnitaryProjection


class UnitarityMonitor(keras.callbacks.Callback):
    """Logs the unitarity error and the spectral norm of each projected kernel.

    At the end of each epoch it adds, for every weight of the model whose constraint is
    a `UnitaryProjection` or a `ContractiveProjection`,

        unitarity_error = max |RᵀR - I|,    spectral_norm = ‖R‖₂

    to the logs, so that they stand in the history, in `keras.callbacks.CSVLogger`
    (list it after this one) and in the progress bar. With one such weight the names are
    these; with several, each is followed by the path of its weight in the model.

    Raises:
        ValueError: when no weight of the model in training has such a constraint.

    Example:
        ```python
        history = model.fit(x, y, callbacks=[keras_urnn.callbacks.UnitarityMonitor()])
        history.history["unitarity_error"]  # one number an epoch
        ```
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.model.built:  # else its weights come with the first batch
            self._kernels()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        kernels = self._kernels()
        if logs is None:
            return
        for kernel in kernels:
            path = kernel.path.removeprefix(f"{self.model.name}/")
            suffix = "" if len(kernels) == 1 else f"/{path}"
            logs[f"unitarity_error{suffix}"] = diagnostics.unitarity_error(kernel)
            logs[f"spectral_norm{suffix}"] = diagnostics.spectral_norm(kernel)

    def _kernels(self) -> list[Any]:
        """The weights to watch, or raise."""
        projections = (UnitaryProjection, ContractiveProjection)
        kernels = [
            w for w in self.model.weights if isinstance(w.constraint, projections)
        ]
        if not kernels:
            raise ValueError(
                "`UnitarityMonitor` must be given a model with a projected kernel. "
                f"Received: model={self.model.name!r}, in which no weight has a "
                "`UnitaryProjection` or `ContractiveProjection`. Use a layer of "
                "`keras_urnn`, or pass one as a kernel constraint."
            )
        return kernels


class ReapplyConstraints(keras.callbacks.Callback):
    """Applies every weight's constraint once more when training ends.

    With `use_ema=True` an optimizer averages the weights before they are projected and
    puts the average in their place at the end of `fit`: the average of orthogonal
    matrices is not orthogonal (an error of 0.1 to 0.3 was measured). This callback
    maps each constrained weight `w` to `constraint(w)` after that, the nearest matrix
    on the set where the constraint is a projection of this library.

    Example:
        ```python
        model.compile(keras.optimizers.Adam(use_ema=True), "mse")
        model.fit(x, y, callbacks=[keras_urnn.callbacks.ReapplyConstraints()])
        ```
    """

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for weight in self.model.trainable_weights:
            if weight.constraint is not None:
                weight.assign(weight.constraint(weight))

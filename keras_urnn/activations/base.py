"""What an activation of ours is to a cell."""

from typing import Any, ClassVar, Self

import keras


class CellActivation(keras.layers.Layer):
    """An activation that belongs to one cell, or is a layer of a model. Abstract.

    A cell that is given one makes a copy of it, so that two cells share no weights,
    builds the copy with its own width and saves it with its own weights.

    Attributes:
        field: string or None, the numbers that it takes: `"real"`, or `"complex"` for
            tensors `[Re | Im]`. None if nothing has decided it.
    """

    fields: ClassVar[tuple[str, ...]] = ("real",)
    field: str | None = "real"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def for_cell(self, field: str, units: int, dtype: Any) -> Self:
        """A copy, not built, for a cell of some numbers, units and dtype policy."""
        return type(self).from_config({**self.get_config(), "dtype": dtype})

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # Without this method Keras saves no layer whose dtype is given as a policy.
        config: dict[str, Any] = super().get_config()
        return config

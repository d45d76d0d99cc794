"""What a parametrization of the recurrent matrix must do."""

from abc import ABC, abstractmethod
from typing import Any, Self

from keras_urnn.linalg import Tensor


class Parametrization(ABC):
    """Maps a cell's raw weights to its recurrent matrix `R`.

    A cell creates its variables through `build`, which may read the cell's `units`,
    `recurrent_initializer`, `recurrent_regularizer` and `recurrent_projection` (the
    constraint whose set `R` must be on), and steps with `apply`. One instance serves
    one cell.

    Laws, tested over every parametrization, size and weight scale (`eps` is that of the
    weights' dtype, `n` the width):

    - L1. `R` is on the set for any raw weights a training step can leave:
      `max|RᵀR - I| ≤ 4 n eps`, or `‖R‖ ≤ max_norm (1 + 4 n eps)`.
    - L2. `apply(h, prepare()) == h @ matrix()`.
    - L3. After `assign(Q)`, `matrix()` is `Q`; outside the map's image `assign` raises
      a `ValueError` that names the obstruction.
    - L4. The claim of coverage in the docstring has a test that reaches it and one that
      shows what is missed.
    - L5. Gradients are finite and equal to finite differences in float64.
    - L6. A round trip through the config and a `.keras` file gives a bit-equal matrix.
    """

    field = "real"

    @abstractmethod
    def build(self, cell: Any) -> None:
        """Create the recurrent weights of `cell` and keep a reference to it."""

    @abstractmethod
    def prepare(self) -> Tensor:
        """The tensors that depend on weights only, to compute once per sequence."""

    @abstractmethod
    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        """One step, `h @ R`, for `h` of shape `(batch, width)`."""

    @abstractmethod
    def assign(self, matrix: Any) -> None:
        """Set the weights so that `R` is `matrix`, or raise saying why it can't be."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """`R`, of shape `(width, width)`: `apply` to the identity."""

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new, unbuilt instance."""
        return cls(**config)

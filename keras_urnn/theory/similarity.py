"""Changes of the state's coordinates that leave the outputs as they are."""

from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.ranges.activations import ACTIVATIONS, known
from keras_urnn.theory.system import System, check_cell, system_of

Array = NDArray[np.float64]

_EXPECTED = "an invertible matrix of shape (n, n)"
_ADVICE = "The new states are `h @ T`."


def similarity_transform(
    cell: Any, T: ArrayLike, readout: ArrayLike | None = None
) -> Any:
    """Return the cell whose states are `h @ T` for the states `h` of `cell`.

    Two RNNs with the same outputs may have other states and weights. This is the
    plainest way from one to the other: with

        R' = T⁻¹ R T,    K' = K T,    b' = b T,    C' = T⁻¹ C

    and states `h T`, the outputs `h T C' = h C` are the same. It holds where `φ`
    commutes with `T`, `φ(z T) = φ(z) T` for all `z`:

    - the linear activation: any invertible `T`;
    - `relu` and `leaky_relu`, with `φ(d z) = d φ(z)` for `d > 0` only: `T` a positive
      diagonal matrix times a permutation;
    - Keras' other activations, the same for each state: `T` a permutation.

    The new matrix may have any norm, so what comes back is Keras' own cell. Computed
    in float64 whatever the backend, and cast to the weights' dtype at the end.

    Args:
        cell: `ContractiveRNNCell`, `UnitaryRNNCell` or `keras.layers.SimpleRNNCell`,
            built, without recurrent dropout, and with a start of 0.
        T: array of shape `(n, n)`, real. The matrix that the states are multiplied by.
        readout: array of shape `(n, outputs)`, or None. The readout `C` in `h @ C`, if
            it is to be transformed too. Defaults to `None`.

    Returns:
        A built `keras.layers.SimpleRNNCell` that outputs all its `n` states; with a
        `readout` the pair of it and `C'`, a float64 array of shape `(n, outputs)`.

    Raises:
        ValueError: when `T` is of another shape, complex, not finite, singular to
            float64 precision or not admissible for the activation, a transformed
            weight overflows, the readout is of another shape, or the cell is of
            another kind, not built, of weights that are not finite, has an activation
            of the user's own, recurrent dropout, or a learned start other than 0.

    Example:
        ```python
        cell = keras_urnn.theory.tight_example(2)
        T = np.array([[0.0, 2.0], [0.25, 0.0]])
        same, C = keras_urnn.theory.similarity_transform(cell, T, readout=np.eye(2))
        C  # shape (2, 2)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 2
    """
    check_cell(cell)
    system = system_of(cell, readout)
    _check_step(cell, system)
    T = _checked_transform(T, system.units)
    _check_commutes(cell.activation, T)
    transformed = _like(cell, system)
    transformed.build((None, len(system.kernel)))
    R = np.linalg.solve(T, system.recurrent_matrix @ T)
    weights = [system.kernel @ T, R, system.bias @ T]
    transformed.set_weights(_stored(weights, transformed))
    if readout is None:
        return transformed
    return transformed, np.linalg.solve(T, system.readout)


def _check_step(cell: Any, system: System) -> None:
    if cell.recurrent_dropout > 0.0:
        advice = (
            "Dropping states is dropping others of the new ones; set "
            "`recurrent_dropout=0`."
        )
        found = f"recurrent_dropout={cell.recurrent_dropout}"
        raise _checks.error("cell", "without recurrent dropout", found, advice)
    if np.any(system.initial_state):
        advice = (
            "The new cell starts from 0. Train without `learn_initial_state`, or set "
            "the learned state to 0 and pass it to the layers as `initial_state`, "
            "multiplied by T for the new one."
        )
        found = "a learned initial state other than 0"
        raise _checks.error("cell", "a cell that starts from 0", found, advice)


def _checked_transform(T: ArrayLike, units: int) -> Array:
    matrix = _numbers.real_numbers("T", T, _EXPECTED, _ADVICE)
    if matrix.shape != (units, units):
        found = f"an array of shape {matrix.shape}"
        raise _checks.error("T", f"{_EXPECTED}, n = {units}", found, _ADVICE)
    singular = np.linalg.svd(matrix, compute_uv=False)
    if singular[-1] <= units * 2.0**-52 * singular[0]:
        found = f"singular values from {singular[0]:.3g} to {singular[-1]:.3g}"
        advice = f"{_ADVICE} A singular one loses some of them, and can't be undone."
        raise _checks.error("T", _EXPECTED, found, advice)
    return matrix


def _check_commutes(activation: Any, T: Array) -> None:
    if activation is keras.activations.linear:
        return
    name = getattr(activation, "__name__", repr(activation))
    if activation not in ACTIVATIONS or not known(activation).elementwise:
        advice = "Of others it isn't known what they commute with."
        expected = "with an activation of Keras that acts on each state alike"
        raise _checks.error("cell", expected, f"activation={name!r}", advice)
    entries = T[T != 0.0]
    one_each = np.all((T != 0.0).sum(axis=0) == 1) and np.all((T != 0).sum(axis=1) == 1)
    pieces = known(activation).pieces
    if pieces is not None and pieces.is_homogeneous:
        admissible, group = np.all(entries > 0.0), "a positive diagonal matrix times a "
        why = f"{name}(d z) = d {name}(z) for d > 0 only."
    else:
        admissible, group = np.all(entries == 1.0), "a "
        why = f"{name}(d z) isn't d {name}(z)."
    if not (one_each and admissible):
        found = f"{entries.size} entries that are not 0, the smallest {entries.min():g}"
        advice = f"{why} For the linear activation any invertible matrix will do."
        raise _checks.error("T", f"{group}permutation", found, advice)


def _like(cell: Any, system: System) -> Any:
    return keras.layers.SimpleRNNCell(
        cell.units,
        activation=cell.activation,
        # A `resting_state` makes one.
        use_bias=cell.use_bias or bool(np.any(system.bias)),
        dropout=cell.dropout,
        seed=cell.seed,
        name=cell.name,
        dtype=cell.dtype_policy,
    )


def _stored(arrays: list[Any], cell: Any) -> list[Any]:
    """Cast to the dtype of the cell's weights, or raise where a number overflows."""
    weights = cell.weights
    for array, weight in zip(arrays, weights, strict=False):
        stored = keras.ops.cast(array, weight.dtype)
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(stored))):
            advice = "Scale T nearer to 1, or use a wider dtype."
            found = f"a weight of size {np.abs(array).max():.3g} in {weight.dtype}"
            raise _checks.error("T", "such that no weight overflows", found, advice)
    return arrays[: len(weights)]

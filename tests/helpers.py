"""The tables that drive the suite: factories, a reference in NumPy, tolerances."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import pytest

import keras_urnn as ku

Array = npt.NDArray[Any]

# A new cell or layer is one new row here.
CELLS: dict[str, Callable[..., Any]] = {
    "unitary": ku.UnitaryRNNCell,
    "contractive": ku.ContractiveRNNCell,
}
LAYERS: dict[str, Callable[..., Any]] = {
    "unitary": ku.UnitaryRNN,
    "contractive": ku.ContractiveRNN,
}


BATCH, STEPS, FEATURES, UNITS = 3, 7, 4, 5


class Row(NamedTuple):
    """A parametrization, and what the laws of `parametrizations.base` need of it.

    Attributes:
        make: factory.
        sets: the sets that it holds.
        missed: a matrix of its set that it can't give, and what the refusal names;
            `None` where it reaches all of its sets.
        is_thin: whether it misses matrices as near as you like to each that it gives,
            or to the ends of its set.
        is_variant: whether it is another row with an option, so that one backend is
            enough for what all rows are tested for.
        exists: whether there is one for a number of units.
        has_inverse: whether it finds the weights of each matrix that it gives.
        starts_elsewhere: whether its initial matrix is none that is drawn, and the unit
            matrix is missed.
        has_surrogate: whether it has another gradient than that of its matrix, for
            which it has a test of its own.
        activation: an activation of the numbers of its field.
        sees: what an optimizer sees of the gradient for a weight, all of it by default.
    """

    make: Callable[[], Any]
    sets: tuple[str, ...] = ("unitary",)
    missed: tuple[Any, str] | None = None
    is_thin: bool = False
    is_variant: bool = False
    exists: Callable[[int], bool] = lambda units: True
    has_inverse: bool = True
    starts_elsewhere: bool = False
    has_surrogate: bool = False
    activation: str = "relu"
    sees: Callable[[Array, Array], Array] = lambda weight, gradient: gradient


def tangent_part(matrix: Array, gradient: Array) -> Array:
    """`G - R (Rᴴ G + Gᴴ R) / 2` of a gradient `G`: real, or complex as `[Re | Im]`."""
    n = len(matrix)
    is_real = matrix.shape == (n, n)
    R, G = (a if is_real else a[:, :n] + 1j * a[:, n:] for a in (matrix, gradient))
    part = G - R @ (R.conj().T @ G + G.conj().T @ R) / 2.0
    return part if is_real else np.hstack([part.real, part.imag])


# A new parametrization is one new row here: the laws and the layers' tests run on it.
PARAMETRIZATIONS: dict[str, Row] = {
    "projection": Row(ku.parametrizations.Projection, ("unitary", "contractive")),
    "projection by svd": Row(lambda: ku.parametrizations.Projection(method="svd")),
    "projection of complex numbers": Row(
        lambda: ku.parametrizations.Projection(field="complex"),
        ("unitary", "contractive"),
        activation="modrelu",
    ),
    "projection of gradients": Row(
        lambda: ku.parametrizations.Projection(tangent=True),
        is_variant=True,
        sees=tangent_part,
    ),
    "projection of gradients of complex numbers": Row(
        lambda: ku.parametrizations.Projection(field="complex", tangent=True),
        is_variant=True,
        activation="modrelu",
        sees=tangent_part,
    ),
    "cayley": Row(ku.parametrizations.Cayley),
    "cayley of complex numbers": Row(
        lambda: ku.parametrizations.Cayley(field="complex"), activation="modrelu"
    ),
    "cayley with one sign -1": Row(
        lambda: ku.parametrizations.Cayley(negative_ones=1),
        missed=(
            np.eye(3),
            r"eigenvalue at distance 0 from -1.*determinant of R is \+1",
        ),
        is_variant=True,
    ),
    "cayley with a base": Row(
        lambda: ku.parametrizations.Cayley(rebase_every=2), is_variant=True
    ),
    "exponential": Row(ku.parametrizations.Exponential),
    "exponential with a base": Row(
        lambda: ku.parametrizations.Exponential(rebase_every=2), is_variant=True
    ),
    "exponential of complex numbers": Row(
        lambda: ku.parametrizations.Exponential(field="complex"),
        is_variant=True,
        activation="modrelu",
    ),
    "exponential of complex numbers with a base": Row(
        lambda: ku.parametrizations.Exponential(rebase_every=2, field="complex"),
        is_variant=True,
        activation="modrelu",
    ),
    "householder": Row(ku.parametrizations.Householder),
    "householder of determinant 1": Row(
        lambda: ku.parametrizations.Householder(determinant=1),
        missed=(np.diag([1.0, 1.0, -1.0]), "a matrix of determinant -1"),
        is_variant=True,
    ),
    "one reflection": Row(
        lambda: ku.parametrizations.Householder(reflections=1),
        missed=(
            np.eye(3)[[1, 2, 0]],
            r"rank above 1, the number of refl.*its next singular value is 1\)",
        ),
        is_thin=True,
        is_variant=True,
    ),
    "givens": Row(ku.parametrizations.Givens),
    "givens of 2 layers": Row(
        lambda: ku.parametrizations.Givens(capacity=2),
        missed=(
            np.eye(4)[[1, 2, 3, 0]],
            r"distance .* product of 2 layers .*capacity=2 and layout='tunable'",
        ),
        is_thin=True,
        is_variant=True,
        exists=lambda units: units >= 2,
    ),
    "givens as in an fft": Row(
        lambda: ku.parametrizations.Givens(layout="fft"),
        missed=(
            np.eye(4)[[0, 2, 1, 3]],
            r"distance .* product of 2 layers .*capacity=None and layout='fft'",
        ),
        is_thin=True,
        is_variant=True,
    ),
    "givens of complex numbers": Row(
        lambda: ku.parametrizations.Givens(field="complex"),
        is_variant=True,
        activation="modrelu",
    ),
    "complex givens of 2 layers": Row(
        lambda: ku.parametrizations.Givens(capacity=2, field="complex"),
        missed=(
            np.kron(np.eye(2), np.eye(4)[[1, 2, 3, 0]]),
            r"distance .* product of 2 layers .*capacity=2 and layout='tunable'",
        ),
        is_thin=True,
        is_variant=True,
        exists=lambda units: units >= 2,
        activation="modrelu",
    ),
    "complex givens as in an fft": Row(
        lambda: ku.parametrizations.Givens(layout="fft", field="complex"),
        missed=(
            np.kron(np.eye(2), np.eye(4)[[0, 2, 1, 3]]),
            r"distance .* product of 2 layers .*capacity=None and layout='fft'",
        ),
        is_thin=True,
        is_variant=True,
        activation="modrelu",
    ),
    "fourier": Row(
        ku.parametrizations.Fourier,
        missed=(np.eye(8), r"entries .* away .* no formula"),
        is_thin=True,
        has_inverse=False,
        starts_elsewhere=True,
        activation="modrelu",
    ),
    "hadamard": Row(
        ku.parametrizations.Hadamard,
        missed=(
            np.eye(4),
            r"distance .* from the nearest that a sign for each",
        ),
        is_thin=True,
        exists=lambda units: units in (1, 2) or units % 4 == 0,
        starts_elsewhere=True,
        has_surrogate=True,
    ),
    "bounded_svd": Row(
        ku.parametrizations.BoundedSVD,
        ("contractive",),
        missed=(
            0.7 * np.eye(3),  # the norm of the tests' contractive cells
            r"singular values from 0\.7 to 0\.7, not .* 0 and max_norm=0\.7",
        ),
        is_thin=True,
    ),
}


def is_variant(name: str) -> bool:
    """Whether the row of a name, with its set before it or not, is a variant."""
    return PARAMETRIZATIONS[name.removeprefix("contractive ")].is_variant


def each_of(names: Iterable[str]) -> Any:
    """Parametrize by the `name` of a row, variants once (see conftest.py)."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.once if is_variant(name) else ())
            for name in names
        ],
    )


# Those of real numbers whose matrix is computed from other weights and that exist for
# so many units, and those of them that reach every orthogonal matrix.
COMPUTED = {
    name: row
    for name, row in PARAMETRIZATIONS.items()
    if row.make().field == "real"
    and row.exists(UNITS)
    and not isinstance(row.make(), ku.parametrizations.Projection)
}
each_computed = each_of(COMPUTED)
each_full = each_of(name for name, row in COMPUTED.items() if row.missed is None)

each_cell = pytest.mark.parametrize("make_cell", CELLS.values(), ids=CELLS)
each_layer = pytest.mark.parametrize("make_layer", LAYERS.values(), ids=LAYERS)

# Arguments that change the step or the state.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-bias": {"use_bias": False},
    "output-units": {"output_units": 2},
    "learned-start": {"learn_initial_state": True},
    "both": {"output_units": 2, "learn_initial_state": True},
    "scaled-from-rest": {
        "state_scale": [1.0, 4.0, 0.5, 3.0, 1.0],
        "resting_state": [0.0, -0.5, 1.0, 0.25, 2.0],
    },
}
each_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)

EPSILON = {
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}
# Two ways to the same numbers: some ten roundings a step, of values of about 1.
TOLERANCE = {dtype: 10 * STEPS * epsilon for dtype, epsilon in EPSILON.items()}


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Work under a dtype policy. JAX has no float64 unless it is asked for it."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        if policy == "float64" and keras.config.backend() == "jax":
            import jax

            with jax.enable_x64(True):
                yield
        else:
            yield
    finally:
        keras.config.set_dtype_policy(previous)


def normal(*shape: int, seed: int = 0) -> Array:
    """Return the same standard normal numbers on every backend."""
    return np.random.default_rng(seed).standard_normal(shape)


def sequences(steps: int = STEPS) -> Array:
    return normal(BATCH, steps, FEATURES, seed=1).astype("float32")


def to_numpy(value: Any) -> Array:
    """Return a tensor, or a Keras variable, as a float64 array."""
    return np.asarray(keras.ops.convert_to_numpy(value), dtype="float64")


def randomize(cell: Any) -> Any:
    """Give a built cell weights none of which is zero; `R` stays on its set."""
    for seed, name in enumerate(("kernel", "bias", "learned_initial_state"), start=5):
        weight = getattr(cell, name)
        if weight is not None:
            weight.assign(0.5 * normal(*weight.shape, seed=seed))
    return cell


def built(layer: Any, steps: int = STEPS) -> Any:
    """Return the layer, built for `sequences()`, with weights none of which is zero.

    A contractive one has singular values of all sizes, not just `max_norm`.
    """
    layer.build((BATCH, steps, FEATURES))
    matrix = normal(layer.cell.width, layer.cell.width, seed=3) / 2.0
    layer.cell.recurrent_kernel.assign(nearest_on_set(layer.cell, matrix))
    randomize(layer.cell)
    layer.reset_state()
    return layer


def nearest_on_set(cell: Any, matrix: Array) -> Array:
    """Return the nearest matrix on the cell's set, by NumPy's SVD in float64."""
    u, s, vt = np.linalg.svd(matrix.astype("float64"))
    s = np.minimum(s, cell.max_norm) if hasattr(cell, "max_norm") else np.ones_like(s)
    return (u * s) @ vt


def compile_model(model: Any, *arguments: Any, **options: Any) -> Any:
    """Return the model, compiled, with the variables of its optimizer.

    TensorFlow traces a step twice if it makes variables.
    """
    model.compile(*arguments, **options)
    model.optimizer.build(model.trainable_variables)
    return model


def smooth(z: Any) -> Any:
    """An activation for tensors and arrays alike.

    Keras' own give float32 on JAX, unless its process began in float64.
    """
    return z / (1.0 + z * z)


def reference_states(
    cell: Any,
    x: Array,
    activation: Callable[[Array], Array],
    mask: Array | None = None,
    start: Array | None = None,
) -> Array:
    """Return the states `h_t = φ((h_{t-1} - c) R + x_t K + b)` of all steps, in NumPy.

    With a scale `d` they are `h_t = φ(((h_{t-1} - c)∘d) R + (x_t K + b)∘d) / d`. Where
    the mask is False the state stays what it was.
    """
    K, R = to_numpy(cell.kernel), matrix_of(cell)
    b = 0.0 if cell.bias is None else to_numpy(cell.bias)
    c = np.asarray(cell.resting_state or np.zeros(len(R)))
    if start is None:
        learned = cell.learned_initial_state
        start = c if learned is None else to_numpy(learned)
    d = np.ones(len(R)) if cell.state_scale is None else np.asarray(cell.state_scale)
    h = np.broadcast_to(start, (len(x), len(R)))
    states = []
    for t in range(x.shape[1]):
        new = activation(((h - c) * d) @ R + (x[:, t] @ K + b) * d) / d
        h = new if mask is None else np.where(mask[:, t, None], new, h)
        states.append(h)
    return np.stack(states, axis=1)


def matrix_of(cell: Any) -> Array:
    """Return the recurrent matrix of one of our cells, or of Keras'."""
    ours = isinstance(cell, (ku.UnitaryRNNCell, ku.ContractiveRNNCell))
    return to_numpy(cell.recurrent_matrix() if ours else cell.recurrent_kernel)


def assert_on_its_set(cell: Any) -> None:
    """Check law L1: orthogonal, or contractive, to the rounding of the weights."""
    R = matrix_of(cell)
    rounding = 4 * len(R) * EPSILON[cell.variable_dtype]
    assert np.all(np.isfinite(R))
    if hasattr(cell, "max_norm"):
        assert np.linalg.norm(R, 2) <= cell.max_norm * (1 + rounding)
    else:
        assert np.max(np.abs(R.T @ R - np.eye(len(R)))) <= rounding

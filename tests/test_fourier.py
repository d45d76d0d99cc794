"""The uRNN's map: its formula, what it reaches, where it starts, how it steps."""

from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

import keras_urnn as ku
from keras_urnn.linalg import EPSILON
from keras_urnn.linalg.complex_matrices import embedding
from keras_urnn.linalg.fourier_product import permutation
from keras_urnn.parametrizations import BoundedSVD, Cayley, Fourier, fourier
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    Array,
    normal,
    precision,
    to_numpy,
)
from tests.layers.test_fused import (
    CLOSE,
    JIT_COMPILE,
    model_of,
    plain_twin,
    same_gradients,
)

EPS = EPSILON["float64"]


def cell_with(n: int, seed: int = 0, **options: Any) -> Any:
    cell = ku.UnitaryRNNCell(n, "modrelu", parametrization=Fourier(seed), **options)
    cell.build((None, 2))
    return cell


def product(phases: Array, vectors: Array, order: Array) -> Array:
    """`R = D₁ F R₁ᵀ Πᵀ D₂ F⁻¹ R₂ᵀ D₃`, of dense complex matrices in float64."""
    n = len(order)
    D1, D2, D3 = (np.diag(np.exp(1j * row)) for row in phases)
    v = vectors[:, :n] + 1j * vectors[:, n:]
    R1, R2 = (np.eye(n) - 2.0 * np.outer(a.conj(), a) / (a @ a.conj()) for a in v)
    F = np.fft.fft(np.eye(n), norm="ortho")
    # (Π z)_j = z_{order[j]} for a column z.
    P = np.eye(n)[order]
    return D1 @ F @ R1 @ P.T @ D2 @ np.linalg.inv(F) @ R2 @ D3


def real(matrix: Array) -> Array:
    return embedding(np.concatenate([matrix.real, matrix.imag], axis=-1))


@pytest.fixture
def structured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers, too, step by Fourier transforms."""
    monkeypatch.setattr(fourier, "STRUCTURED_FROM", 1)


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize(
    "n", [1, 5, *(pytest.param(n, marks=pytest.mark.once) for n in (2, 8))]
)
def test_it_is_the_formula_of_its_docstring(
    n: int, structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with precision("float64"):
        cell = cell_with(n, seed=n)
        monkeypatch.setattr(cell.parametrization, "is_structured", lambda: structured)
        phases, vectors = 100.0 * normal(3, n), normal(2, 2 * n, seed=1)
        cell.recurrent_phases.assign(phases)
        cell.recurrent_vectors.assign(vectors)
        order = np.random.RandomState(n).permutation(n)
        expected, given = real(product(phases, vectors, order)), cell.parametrization
        h = normal(6, 2 * n)
        tensor, prepared = ops.convert_to_tensor(h), given.prepare()
        assert isinstance(prepared, tuple) == structured
        for found, right in (
            (cell.recurrent_matrix(), expected),
            (given.apply(tensor, prepared), h @ expected),
            (given.apply_transposed(tensor, prepared), h @ expected.T),
        ):
            np.testing.assert_allclose(to_numpy(found), right, rtol=0, atol=40 * EPS)


@pytest.mark.once
def test_the_permutations_of_saved_files_never_change() -> None:
    # Made with NumPy 2.4. A file holds the seed, not the permutation.
    assert permutation(0, 8).order.tolist() == [6, 2, 1, 7, 3, 0, 5, 4]
    assert permutation(2**32 - 1, 8).order.tolist() == [1, 7, 6, 0, 5, 4, 2, 3]
    order, inverse = permutation(1, 17)
    np.testing.assert_array_equal(order[inverse], np.arange(17))


@pytest.mark.once
def test_the_seed_chooses_another_map() -> None:
    weights = normal(3, 8), normal(2, 16)
    found = [product(*weights, permutation(seed, 8).order) for seed in (0, 1)]
    assert np.max(np.abs(found[0] - found[1])) > 0.1
    config = keras.saving.serialize_keras_object(Fourier(7))
    assert keras.saving.deserialize_keras_object(config).seed == 7


def jacobian_rank(n: int) -> int:
    """The dimension of what the weights reach near random ones."""
    order = permutation(0, n).order
    weights = [normal(3, n), normal(2, 2 * n, seed=1)]
    columns = []
    for array in weights:
        for index in np.ndindex(array.shape):
            start, ends = array[index], []
            for step in (1e-5, -1e-5):
                array[index] = start + step
                ends.append(real(product(*weights, order))[:n])
            array[index] = start
            columns.append(np.ravel(ends[0] - ends[1]) / 2e-5)
    # Differences are right to 1e-9: singular values of that size count for none.
    return int(np.linalg.matrix_rank(np.array(columns), tol=1e-6))


@pytest.mark.once
@pytest.mark.parametrize("n", [6, 8, 10])
def test_l4_it_reaches_a_set_of_the_dimension_that_it_says(n: int) -> None:
    # Without effect are the lengths and phases of both vectors, two of the three phases
    # that all units have in common, and a turn of both mirrors in their plane.
    assert jacobian_rank(n) == 7 * n - 7 < n**2


@pytest.mark.once
@pytest.mark.parametrize("n", [1, 2, 5])
def test_l4_few_units_reach_a_set_of_all_dimensions(n: int) -> None:
    assert jacobian_rank(n) == n**2


@pytest.mark.once
def test_assign_takes_the_matrix_that_the_weights_give_already() -> None:
    cell = cell_with(5)
    own = to_numpy(cell.recurrent_matrix())
    cell.parametrization.assign(own)
    cell.parametrization.assign(own[:5, :5] + 1j * own[:5, 5:])
    assert cell.parametrization.initialize(1.5 * own) == pytest.approx(
        0.5 * np.sqrt(10), rel=1e-5
    )
    np.testing.assert_array_equal(to_numpy(cell.recurrent_matrix()), own)
    cell.recurrent_phases.assign(normal(3, 5))
    with pytest.raises(ValueError, match=r"no formula: set `cell.recurrent_phases`"):
        cell.parametrization.assign(own)


STARTS = {
    "orthogonal": lambda seed: keras.initializers.Orthogonal(seed=seed),
    "normal": lambda seed: keras.initializers.RandomNormal(seed=seed),
}


@pytest.mark.once
@pytest.mark.parametrize("make", STARTS.values(), ids=STARTS)
def test_the_start_follows_the_seed_of_the_initializer(make: Any) -> None:
    n, found = 256, []
    for seed in (1, 1, 2):
        cell = cell_with(n, recurrent_initializer=make(seed))
        found.append(
            [to_numpy(cell.recurrent_phases), to_numpy(cell.recurrent_vectors)]
        )
    for one, same, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, same)
        assert np.max(np.abs(one - other)) > 1.0
    phases, vectors = found[0]
    lengths = np.linalg.norm(vectors, axis=-1)
    np.testing.assert_allclose(lengths, np.sqrt(2 * n), rtol=1e-6)
    uniform = scipy.stats.uniform(-np.pi, 2.0 * np.pi).cdf
    assert scipy.stats.kstest(phases.ravel(), uniform).pvalue > 0.01
    assert scipy.stats.kstest(vectors.ravel(), "norm").pvalue > 0.01


@pytest.mark.once
def test_the_start_follows_the_random_seed_of_keras() -> None:
    found = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        found.append(to_numpy(cell_with(4).recurrent_matrix()))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.max(np.abs(found[0] - found[2])) > 0.1


@pytest.mark.once
def test_it_draws_five_rows_whatever_the_units() -> None:
    shapes = []

    def zeros(shape: Any, dtype: Any) -> Any:
        shapes.append(tuple(shape))
        return ops.zeros(shape, dtype)

    cell = cell_with(64, recurrent_initializer=zeros)
    assert set(shapes) == {(5, 128)}
    for weight in (cell.recurrent_phases, cell.recurrent_vectors):
        assert np.all(to_numpy(weight) == 0.0)
    assert ku.diagnostics.unitarity_error(cell) <= 4 * 128 * EPSILON["float32"]


def test_a_vector_of_zeros_is_the_first_unit_vector_and_stays() -> None:
    with precision("float64"):
        layer = ku.UnitaryRNN(4, "modrelu", parametrization="fourier")
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
        cell, vectors = layer.cell, normal(2, 8)
        vectors[0] = 0.0
        cell.recurrent_vectors.assign(vectors)
        found = to_numpy(cell.recurrent_matrix())
        x = normal(BATCH, STEPS, FEATURES).astype("float32")
        slopes = gradients.of_error(model, x, normal(BATCH, 8, seed=1))
        vectors[0, 0] = 1.0
        cell.recurrent_vectors.assign(vectors)
        same = to_numpy(cell.recurrent_matrix())
    np.testing.assert_allclose(found, same, rtol=0, atol=20 * EPS)
    paths = [weight.path for weight in model.trainable_variables]
    slope = slopes[paths.index(cell.recurrent_vectors.path)]
    assert np.all(slope[0] == 0.0)
    assert np.max(np.abs(slope[1])) > 1e-4
    assert all(np.all(np.isfinite(one)) for one in slopes)


@pytest.mark.once
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_vectors_may_have_any_size(size: float) -> None:
    cell, vectors, found = cell_with(4), normal(2, 8), []
    for scale in (1.0, size):
        cell.recurrent_vectors.assign(scale * vectors)
        found.append(to_numpy(cell.recurrent_matrix()))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=8 * EPSILON["float32"])


@pytest.mark.once
def test_wide_layers_step_by_transforms() -> None:
    for n, is_structured in ((383, False), (384, True)):
        cell = cell_with(n)
        assert cell.parametrization.is_structured() == is_structured
        assert isinstance(cell.parametrization.prepare(), tuple) == is_structured


@pytest.mark.parametrize("xla", JIT_COMPILE)
@pytest.mark.usefixtures("structured")
def test_the_fused_recurrence_steps_by_transforms(xla: bool | str) -> None:
    with precision("float64"):
        assert_same_as_the_loop("float64", return_sequences=True, xla=xla is True)


@pytest.mark.once
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [STEPS, 67])
@pytest.mark.usefixtures("structured")
def test_same_with_masks_and_in_several_blocks(steps: int, masked: bool) -> None:
    with precision("float64"):
        assert_same_as_the_loop("float64", masked, steps)
        assert_same_as_the_loop("float64", masked, steps, checkpoint_every=3)


def assert_same_as_the_loop(
    dtype: str,
    masked: bool = False,
    steps: int = STEPS,
    xla: bool = False,
    **options: Any,
) -> None:
    layer = ku.UnitaryRNN(5, "modrelu", parametrization="fourier", **options)
    assert layer.uses_fused_recurrence, layer.plain_recurrence_reason
    ours = model_of(layer, masked, steps)
    theirs = plain_twin(layer, masked, steps, FEATURES)
    layer.cell.parametrization.matrix = None  # which needs not be formed
    assert layer.cell.parametrization.is_structured()
    tolerance = CLOSE[dtype]
    expected, largest = same_gradients(ours, theirs, dtype, tolerance, steps, xla)
    names = [weight.name for weight in ours.trainable_weights]
    for name in ("recurrent_phases", "recurrent_vectors"):
        assert np.max(np.abs(expected[names.index(name)])) > 1e-3 * largest


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.usefixtures("structured")
def test_transforms_are_unitary_in_half_precision(policy: str) -> None:
    cell = cell_with(10, dtype=policy)
    given, prepared = cell.parametrization, cell.prepared()
    assert isinstance(prepared, tuple)
    eye = ops.eye(20, dtype=cell.compute_dtype)
    matrix = to_numpy(cell.recurrent_matrix())
    # Five factors and the result are rounded, entries of 1 at most.
    close = 4 * EPSILON[cell.compute_dtype]
    for step, expected in (
        (given.apply, matrix),
        (given.apply_transposed, matrix.T),
    ):
        found = to_numpy(ops.cast(step(eye, prepared), "float32"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=close)
        assert np.max(np.abs(found.T @ found - np.eye(20))) <= close


@pytest.mark.parametrize(
    ("policy", "structured"),
    [
        ("mixed_bfloat16", True),
        pytest.param("mixed_bfloat16", False, marks=pytest.mark.once),
        pytest.param("mixed_float16", True, marks=pytest.mark.once),
    ],
)
def test_training_goes_on_in_half_precision(
    policy: str, structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = ku.UnitaryRNN(5, "modrelu", parametrization="fourier", dtype=policy)
    monkeypatch.setattr(layer.cell.parametrization, "is_structured", lambda: structured)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = to_numpy(layer.recurrent_matrix())
    model.train_on_batch(normal(BATCH, STEPS, FEATURES), normal(BATCH, 10, seed=2))
    after = to_numpy(layer.recurrent_matrix())
    assert 1e-4 < np.max(np.abs(after - before)) < 1.0
    assert ku.diagnostics.unitarity_error(layer) <= 4 * 10 * EPSILON["float32"]


@pytest.mark.once
def test_it_refuses_what_is_no_seed_and_other_fields() -> None:
    for value in (-1, 2**32, 1.5, True, "2", None):
        with pytest.raises(ValueError, match=r"`seed` must be an integer in \[0, 2"):
            Fourier(seed=value)
    assert Fourier(np.int64(3)).seed == 3
    with pytest.raises(ValueError, match=r'`activation` must be "modrelu", or None'):
        ku.UnitaryRNN(4, "relu", parametrization="fourier")
    for complex_one in ("fourier", Cayley(field="complex")):
        with pytest.raises(ValueError, match="`left` must be of real numbers"):
            BoundedSVD(left=complex_one)


# One step of a layer whose dense twin has a matrix of 4 GB, and whose gradient and
# moments three more.
WIDE = """
import resource, sys
import keras, numpy as np
import keras_urnn as ku

layer = ku.UnitaryRNN(16384, "modrelu", parametrization="fourier")
model = keras.Sequential([keras.Input((20, 1)), layer, keras.layers.Dense(1)])
model.compile("adam", "mse")
start = np.asarray(keras.ops.convert_to_numpy(layer.cell.recurrent_phases))
loss = model.train_on_batch(np.ones((16, 20, 1), "float32"), np.ones((16, 1)))
end = np.asarray(keras.ops.convert_to_numpy(layer.cell.recurrent_phases))
assert np.isfinite(loss) and np.max(np.abs(end - start)) > 1e-4
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.long
def test_16384_units_train_in_less_than_4_gb(run_python: Any) -> None:
    peak = int(run_python(WIDE).split()[-1])
    assert peak < 4e9

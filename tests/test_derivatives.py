"""The derivatives of the projections, against differences of SVDs in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import _backend, linalg
from tests.gradients import second_derivative
from tests.helpers import normal, precision

BACKEND = keras.config.backend()
MAX_NORM = 0.9
STEP = 1e-6
# Of central differences: some f''' STEP², and the rounding of f over STEP.
TOLERANCE = 1e-8


def polar(w):
    u, _, vt = np.linalg.svd(w, full_matrices=False)
    return u @ vt


def clip(w):
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    return (u * np.minimum(s, MAX_NORM)[..., None, :]) @ vt


def unitary(method):
    return ku.UnitaryProjection(method)


def contractive(method):
    return ku.ContractiveProjection(MAX_NORM, method)


MAPS = {"polar": (unitary, polar), "clip": (contractive, clip)}
each_map = pytest.mark.parametrize("name", MAPS)


def with_singular_values(*s, rows=0):
    n = len(s)
    u, v = polar(normal(max(n, rows), n, seed=3)), polar(normal(n, n, seed=4))
    return (u * np.array(s)) @ v


# Where both maps are smooth: no singular value is 0 or MAX_NORM. A row is a batch, so
# that it is compiled once.
MATRICES = {
    "square": lambda: np.stack(
        [
            normal(3, 3, seed=1),
            np.eye(3),
            with_singular_values(1.0, 1.0, 1.0),
            with_singular_values(2.0, 2.0, 0.5),
            with_singular_values(0.8, 0.8, 0.3),
            with_singular_values(0.91, 0.905, 0.89),
            with_singular_values(9.0, 4.0, 1.1),
        ]
    ),
    "tall": lambda: np.stack(
        [
            normal(4, 2, seed=2),
            with_singular_values(1.0, 1.0, rows=4),
            with_singular_values(0.5, 0.5, rows=4),
            with_singular_values(2.0, 0.5, rows=4),
        ]
    ),
    "wide": lambda: normal(2, 2, 3, seed=2),
    "one": lambda: np.array([[-1.7]]),
}


def differences(function, w, upstream):
    """The gradient of `sum(upstream * function(w))`, entry by entry."""
    gradient = np.zeros_like(w)
    for i, j in np.ndindex(w.shape[-2:]):
        e = np.zeros_like(w)
        e[..., i, j] = STEP
        slope = (function(w + e) - function(w - e)) / (2 * STEP)
        gradient[..., i, j] = np.sum(upstream * slope, axis=(-2, -1))
    return gradient


def gradient(project, w, upstream, dtype="float32"):
    """That of `sum(upstream * project(w))`, by the active backend."""
    w, upstream = (ops.convert_to_tensor(x, dtype) for x in (w, upstream))
    if BACKEND == "torch":
        w.requires_grad_()
        project(w).backward(upstream)
        result = w.grad
    elif BACKEND == "jax":
        import jax

        # Compiled as a whole, which takes half as long as one operation after another.
        (result,) = jax.jit(lambda w, up: jax.vjp(project, w)[1](up))(w, upstream)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(w)
            out = project(w)
        result = tape.gradient(out, w, upstream)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    if dtype in ("float16", "bfloat16"):
        result = ops.cast(result, "float32")
    return np.asarray(ops.convert_to_numpy(result))


@each_map
@pytest.mark.parametrize("matrix", MATRICES)
def test_the_gradient_is_that_of_differences(matrix, name):
    check_gradient(name, "auto", MATRICES[matrix]())


@each_map
@pytest.mark.parametrize("method", ["svd", "newton_schulz"])
def test_the_gradient_is_the_same_for_each_method(method, name):
    check_gradient(name, method, MATRICES["square"]())


def check_gradient(name, method, w):
    make, exact = MAPS[name]
    upstream = normal(*w.shape, seed=6)
    with precision("float64"):
        found = gradient(make(method), w, upstream, "float64")
    expected = differences(exact, w, upstream)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@each_map
def test_the_same_in_a_compiled_function(name):
    make, exact = MAPS[name]
    w, upstream = with_singular_values(2.0, 1.0, 0.5), normal(3, 3, seed=7)
    with precision("float64"):
        matrix, weight = ops.convert_to_tensor(w), ops.convert_to_tensor(upstream)
        project = make("auto")
        compiled = _backend.gradients(lambda xs: ops.sum(weight * project(xs[0])))
        (found,) = compiled([matrix])
        found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, differences(exact, w, upstream), atol=TOLERANCE)


def test_at_an_orthogonal_matrix_it_is_half_of_what_is_skew():
    q, g = with_singular_values(1.0, 1.0, 1.0, 1.0), normal(4, 4, seed=8)
    found = gradient(unitary("auto"), q, g)
    # The rounding of float32, of its SVD above all: 2e-6 on some backends.
    np.testing.assert_allclose(found, (g - q @ g.T @ q) / 2, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (6, 2)], ids=str)
def test_at_a_projected_kernel_the_clip_passes_the_gradient_on(shape):
    project = contractive("auto")
    w = project(ops.convert_to_tensor(5 * normal(*shape), "float32"))
    w = ops.convert_to_numpy(w)
    norm = np.linalg.norm(w.astype("float64"), 2)
    np.testing.assert_allclose(norm, MAX_NORM, rtol=1e-6, err_msg="the premise")
    g = normal(*shape, seed=9).astype("float32")
    np.testing.assert_array_equal(gradient(project, w, g), g)


# No derivative of the polar factor: finite all the same.
SINGULAR = {
    "zero": lambda: np.zeros((4, 4)),
    "rank 1": lambda: np.ones((4, 4)),
    "rank n - 1": lambda: with_singular_values(2.0, 1.0, 0.5, 0.0),
    "tall": lambda: with_singular_values(2.0, 0.0, rows=4),
}


@each_map
@pytest.mark.parametrize("matrix", SINGULAR)
def test_finite_at_singular_matrices(matrix, name):
    w = SINGULAR[matrix]()
    g = normal(*w.shape, seed=10)
    found = gradient(MAPS[name][0]("auto"), w, g)
    assert np.all(np.isfinite(found))
    assert np.max(np.abs(found)) <= 100 * np.max(np.abs(g)), "not by 1 / rounding"


def test_the_clip_has_a_derivative_at_singular_matrices():
    w, g = with_singular_values(2.0, 0.5, 0.0, 0.0), normal(4, 4, seed=11)
    found = gradient(contractive("auto"), w, g)
    # The rounding of float32 and of its SVD.
    np.testing.assert_allclose(found, differences(clip, w, g), atol=1e-5)


@each_map
@pytest.mark.parametrize("scale", [1e-42, 1e-38, 1e-20, 1e20, 3e37])
def test_never_nan_at_any_scale(scale, name):
    w, g = normal(4, 4), normal(4, 4, seed=12)
    found = gradient(MAPS[name][0]("auto"), scale * w, g)
    assert not np.any(np.isnan(found))
    if scale in (1e-20, 1e20):  # P(c W) = P(W), and min(σ, m) = m P beyond the set
        expected = {
            ("polar", 1e-20): lambda: differences(polar, w, g) / scale,
            ("polar", 1e20): lambda: differences(polar, w, g) / scale,
            ("clip", 1e-20): lambda: g,
            ("clip", 1e20): lambda: MAX_NORM * differences(polar, w, g) / scale,
        }[name, scale]()
        atol = 1e-5 * condition(w) * np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, atol=atol)


def condition(w):
    return np.linalg.cond(w)


@each_map
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_gradient_passes_where_the_kernel_is_not_finite(bad, name):
    w, g = normal(2, 3, 3), normal(2, 3, 3, seed=13).astype("float32")
    w[0, 1, 2] = bad
    found = gradient(MAPS[name][0]("auto"), w, g)
    np.testing.assert_array_equal(found[0], g[0])
    assert np.all(np.isfinite(found[1]))


@each_map
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype, name):
    make, exact = MAPS[name]
    w, g = with_singular_values(2.0, 1.5, 0.5), normal(3, 3, seed=14)
    found = gradient(make("auto"), w, g, dtype)
    # Matrix, direction and result are rounded; the derivative of the first is about 1.
    atol = 4 * linalg.EPSILON[dtype] * np.max(np.abs(g))
    np.testing.assert_allclose(found, differences(exact, w, g), atol=atol)


@each_map
def test_a_training_step_runs_no_derivative(name, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a derivative was asked for")

    monkeypatch.setattr(linalg.polar, "polar_derivative", refuse)
    monkeypatch.setattr(linalg.clipping, "clip_derivative", refuse)
    project = MAPS[name][0]("auto")
    with pytest.raises(AssertionError, match="asked for"):
        gradient(project, np.eye(3), np.eye(3))
    dense = keras.layers.Dense(3, kernel_constraint=project)
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile("sgd", "mse")
    x = normal(4, 3).astype("float32")
    assert np.isfinite(model.train_on_batch(x, x))


@each_map
def test_second_derivatives_are_refused(name):
    project = MAPS[name][0]("auto")
    w = normal(3, 3).astype("float32")
    with pytest.raises(NotImplementedError, match=r"a first derivative only.*\(3, 3\)"):
        second_derivative(lambda w: ops.sum(project(w) ** 3), w)


# PyTorch 2.13 compiles a script of its own for it, and warns that this is deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.skipif(BACKEND == "tensorflow", reason="no forward mode of its own")
@each_map
def test_forward_mode_is_the_adjoint_of_the_gradient(name):
    project = MAPS[name][0]("auto")
    w, direction = normal(3, 3), normal(3, 3, seed=15)
    pair = [ops.convert_to_tensor(x, "float32") for x in (w, direction)]
    if BACKEND == "jax":
        import jax

        _, along = jax.jvp(project, pair[:1], pair[1:])
    else:
        import torch

        _, along = torch.func.jvp(project, tuple(pair[:1]), tuple(pair[1:]))
    along = ops.convert_to_numpy(along)
    np.testing.assert_allclose(along, gradient(project, w, direction), atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's XLA")
def test_a_clip_compiled_by_itself_has_a_gradient():
    # Of 97 to 256 rows: XLA has no gradient of the loops inside.
    size = 100
    s = MAX_NORM * np.linspace(0.9, 1.057, size)  # none on the bound
    u, v = polar(normal(size, size, seed=16)), polar(normal(size, size, seed=17))
    w, weight = (u * s) @ v, normal(size, size, seed=18)
    direction = 1e-6 * normal(size, size, seed=19)
    slope = np.sum(direction * gradient(contractive("auto"), w, weight, "float64"))
    ahead, behind = clip(w + direction), clip(w - direction)
    # Some of the differences' 10⁴ directions nearly touch the bound.
    np.testing.assert_allclose(
        slope, 0.5 * np.sum(weight * (ahead - behind)), rtol=1e-5
    )

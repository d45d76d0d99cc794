"""The maps onto the sets, against SciPy's polar factor and NumPy's SVD."""

import time
from functools import cache

import keras
import numpy as np
import pytest
import scipy.linalg
from keras import ops

from keras_urnn import linalg
from tests.helpers import precision

# Square, tall, wide, and a batch of them: what a kernel can be.
SHAPES = [
    *[(1, 1), (17, 17), (9, 4), (4, 9), (2, 2, 4, 6)],
    *[pytest.param((n, n), marks=pytest.mark.once) for n in (2, 3, 8)],
]
MAX_NORM = 0.9
# "newton_schulz" clips as "auto" does: one test says so, and the others leave it out.
CLIP_METHODS = ("auto", "svd")


def dtypes():
    # JAX has no float64 unless it is asked for it, as `test_float64_under_jax` does.
    return ["float32"] if keras.backend.backend() == "jax" else ["float32", "float64"]


def near(seed, shape, distance=0.02):
    """A matrix one optimizer step away from orthonormal columns or rows."""
    rng = np.random.default_rng(seed)
    return polar(rng.normal(size=shape)) + distance * rng.normal(size=shape)


def far(seed, shape, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=shape)


def polar(w):
    """The oracle: SciPy's polar factor, matrix by matrix."""
    flat = w.reshape(-1, *w.shape[-2:])
    return np.stack([scipy.linalg.polar(matrix)[0] for matrix in flat]).reshape(w.shape)


def clip(w, max_norm):
    """The oracle: the singular values clipped in NumPy's float64 SVD."""
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    return (u * np.minimum(s, max_norm)[..., None, :]) @ vt


@cache
def compiled_once(function, *args):
    """`function(w, *args)`. JAX would compile its loops again in each call."""
    if keras.config.backend() != "jax":
        return lambda w: function(w, *args)
    import jax

    return jax.jit(lambda w: function(w, *args))


def apply(function, w, *args, dtype="float32"):
    out = compiled_once(function, *args)(ops.convert_to_tensor(w.astype(dtype)))
    assert ops.dtype(out) == dtype
    return np.asarray(ops.convert_to_numpy(out))


def condition(w):
    s = np.linalg.svd(w, compute_uv=False)
    return np.max(s[..., 0] / s[..., -1])


def gram_error(q):
    transposed = np.swapaxes(q, -1, -2).astype("float64")
    gram = transposed @ q if q.shape[-2] >= q.shape[-1] else q @ transposed
    return np.max(np.abs(gram - np.eye(gram.shape[-1])))


def check_polar(w, method, dtype):
    q = apply(linalg.polar_factor, w, method, dtype=dtype)
    eps, n = linalg.EPSILON[dtype], min(w.shape[-2:])
    # L1 of the design, for whatever weights.
    assert gram_error(q) <= 4 * n * eps
    # 1e-6 in float32 (8 eps), plus what the last digits of w decide: a relative
    # change of eps in w moves its polar factor by up to eps * condition. Both sides
    # round: in float64 SciPy is no better than we are.
    exact = polar(w.astype(dtype).astype("float64"))
    assert np.max(np.abs(q - exact)) <= 2 * eps * (4 + n + 2 * condition(w))
    return q


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("method", linalg.METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_polar_factor_is_scipys(shape, method, dtype):
    check_polar(near(1, shape), method, dtype)
    check_polar(far(2, shape), method, dtype)
    check_polar(far(3, shape, scale=1e4), method, dtype)
    check_polar(far(4, shape, scale=1e-4), method, dtype)


@pytest.mark.parametrize("method", linalg.METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_polar_factor_near_the_set_is_the_svds_to_1e_6(shape, method):
    w = near(5, shape).astype("float32")
    assert gram_error(w) > 1e-3, "the premise: a step away"
    q = apply(linalg.polar_factor, w, method)
    assert np.max(np.abs(q - polar(w.astype("float64")))) <= 1e-6
    assert gram_error(q) <= 1e-6


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("method", linalg.METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_polar_factor_is_idempotent_and_keeps_what_is_orthogonal(shape, method, dtype):
    q = apply(linalg.polar_factor, far(6, shape), method, dtype=dtype)
    np.testing.assert_array_equal(apply(linalg.polar_factor, q, method, dtype=dtype), q)
    # An orthogonal matrix rounded once, to float32: SciPy's float64 is exact there.
    rounded = polar(far(7, shape)).astype("float32")
    np.testing.assert_array_equal(apply(linalg.polar_factor, rounded, method), rounded)


def test_polar_factor_is_not_the_q_of_qr():
    w = far(8, (64, 64))
    q, _ = np.linalg.qr(w)
    assert np.max(np.abs(apply(linalg.polar_factor, w) - q)) > 0.1


@pytest.mark.parametrize("method", ["auto", "svd"])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_rank_deficient_matrices_get_one_of_the_nearest(rank, method):
    rng = np.random.default_rng(9)
    w = rng.normal(size=(5, rank)) @ rng.normal(size=(rank, 5))
    q = apply(linalg.polar_factor, w, method)
    assert gram_error(q) <= 20 * linalg.EPSILON["float32"]
    # ‖W - Q‖_F is least exactly where trace(QᵀW) is the sum of the singular values.
    nuclear = np.linalg.norm(w, "nuc")
    assert np.trace(q.T @ w) == pytest.approx(nuclear, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("dtype", dtypes())
def test_singular_values_of_all_sizes_and_zero_get_one_of_the_nearest(dtype):
    rng = np.random.default_rng(10)
    sizes = 10.0 ** rng.uniform(-8.0, 0.0, (500, 1, 6))
    sizes *= np.arange(6) < rng.integers(0, 7, (500, 1, 1))  # the rank is 0 to 6
    w = (rng.normal(size=(500, 8, 6)) * sizes) @ rng.normal(size=(500, 6, 6))
    q, rounding = apply(linalg.polar_factor, w, dtype=dtype), linalg.EPSILON[dtype]
    assert gram_error(q) <= 40 * rounding
    nuclear = np.sum(np.linalg.svd(w, compute_uv=False), axis=-1)
    found = np.sum(q * w, axis=(-2, -1))
    assert np.all(nuclear - found <= 100 * rounding * nuclear)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("roundings", [0.0, 0.5, 1.0, 2.0])
def test_half_precision_is_projected_as_soon_as_it_is_more_than_rounded(
    dtype, roundings
):
    eps = linalg.EPSILON[dtype]
    w = near(11, (8, 8), distance=roundings * eps)
    # Rounded once, an entry changes by half of eps of itself: XᵀX by eps, the norm by
    # less than eps.
    q = in_half(linalg.polar_factor, w, dtype)
    assert gram_error(q) <= 1.5 * eps
    r = in_half(linalg.clip_singular_values, MAX_NORM * w, dtype, MAX_NORM)
    assert np.linalg.norm(r, 2) <= MAX_NORM * (1.0 + eps)


def in_half(function, w, dtype, *args):
    """`function(w, *args)`, which a second time must change nothing."""
    once = function(ops.convert_to_tensor(w, dtype), *args)
    twice = function(once, *args)
    found = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (once, twice)]
    np.testing.assert_array_equal(*found)
    return found[0].astype("float64")


def test_newton_schulz_alone_says_nan_where_the_rank_is_deficient():
    assert np.all(
        np.isnan(apply(linalg.polar_factor, np.ones((3, 3)), "newton_schulz"))
    )


def check_clip(w, method, dtype, max_norm=MAX_NORM):
    out = apply(linalg.clip_singular_values, w, max_norm, method, dtype=dtype)
    eps, n = linalg.EPSILON[dtype], min(w.shape[-2:])
    norm = np.max(np.linalg.norm(out.astype("float64"), 2, axis=(-2, -1)))
    assert norm <= max_norm * (1 + 4 * n * eps)
    # To rounding relative to ‖W‖, as an SVD in the same precision would be. Both
    # sides round: in float64 the oracle is no better than we are.
    exact = clip(w.astype(dtype).astype("float64"), max_norm)
    scale = max(1.0, np.max(np.linalg.norm(w, 2, axis=(-2, -1))))
    assert np.max(np.abs(out - exact)) <= (16 + n) * eps * scale
    return out


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_clip_is_the_svds(shape, method, dtype):
    check_clip(near(10, shape), method, dtype)
    check_clip(far(11, shape), method, dtype)
    check_clip(far(12, shape, scale=30.0), method, dtype)


@pytest.mark.parametrize("shape", [(17, 17), (4, 9)], ids=str)
def test_clip_by_newton_schulz_is_that_of_auto(shape):
    for w in (near(10, shape), far(11, shape, scale=30.0)):
        auto, other = (
            apply(linalg.clip_singular_values, w, MAX_NORM, method)
            for method in ("auto", "newton_schulz")
        )
        np.testing.assert_array_equal(other, auto)


@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_clip_near_the_set_is_the_svds_to_1e_6(shape, method):
    u, _, vt = np.linalg.svd(far(13, shape), full_matrices=False)
    # Below, at, and a step above the bound.
    s = np.linspace(0.0, 1.1 * MAX_NORM, u.shape[-1])
    w = ((u * s) @ vt).astype("float32")
    assert np.max(np.linalg.norm(w, 2, axis=(-2, -1))) > MAX_NORM or s.size == 1
    out = apply(linalg.clip_singular_values, w, MAX_NORM, method)
    assert np.max(np.abs(out - clip(w.astype("float64"), MAX_NORM))) <= 1e-6


@pytest.mark.parametrize("dtype", dtypes())
@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_clip_is_idempotent_and_keeps_what_is_inside(shape, method, dtype):
    args = (MAX_NORM, method)
    out = apply(linalg.clip_singular_values, far(14, shape), *args, dtype=dtype)
    np.testing.assert_array_equal(
        apply(linalg.clip_singular_values, out, *args, dtype=dtype), out
    )
    for scale in (0.0, 1e-6, 0.999 * MAX_NORM):
        inside = (scale * polar(far(15, shape))).astype(dtype)
        np.testing.assert_array_equal(
            apply(linalg.clip_singular_values, inside, *args, dtype=dtype), inside
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", linalg.METHODS)
def test_what_is_not_finite_comes_back_and_spoils_no_neighbour(bad, method):
    w = near(16, (2, 6, 6)).astype("float32")
    w[0, 2, 3] = bad
    q = apply(linalg.polar_factor, w, method)
    np.testing.assert_array_equal(q[0], w[0])
    assert gram_error(q[1]) <= 1e-6
    c = apply(linalg.clip_singular_values, w, MAX_NORM, method)
    np.testing.assert_array_equal(c[0], w[0])
    assert np.linalg.norm(c[1], 2) <= MAX_NORM * (1 + 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_goes_through_float32(dtype):
    w = ops.cast(near(17, (8, 8)), dtype)
    q = linalg.polar_factor(w)
    assert keras.backend.standardize_dtype(q.dtype) == dtype
    # Its entries can be no nearer than to the rounding of the dtype.
    difference = to_double(q) - polar(to_double(w))
    assert np.max(np.abs(difference)) <= linalg.EPSILON[dtype]
    np.testing.assert_array_equal(to_double(linalg.polar_factor(q)), to_double(q))


# From next to where the series ends up to the last below the largest float32.
FAR_SCALES = [2.0, 30.0, 1e3, 1e5, 1e7, 1e12, 1e30, 3e37]
FAR_SHAPES = [(1, 1), (2, 2), (8, 8), (9, 4), (4, 9)]


def graded(seed, n, largest, least=1e-3):
    """Singular values over many powers of ten, some of them below MAX_NORM."""
    s = np.geomspace(largest, least, n)
    return (polar(far(seed, (n, n))) * s) @ polar(far(seed + 1, (n, n)))


def on_set(out, max_norm, eps=linalg.EPSILON["float32"]):
    n = min(out.shape[-2:])
    norms = np.linalg.norm(out.astype("float64"), 2, axis=(-2, -1))
    return np.max(norms) <= max_norm * (1 + 4 * n * eps)


@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("shape", FAR_SHAPES, ids=str)
def test_clip_is_the_nearest_matrix_from_any_distance(shape, method):
    eps, n, clipped = linalg.EPSILON["float32"], min(shape), 0
    for seed, scale in enumerate(FAR_SCALES):
        w = far(31 + seed, shape, scale).astype("float32").astype("float64")
        out = apply(linalg.clip_singular_values, w, MAX_NORM, method)
        error = np.max(np.abs(out - clip(w, MAX_NORM)))
        assert on_set(out, MAX_NORM)
        s = np.linalg.svd(w, compute_uv=False)
        if s[-1] > 1.01 * MAX_NORM:
            # The polar factor's: a change of W by eps moves it by eps * condition.
            clipped += 1
            assert error <= eps * (4 + condition(w)), scale
        else:
            # What a backward-stable SVD gives; for small n, the last two digits.
            assert error <= max(n, 4) * eps * max(s[0], MAX_NORM), scale
    assert clipped >= 6, "the premise: mostly all singular values stand out"


@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("largest", [3.0, 1e2, 1e4, 1e6, 1e9, 1e30])
def test_clip_where_the_bound_is_among_the_singular_values(largest, method):
    w = graded(41, 6, largest).astype("float32")
    out = apply(linalg.clip_singular_values, w, MAX_NORM, method)
    error = np.max(np.abs(out - clip(w.astype("float64"), MAX_NORM)))
    assert error <= 6 * linalg.EPSILON["float32"] * largest
    assert on_set(out, MAX_NORM)
    again = apply(linalg.clip_singular_values, out, MAX_NORM, method)
    np.testing.assert_array_equal(again, out)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e6, 1e30, 3e38])
@pytest.mark.parametrize("method", CLIP_METHODS)
def test_clip_of_a_multiple_of_the_unit_matrix(method, scale):
    out = apply(linalg.clip_singular_values, scale * np.eye(5), MAX_NORM, method)
    np.testing.assert_allclose(out, MAX_NORM * np.eye(5), atol=1e-6)


# At the ends of the dtype's range: the least and the largest normal number, and below.
@pytest.mark.parametrize("method", CLIP_METHODS)
@pytest.mark.parametrize("max_norm", [1.0, 1e-10, 1e-25, 1e-37, 1e-39, 5e-324])
def test_clip_at_the_ends_of_the_range_is_on_the_set(max_norm, method):
    signs = np.sign(far(42, (5, 5)))
    for scale in (3.4e38, 1.0, 1e-12, 1e-24, 1e-38, 1e-42, 0.0):
        out = apply(linalg.clip_singular_values, scale * signs, max_norm, method)
        assert np.all(np.isfinite(out))
        # Below the least normal number entries are rounded to multiples of 1.4e-45;
        # TensorFlow and JAX make them 0.
        rounding = 5 * (1.4e-45 if keras.config.backend() == "torch" else 1.2e-38)
        norm = np.linalg.norm(out.astype("float64"), 2)
        assert norm <= max_norm * (1 + 20 * linalg.EPSILON["float32"]) + rounding
        if scale > 1e-38 and 1e-37 <= max_norm < scale:
            exact = clip((scale * signs).astype("float32").astype("float64"), max_norm)
            np.testing.assert_allclose(out, exact, atol=1e-5 * max_norm + rounding)


@pytest.mark.parametrize("method", linalg.METHODS)
@pytest.mark.parametrize("scale", [3e37, 1e30, 1e20, 1e-20, 1e-30, 1e-37])
def test_polar_factor_at_any_scale(scale, method):
    if scale == 1e-37 and keras.config.backend() != "torch":
        scale = 1e-31  # TensorFlow and JAX make entries below 1.2e-38 zeros
    q = apply(linalg.polar_factor, scale * near(18, (6, 6)), method)
    assert np.max(np.abs(q - polar(near(18, (6, 6))))) <= 2e-6
    assert gram_error(q) <= 24 * linalg.EPSILON["float32"]


@pytest.mark.parametrize("method", linalg.METHODS)
def test_distant_matrices_of_a_batch_leave_those_on_the_set_unchanged(method):
    inside, orthogonal = 0.5 * polar(far(43, (4, 4))), polar(far(44, (4, 4)))
    kept = np.stack([0.0 * inside, 1e-30 * inside, inside, MAX_NORM * orthogonal])
    kept = apply(linalg.clip_singular_values, kept, MAX_NORM, method)
    batch = np.concatenate([far(45, (2, 4, 4), 1e30), kept, far(46, (1, 4, 4), 50.0)])
    out = apply(linalg.clip_singular_values, batch, MAX_NORM, method)
    np.testing.assert_array_equal(out[2:6], kept)
    assert on_set(out, MAX_NORM)
    batch = np.stack([1e30 * orthogonal, orthogonal, 1e-30 * orthogonal])
    out = apply(linalg.polar_factor, batch, method)
    np.testing.assert_array_equal(out[1], orthogonal.astype("float32"))
    assert gram_error(out) <= 16 * linalg.EPSILON["float32"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_clip_of_half_precision_from_afar(dtype):
    w = ops.cast(far(47, (6, 6), 1e3), dtype)
    out = linalg.clip_singular_values(w, MAX_NORM)
    exact = clip(to_double(w), MAX_NORM)
    assert np.max(np.abs(to_double(out) - exact)) <= linalg.EPSILON[dtype]
    np.testing.assert_array_equal(
        to_double(linalg.clip_singular_values(out, MAX_NORM)), to_double(out)
    )


def to_double(x):
    return np.asarray(ops.convert_to_numpy(ops.cast(x, "float32")), "float64")


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="float64 runs in process")
@pytest.mark.parametrize("method", linalg.METHODS)
@pytest.mark.parametrize("scale", [1e-300, 1e3, 1e16, 1e300, 1e307])
def test_float64_at_any_scale(scale, method):
    w = far(48, (6, 6), scale)
    out = apply(linalg.clip_singular_values, w, MAX_NORM, method, dtype="float64")
    eps = linalg.EPSILON["float64"]
    assert np.max(np.abs(out - clip(w, MAX_NORM))) <= 2 * eps * (4 + condition(w))
    check_polar(w, method, "float64")


@pytest.mark.parametrize(
    ("size", "share"), [(128, 0.1), (128, 0.5), (128, 1.0), (512, 0.5)]
)
def test_clip_of_large_kernels_a_step_away_is_the_svds(size, share):
    # So many singular values on the bound, which an optimizer step moves by either
    # sign, and the others anywhere below.
    rng = np.random.default_rng(21)
    s = np.where(np.arange(size) < share * size, MAX_NORM, MAX_NORM * rng.random(size))
    w = (polar(far(22, (size, size))) * s) @ polar(far(23, (size, size)))
    w = (w + 1e-3 * rng.choice([-1.0, 1.0], w.shape)).astype("float32")
    exact = clip(w.astype("float64"), MAX_NORM)
    assert np.max(np.abs(w - exact)) > 1e-5, "the premise: something stands out"
    out = apply(linalg.clip_singular_values, w, MAX_NORM)
    assert np.max(np.abs(out - exact)) <= 1e-6
    norm = np.linalg.norm(out.astype("float64"), 2)
    assert norm <= MAX_NORM * (1 + 4 * size * linalg.EPSILON["float32"])
    np.testing.assert_array_equal(
        apply(linalg.clip_singular_values, out, MAX_NORM), out
    )


@pytest.mark.parametrize(("scale", "near"), [(0.5, True), (1.01, True), (3.0, False)])
def test_one_sign_iteration_is_enough_near_the_ball(scale, near):
    w = scale * MAX_NORM * polar(far(24, (64, 64)))
    unit = ops.convert_to_tensor(w / MAX_NORM, "float32")
    excess, found = linalg.clipping._near_excess(unit)
    assert bool(ops.convert_to_numpy(found)) == near
    if near:
        out = w - MAX_NORM * np.asarray(ops.convert_to_numpy(excess))
        assert np.max(np.abs(out - clip(w, MAX_NORM))) <= 1e-6


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's XLA")
def test_xla_compiles_once_for_all_matrices():
    import tensorflow as tf

    clip_compiled = tf.function(
        lambda w: linalg.clip_singular_values(w, MAX_NORM), jit_compile=True
    )
    seconds = []
    for scale in (1.0, 1.0 + 1e-5, 1.0 + 1e-3, 2.0):
        w = tf.constant(scale * MAX_NORM * polar(far(26, (8, 8))), "float32")
        start = time.perf_counter()
        clip_compiled(w).numpy()
        seconds.append(time.perf_counter() - start)
    assert max(seconds[1:]) < 0.2 * seconds[0]


@pytest.mark.parametrize("size", [1, 3, 64, 512])
def test_norm_bound_is_above_the_norm_and_close(size):
    w = far(19, (size, size))
    norm = np.linalg.norm(w, 2)
    bound = float(
        ops.convert_to_numpy(linalg.norm_bound(ops.convert_to_tensor(w)))[0, 0]
    )
    # float32 rounding of sixteen factors.
    assert norm * (1 - 1e-5) <= bound <= norm * size ** (1 / 16) * (1 + 1e-5)


def test_norm_bound_of_a_large_orthogonal_matrix():
    # Its Hölder bound is 18, and 18^-16 squared is 0 in float32.
    w = ops.convert_to_tensor(polar(far(25, (512, 512))), "float32")
    bound = float(ops.convert_to_numpy(linalg.norm_bound(w))[0, 0])
    assert 1.0 - 1e-5 <= bound <= 512 ** (1 / 16) * (1 + 1e-5)


def test_norm_bound_of_zero_can_be_divided_by():
    assert apply(linalg.norm_bound, np.zeros((3, 3))) == 1.0


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="float64 runs in process")
def test_float64_under_jax():
    with precision("float64"):
        for shape in [(4, 9), (17, 17)]:
            for method in linalg.METHODS:
                q = check_polar(far(2, shape), method, "float64")
                again = apply(linalg.polar_factor, q, method, dtype="float64")
                np.testing.assert_array_equal(again, q)
            for method in CLIP_METHODS:
                check_clip(far(11, shape), method, "float64")

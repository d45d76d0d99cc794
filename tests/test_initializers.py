"""Where recurrent matrices start: on their set, and of the right distribution."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.initializers import (
    CayleyAngles,
    ContractiveInitializer,
    Cycle,
    Haar,
    Henaff,
)
from tests.helpers import EPSILON, precision, to_numpy

EPS = EPSILON["float32"]
# What each makes without and with a seed. A new initializer is one new row.
ORTHOGONAL: dict[str, Any] = {
    "haar": Haar,
    "haar-SO": lambda seed=None: Haar("SO", seed),
    "haar-U": lambda seed=None: Haar("U", seed),
    "henaff": Henaff,
    "cayley-angles": CayleyAngles,
}
SEEDED = {
    **ORTHOGONAL,
    "contractive": lambda seed=None: ContractiveInitializer(0.5, seed),
}
ALL = {**SEEDED, "cycle": Cycle}
each = pytest.mark.parametrize("name", ALL)
each_seeded = pytest.mark.parametrize("name", SEEDED)


def draw(initializer: Any, n: int, dtype: str = "float32") -> Any:
    return to_numpy(initializer((n, n), dtype))


def test_every_initializer_has_a_row() -> None:
    kinds = {getattr(ku.initializers, name) for name in ku.initializers.__all__}
    assert {type(make()) for make in ALL.values()} == kinds


@pytest.mark.parametrize("n", [1, 2, 3, 8, 17])
@pytest.mark.parametrize("name", [*ORTHOGONAL, "cycle"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_orthogonal(name: str, n: int, dtype: str) -> None:
    n = 2 * n if name == "haar-U" else n
    with precision(dtype):
        W = draw(ALL[name](), n, dtype)
    error = np.max(np.abs(W.T @ W - np.eye(n)))
    assert error <= 4 * n * EPSILON[dtype]


@each
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rounds_what_float32_gives(name: str, dtype: str) -> None:
    make = ALL[name]
    seeded = make() if name == "cycle" else make(seed=3)
    found, exact = seeded((4, 4), dtype), draw(seeded, 4)
    assert keras.ops.dtype(found) == dtype
    found = to_numpy(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(found, exact, rtol=2.0**-8, atol=0)


@each_seeded
def test_seeds_are_as_keras_own(name: str) -> None:
    make = SEEDED[name]
    one = make(seed=1)
    np.testing.assert_array_equal(draw(one, 4), draw(one, 4))
    np.testing.assert_array_equal(draw(one, 4), draw(make(seed=1), 4))
    assert np.max(np.abs(draw(one, 4) - draw(make(seed=2), 4))) > 1e-3
    assert np.max(np.abs(draw(make(), 4) - draw(make(), 4))) > 1e-3
    generator = make(seed=keras.random.SeedGenerator(1))
    assert np.max(np.abs(draw(generator, 4) - draw(generator, 4))) > 1e-3
    keras.utils.set_random_seed(5)
    first = draw(make(), 4)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(draw(make(), 4), first)


@each
def test_config_and_clone_give_the_same(name: str) -> None:
    initializer = ALL[name]() if name == "cycle" else SEEDED[name](seed=7)
    config = keras.initializers.serialize(initializer)
    assert config["registered_name"].startswith("keras_urnn>")
    for copy in (keras.initializers.deserialize(config), initializer.clone()):
        assert type(copy) is type(initializer)
        assert copy.get_config() == initializer.get_config()
        np.testing.assert_array_equal(draw(copy, 4), draw(initializer, 4))


def draw_complex(initializer: Any, n: int, dtype: str = "float32") -> Any:
    """The matrix that a cell of `n` complex states starts from."""
    A, B = np.split(to_numpy(initializer((n, 2 * n), dtype)), 2, axis=1)
    return A + 1j * B


@each
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_complex_states_it_is_unitary_or_of_its_norm(
    name: str, n: int, dtype: str
) -> None:
    with precision(dtype):
        W = draw_complex(ALL[name](), n, dtype)
    if name == "contractive":
        assert np.linalg.norm(W, 2) == pytest.approx(0.5, rel=8 * n * EPSILON[dtype])
    else:
        error = np.max(np.abs(W.conj().T @ W - np.eye(n)))
        assert error <= 8 * n * EPSILON[dtype]
    is_real = name in ("haar", "haar-SO", "cycle")
    assert (np.max(np.abs(W.imag)) > 1e-3) != is_real


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [(Henaff, -np.pi, np.pi), (CayleyAngles, -np.pi / 2, 0.0)],
    ids=["henaff", "cayley-angles"],
)
def test_of_complex_states_it_is_a_diagonal_of_phases(
    make: Any, low: float, high: float
) -> None:
    W = draw_complex(make(seed=1), 100)
    np.testing.assert_array_equal(W - np.diag(np.diag(W)), 0.0)
    angles = np.angle(np.diag(W))
    assert np.all((angles >= low) & (angles <= high))
    # 100 of them: mean within 5 standard deviations.
    width = high - low
    assert abs(np.mean(angles) - (low + high) / 2) < 5 * width / np.sqrt(12 * 100)


def test_of_complex_states_a_cycle_is_the_same() -> None:
    np.testing.assert_array_equal(draw_complex(Cycle(), 5), draw(Cycle(), 5))


@pytest.mark.once
def test_haar_of_complex_states_has_the_moments_of_its_measure() -> None:
    # Of U(2): the mean of |tr W^k|² is min(k, 2).
    haar = from_generator(ORTHOGONAL["haar-U"])
    drawn = [draw_complex(haar, 2) for _ in range(300)]
    traces = np.array([[np.trace(W), np.trace(W @ W)] for W in drawn])
    moments = np.mean(np.abs(traces) ** 2, axis=0)
    # The standard deviation of the second is 2 at most, of 300 draws 0.12.
    np.testing.assert_allclose(moments, [1.0, 2.0], rtol=0, atol=0.6)
    assert np.abs(np.mean(traces)) < 0.3


@each
def test_a_layer_of_complex_states_starts_from_it(name: str) -> None:
    initializer = ALL[name]() if name == "cycle" else SEEDED[name](seed=7)
    kind = ku.ContractiveRNN if name == "contractive" else ku.UnitaryRNN
    complex_numbers = ku.parametrizations.Projection(field="complex")
    layer = kind(
        3,
        "modrelu",
        recurrent_initializer=initializer,
        parametrization=complex_numbers,
    )
    layer.build((None, None, 3))
    A, B = np.split(to_numpy(layer.recurrent_matrix())[:3], 2, axis=1)
    expected = draw_complex(initializer, 3)
    np.testing.assert_allclose(A + 1j * B, expected, rtol=0, atol=16 * EPS)


@each
@pytest.mark.parametrize("shape", [(3, 4), (3,), (2, 3, 3)], ids=str)
def test_it_refuses_shapes_that_are_not_square(name: str, shape: Any) -> None:
    with pytest.raises(ValueError, match=r"`shape` must be square, \(n, n\)\. Rec"):
        ALL[name]()(shape)


@each
def test_it_refuses_dtypes_without_fractions(name: str) -> None:
    with pytest.raises(ValueError, match=r"`dtype` must be a floating dtype.*int32"):
        ALL[name]()((4, 4), "int32")


def test_the_others_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r'`group` must be one of "O", "SO", "U"'):
        Haar("SU")
    with pytest.raises(ValueError, match=r'`shape` must be of an even size with.*"U"'):
        Haar("U")((3, 3))
    for seed in (-1, 2**31, 1.5, True, "1", {}, {"class_name": "Haar"}):
        with pytest.raises(ValueError, match=r"`seed` must be None, an integer in \[0"):
            Henaff(seed)
    with pytest.raises(ValueError, match=r"`norm` must be a number in \(0, 1\]"):
        ContractiveInitializer(1.5)


def many(initializer: Any, n: int, count: int) -> Any:
    """Independent draws, of shape `(count, n, n)`."""
    return np.stack([draw(initializer, n) for _ in range(count)])


def from_generator(make: Any) -> Any:
    return make(seed=keras.random.SeedGenerator(11))


@pytest.mark.once
@pytest.mark.parametrize("name", ["haar", "haar-SO", "haar-U"])
def test_haar_has_the_moments_of_its_measure(name: str) -> None:
    n, count = 4, 500
    W = many(from_generator(ORTHOGONAL[name]), n, count)
    # Of a random point of the sphere: E w = 0, E w² = 1/n, E w⁴ = 3 / (n (n + 2)).
    # Those of U(n/2), with w = Re u for a point u of the complex one, are the same. A
    # mean of 500 draws is within 5 of its standard deviations, at most 0.5 / √500.
    off = 5.0 * 0.5 / np.sqrt(count)
    for power, moment in ((1, 0.0), (2, 1.0 / n), (4, 3.0 / (n * (n + 2)))):
        np.testing.assert_allclose(np.mean(W**power, axis=0), moment, rtol=0, atol=off)
    # E tr W = 0 and E (tr W)² = 1, for U of the real form 2: traces tell apart what
    # single entries don't, as QR without its signs, whose E tr W is not 0.
    traces = np.trace(W, axis1=1, axis2=2)
    second = 2.0 if name == "haar-U" else 1.0
    assert abs(np.mean(traces)) < 5.0 * np.sqrt(second / count)
    assert np.mean(traces**2) == pytest.approx(
        second, abs=5.0 * 2 * second / count**0.5
    )


@pytest.mark.once
def test_the_groups_have_their_determinants() -> None:
    determinants = np.linalg.det(many(from_generator(Haar), 3, 200))
    np.testing.assert_allclose(np.abs(determinants), 1.0, rtol=1e-5)
    # Both signs: 200 coins, within 5 deviations of a half.
    assert abs(np.mean(determinants > 0.0) - 0.5) < 5.0 * 0.5 / np.sqrt(200)
    for make in (ORTHOGONAL["haar-SO"], Henaff, CayleyAngles):
        rotations = many(from_generator(make), 3, 20)
        np.testing.assert_allclose(np.linalg.det(rotations), 1.0, rtol=1e-5)


def test_a_unitary_matrix_is_of_the_form_that_acts_on_complex_rows() -> None:
    W = draw(Haar("U", seed=1), 6)
    (A, B), (minus_B, again) = (np.split(row, 2, axis=1) for row in np.split(W, 2))
    np.testing.assert_array_equal(again, A)
    np.testing.assert_array_equal(minus_B, -B)
    U = A + 1j * B
    np.testing.assert_allclose(U.conj().T @ U, np.eye(3), rtol=0, atol=12 * EPS)
    h = np.arange(6.0)
    complex_step = (h[:3] + 1j * h[3:]) @ U
    expected = np.concatenate([complex_step.real, complex_step.imag])
    np.testing.assert_allclose(h @ W, expected, rtol=0, atol=100 * EPS)


def blocks(W: Any) -> Any:
    """The angles of the 2x2 blocks, once it is seen that there is nothing else."""
    n = len(W)
    angles = np.array([np.arctan2(W[i, i + 1], W[i, i]) for i in range(0, n - 1, 2)])
    expected = np.eye(n)
    for k, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        expected[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[cos, sin], [-sin, cos]]
    np.testing.assert_allclose(W, expected, rtol=0, atol=4 * EPS)
    return angles


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [(Henaff, -np.pi, np.pi), (CayleyAngles, -np.pi / 2, 0.0)],
    ids=["henaff", "cayley-angles"],
)
@pytest.mark.parametrize("n", [1, 2, 201])
def test_block_rotations_have_uniform_angles(
    make: Any, low: float, high: float, n: int
) -> None:
    angles = blocks(draw(make(seed=1), n))
    assert len(angles) == n // 2
    assert np.all((angles >= low) & (angles <= high))
    if n > 2:
        # 100 of them: mean and spread within 5 standard deviations.
        width = high - low
        assert abs(np.mean(angles) - (low + high) / 2) < 5 * width / np.sqrt(12 * 100)
        assert abs(np.std(angles) - width / np.sqrt(12)) < 5 * 0.13 * width / 10


def test_cayley_angles_are_the_formula_of_their_docstring() -> None:
    W = draw(CayleyAngles(seed=1), 5)
    t = -blocks(W)
    s = np.sqrt((1.0 - np.cos(t)) / (1.0 + np.cos(t)))
    A = np.diag([s[0], 0.0, s[1], 0.0], k=1)
    A = A - A.T
    expected = np.linalg.inv(np.eye(5) + A) @ (np.eye(5) - A)
    np.testing.assert_allclose(W, expected, rtol=0, atol=16 * EPS)
    cell = ku.UnitaryRNNCell(
        5, recurrent_initializer=CayleyAngles(seed=1), parametrization="cayley"
    )
    cell.build((None, 2))
    skew = np.tril(to_numpy(cell.recurrent_skew), -1)
    np.testing.assert_allclose(skew - skew.T, A, rtol=0, atol=16 * EPS)


def test_a_cycle_hands_each_state_on() -> None:
    h = np.arange(5.0)
    np.testing.assert_array_equal(h @ draw(Cycle(), 5), [4.0, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(draw(Cycle(), 1), [[1.0]])


@pytest.mark.parametrize("norm", [0.1, 0.999, 1.0])
@pytest.mark.parametrize("n", [1, 8, 17])
def test_the_norm_is_the_number(norm: float, n: int) -> None:
    W = draw(ContractiveInitializer(norm, seed=1), n)
    singular = np.linalg.svd(W, compute_uv=False)
    assert singular[0] == pytest.approx(norm, rel=4 * n * EPS)
    if n > 1:
        assert singular[-1] < 0.3 * norm


@each
def test_a_layer_starts_from_it(name: str) -> None:
    initializer = ALL[name]() if name == "cycle" else SEEDED[name](seed=7)
    kind = ku.ContractiveRNN if name == "contractive" else ku.UnitaryRNN
    layer = kind(4, recurrent_initializer=initializer)
    layer.build((None, None, 3))
    found = to_numpy(layer.recurrent_matrix())
    np.testing.assert_allclose(found, draw(initializer, 4), rtol=0, atol=16 * EPS)

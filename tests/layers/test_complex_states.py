"""Layers of complex states, against the recurrence in complex numbers in NumPy."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.linalg
from keras import ops

import keras_urnn as ku
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    TOLERANCE,
    Array,
    normal,
    precision,
    sequences,
    to_numpy,
)

GOLDEN = Path(__file__).parents[1] / "golden"
UNITS = 3
WIDTH = 2 * UNITS
MAPS: dict[str, Any] = {
    "projection": ku.parametrizations.Projection,
    "cayley": ku.parametrizations.Cayley,
    "exponential": ku.parametrizations.Exponential,
    "givens": ku.parametrizations.Givens,
}
EACH: dict[str, Any] = {
    **{name: partial(make, field="complex") for name, make in MAPS.items()},
    "fourier": ku.parametrizations.Fourier,
}
# To compile a training step of the others takes long, and their laws run anyway.
each_map = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=() if name in ("projection", "cayley") else pytest.mark.once
        )
        for name in EACH
    ],
)
each_full_map = pytest.mark.parametrize("name", MAPS)
MASK = np.random.default_rng(2).random((BATCH, STEPS)) < 0.6
MASK[:, 0] = True  # before the first output there is none to repeat
each_masked = pytest.mark.parametrize("mask", [None, MASK], ids=["all-steps", "masked"])


def layer_with(name: str = "projection", **options: Any) -> Any:
    parametrization = EACH[name]()
    arguments = {"activation": "modrelu", "learn_initial_state": True, **options}
    return ku.UnitaryRNN(UNITS, parametrization=parametrization, **arguments)


def built(layer: Any) -> Any:
    """The layer with weights none of which is zero; `R` stays on its set."""
    layer.build((BATCH, STEPS, FEATURES))
    cell = layer.cell
    weights = [cell.kernel, cell.bias, cell.learned_initial_state]
    weights += getattr(cell.activation, "weights", [])
    for seed, weight in enumerate(weights):
        if weight is not None:
            weight.assign(0.5 * normal(*weight.shape, seed=seed))
    return layer


def as_complex(parts: Any) -> Array:
    re, im = np.split(to_numpy(parts), 2, axis=-1)
    return re + 1j * im


def as_real(numbers: Array) -> Array:
    return np.concatenate([numbers.real, numbers.imag], axis=-1)


def modrelu(z: Array, b: Array) -> Array:
    modulus = np.abs(z)
    return z / modulus * np.maximum(modulus + b, 0.0)


def states_of(
    x: Array,
    kernel: Array,
    recurrent: Array,
    bias: Array,
    start: Array,
    of_modrelu: Array,
    mask: Array | None = None,
) -> Array:
    """`h_t = φ(h_{t-1} R + x_t K + b)` in complex numbers, as `[Re | Im]`."""
    K, R, b = map(as_complex, (kernel, recurrent, bias))
    h = np.broadcast_to(as_complex(start), (len(x), len(R)))
    states = []
    for t in range(x.shape[1]):
        new = modrelu(h @ R + x[:, t] @ K + b, of_modrelu)
        h = new if mask is None else np.where(mask[:, t, None], new, h)
        states.append(as_real(h))
    return np.stack(states, axis=1)


def expected_states(layer: Any, x: Array, mask: Array | None = None) -> Array:
    cell = layer.cell
    bias = np.zeros(WIDTH) if cell.bias is None else to_numpy(cell.bias)
    R = to_numpy(cell.recurrent_matrix())[:UNITS]
    weights = (cell.kernel, R, bias, cell.learned_initial_state, cell.activation.bias)
    return states_of(x, *map(to_numpy, weights), mask)


OPTIONS = [
    ("cayley", {}),
    ("projection", {}),
    ("projection", {"unroll": True}),
    pytest.param("exponential", {}, marks=pytest.mark.once),
    pytest.param("givens", {}, marks=pytest.mark.once),
    pytest.param("projection", {"use_bias": False}, marks=pytest.mark.once),
    pytest.param("projection", {"checkpoint_every": 3}, marks=pytest.mark.once),
]


@each_masked
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_states_are_those_in_complex_numbers(
    name: str, options: dict[str, Any], mask: Any
) -> None:
    layer = built(layer_with(name, return_sequences=True, return_state=True, **options))
    assert layer.uses_fused_recurrence == ("unroll" not in options)
    states, last = layer(sequences(), mask=mask)
    expected = expected_states(layer, sequences(), mask)
    tolerance = TOLERANCE["float32"]
    np.testing.assert_allclose(to_numpy(states), expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(to_numpy(last), expected[:, -1], rtol=0, atol=tolerance)
    assert np.any(expected == 0.0), "the premise: some states are switched off"
    if mask is None:
        loop = keras.layers.RNN(layer.cell, return_sequences=True)
        np.testing.assert_allclose(
            to_numpy(loop(sequences())), expected, rtol=0, atol=tolerance
        )


@each_masked
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "loop"])
def test_all_gradients_are_those_of_differences(fused: bool, mask: Any) -> None:
    with precision("float64"):
        layer = built(layer_with(return_sequences=True, unroll=not fused))
        inputs = keras.Input((STEPS, FEATURES), batch_size=BATCH)
        masks = keras.Input((STEPS,), batch_size=BATCH, dtype="bool")
        outputs = layer(inputs, mask=None if mask is None else masks)
        model = keras.Model([inputs, masks], outputs)
        x = sequences().astype("float64")
        y = normal(BATCH, STEPS, WIDTH, seed=9)
        found = gradients.of_error(model, [x, MASK], y)
        weights = [to_numpy(weight) for weight in model.trainable_variables]

        def error() -> float:
            return float(np.mean((states_of(x, *weights, mask) - y) ** 2))

        assert len(found) == 5
        for weight, gradient in zip(weights, found, strict=True):
            expected = gradients.differences(error, weight)
            # Of central differences: step² and eps / step.
            np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
            assert np.max(np.abs(expected)) > 1e-3


def complex_sequences(dtype: str = "complex64") -> Array:
    x = normal(BATCH, STEPS, FEATURES, 2)
    return (x[..., 0] + 1j * x[..., 1]).astype(dtype)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"go_backwards": True}])
def test_complex_inputs_are_taken_as_they_are(
    dtype: str, options: dict[str, Any]
) -> None:
    layer = built(layer_with(return_sequences=True, **options))
    x = complex_sequences(dtype)
    turned = x[:, ::-1] if "go_backwards" in options else x
    expected = expected_states(layer, turned)
    found = to_numpy(layer(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["float32"])
    loop = keras.layers.RNN(layer.cell, return_sequences=True, **options)
    np.testing.assert_allclose(
        to_numpy(loop(ops.convert_to_tensor(x))), found, rtol=0, atol=1e-5
    )


def test_a_model_of_complex_inputs_trains_and_predicts() -> None:
    layer = built(layer_with(dropout=0.25, recurrent_dropout=0.25))
    inputs = keras.Input((STEPS, FEATURES), dtype="complex64")
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, WIDTH)
    expected = expected_states(layer, complex_sequences())[:, -1]
    found = model.predict(complex_sequences(), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["float32"])
    model.compile("sgd", "mse")
    before = [to_numpy(weight) for weight in model.trainable_variables]
    model.fit(complex_sequences(), found + 1.0, verbose=0)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        assert np.max(np.abs(to_numpy(weight) - old)) > 1e-6, weight.path


def test_real_layers_refuse_complex_inputs() -> None:
    for layer in (ku.UnitaryRNN(3), ku.ContractiveRNN(3, unroll=True)):
        with pytest.raises(TypeError, match=r"`sequences`.*complex64.*complex states"):
            layer(ops.convert_to_tensor(complex_sequences()))


def test_dropout_drops_whole_numbers() -> None:
    layer = built(layer_with(dropout=0.5, recurrent_dropout=0.5, seed=1))
    cell = layer.cell
    x = ops.ones((4, 2 * FEATURES))
    masks = [
        cell.get_dropout_mask(x),
        cell.get_recurrent_dropout_mask(ops.ones((4, WIDTH))),
    ]
    for mask in map(to_numpy, masks):
        re, im = np.split(mask, 2, axis=-1)
        np.testing.assert_array_equal(re, im)
        assert set(np.unique(mask)) == {0.0, 2.0}


@each_map
def test_shapes_follow_the_width(name: str) -> None:
    layer = layer_with(name, return_sequences=True, return_state=True)
    assert (layer.cell.field, layer.cell.width) == ("complex", WIDTH)
    shapes = layer.compute_output_shape((BATCH, STEPS, FEATURES))
    assert [tuple(shape) for shape in shapes] == [(BATCH, STEPS, WIDTH), (BATCH, WIDTH)]
    symbolic = layer(keras.Input((None, FEATURES)))
    assert [tuple(one.shape) for one in symbolic] == [
        (None, None, WIDTH),
        (None, WIDTH),
    ]
    assert layer.cell.kernel.shape == (FEATURES, WIDTH)
    assert layer.cell.bias.shape == (WIDTH,)
    assert layer.cell.activation.bias.shape == (UNITS,)
    assert layer.recurrent_matrix().shape == (WIDTH, WIDTH)
    start = normal(BATCH, WIDTH).astype("float32")
    given, _ = layer(sequences(), initial_state=start)
    assert np.any(to_numpy(given) != to_numpy(layer(sequences())[0]))


def test_inside_other_layers_it_has_its_width() -> None:
    both = keras.layers.Bidirectional(layer_with())
    assert both(sequences()).shape == (BATCH, 2 * WIDTH)
    stack = keras.layers.RNN([layer_with().cell, layer_with("cayley").cell])
    assert stack(sequences()).shape == (BATCH, WIDTH)
    split = layer_with(output_units=2, return_state=True)
    shapes = [tuple(one.shape) for one in split(sequences())]
    assert shapes == [(BATCH, 2), (BATCH, 2), (BATCH, WIDTH - 2)]


@each_map
def test_saved_loaded_and_cloned_it_is_the_same(name: str, tmp_path: Path) -> None:
    layer = built(layer_with(name))
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    expected = to_numpy(model(sequences()))
    for copy in (keras.models.load_model(tmp_path / "model.keras"), cloned):
        np.testing.assert_array_equal(to_numpy(copy(sequences())), expected)


@pytest.mark.parametrize("name", ["exponential", "givens"])
def test_golden_file_gives_its_outputs_on_every_backend(name: str) -> None:
    # Made once under TensorFlow, by golden/make_golden.py.
    model = keras.models.load_model(GOLDEN / f"complex_{name}.keras")
    data = np.load(GOLDEN / f"complex_{name}.npz")
    (layer,) = model.layers
    assert type(layer.cell.parametrization) is MAPS[name]
    assert layer.cell.field == "complex"
    np.testing.assert_allclose(
        to_numpy(model(data["x"])), data["y"], rtol=0, atol=TOLERANCE["float32"]
    )


@each_map
def test_training_keeps_it_unitary(name: str) -> None:
    layer = built(layer_with(name))
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    before = to_numpy(layer.recurrent_matrix())
    monitor = ku.callbacks.UnitarityMonitor()
    y = normal(BATCH, WIDTH, seed=3)
    history = model.fit(sequences(), y, epochs=3, verbose=0, callbacks=[monitor])
    R = as_complex(to_numpy(layer.recurrent_matrix())[:UNITS])
    np.testing.assert_allclose(R.conj().T @ R, np.eye(UNITS), rtol=0, atol=1e-6)
    assert np.max(np.abs(to_numpy(layer.recurrent_matrix()) - before)) > 1e-3
    assert np.max(np.abs(R.imag)) > 1e-3, "the premise: it is not real"
    assert max(history.history["unitarity_error"]) <= 4 * WIDTH * 2.0**-23
    assert history.history["spectral_norm"] == pytest.approx([1.0] * 3, abs=1e-6)


def test_a_kernel_off_the_set_is_projected_and_seen() -> None:
    layer = built(layer_with())
    kernel = layer.cell.recurrent_kernel
    kernel.assign(to_numpy(kernel) + 0.1 * normal(*kernel.shape))
    u, _, vh = np.linalg.svd(as_complex(kernel))
    assert ku.diagnostics.unitarity_error(layer) > 1e-2
    (moved,) = ku.project(layer).values()
    assert moved > 1e-2
    np.testing.assert_allclose(as_complex(kernel), u @ vh, rtol=0, atol=1e-6)
    assert ku.diagnostics.unitarity_error(layer) <= 4 * WIDTH * 2.0**-23


def test_a_contractive_one_has_the_nearest_matrix_of_its_norm() -> None:
    constraint = ku.ContractiveProjection(0.7, field="complex")
    parts = normal(UNITS, WIDTH).astype("float32")
    u, s, vh = np.linalg.svd(as_complex(parts))
    expected = (u * np.minimum(s, 0.7)) @ vh
    found = as_complex(constraint(ops.convert_to_tensor(parts)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    parametrization = ku.parametrizations.Projection(field="complex")
    layer = ku.ContractiveRNN(
        UNITS, "modrelu", max_norm=0.7, parametrization=parametrization
    )
    layer.build((BATCH, STEPS, FEATURES))
    assert ku.diagnostics.spectral_norm(layer) == pytest.approx(0.7, abs=1e-6)


@pytest.mark.once
@each_full_map
def test_the_default_start_has_the_haar_measure(name: str) -> None:
    # Of U(1) and U(2): the mean of |tr Q^k|² is min(k, n).
    for units in (1, 2):
        traces = []
        for seed in range(300):
            cell = ku.UnitaryRNNCell(
                units,
                "modrelu",
                recurrent_initializer=keras.initializers.Orthogonal(seed=seed),
                parametrization=EACH[name](),
            )
            cell.build((None, 1))
            Q = as_complex(to_numpy(cell.recurrent_matrix())[:units])
            traces.append([np.trace(Q), np.trace(Q @ Q)])
        moments = np.mean(np.abs(traces) ** 2, axis=0)
        # The standard deviation of the second is 2 at most, of 300 draws 0.12.
        np.testing.assert_allclose(moments, [1.0, min(units, 2)], rtol=0, atol=0.4)
        assert np.abs(np.mean(traces)) < 0.2


@each_full_map
def test_a_matrix_is_given_in_either_form(name: str) -> None:
    layer = built(layer_with(name))
    parametrization = layer.cell.parametrization
    Q, _ = np.linalg.qr(normal(UNITS, UNITS) + 1j * normal(UNITS, UNITS, seed=1))
    whole = np.block([[Q.real, Q.imag], [-Q.imag, Q.real]])
    for matrix in (Q, ops.convert_to_tensor(Q), whole):
        parametrization.assign(np.eye(WIDTH))
        parametrization.assign(matrix)
        np.testing.assert_allclose(
            to_numpy(layer.recurrent_matrix()), whole, rtol=0, atol=4 * WIDTH * 2.0**-23
        )
    assert parametrization.initialize(1.5 * Q) == pytest.approx(
        0.5 * np.sqrt(WIDTH), rel=1e-5
    )
    reflection = np.diag([1.0] * UNITS + [-1.0] * UNITS)  # the conjugation
    for change in (parametrization.assign, parametrization.initialize):
        with pytest.raises(ValueError, match=r"form \[\[A, B\], \[-B, A\]\]"):
            change(reflection)


def test_l4_complex_cayley_reaches_what_its_signs_would_miss() -> None:
    layer = built(layer_with("cayley"))
    for phases in ([0.0, np.pi, np.pi], [1.0, -2.0, 3.0]):
        Q = np.diag(np.exp(1j * np.array(phases)))
        layer.cell.parametrization.assign(Q)
        found = as_complex(to_numpy(layer.recurrent_matrix())[:UNITS])
        np.testing.assert_allclose(found, Q, rtol=0, atol=4 * WIDTH * 2.0**-23)


def test_complex_cayley_is_the_formula_of_its_docstring() -> None:
    layer = built(layer_with("cayley"))
    raw, phases = normal(UNITS, WIDTH), normal(UNITS, seed=1)
    layer.cell.recurrent_skew.assign(raw)
    layer.cell.recurrent_phases.assign(phases)
    a, b = np.split(raw, 2, axis=-1)
    A = np.tril(a, -1) - np.tril(a, -1).T + 1j * (np.tril(b) + np.tril(b, -1).T)
    np.testing.assert_allclose(A, -A.conj().T, rtol=0, atol=1e-15)
    eye = np.eye(UNITS)
    expected = np.linalg.solve(eye + A, eye - A) @ np.diag(np.exp(1j * phases))
    found = as_complex(to_numpy(layer.recurrent_matrix())[:UNITS])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_l4_complex_exponential_reaches_eigenvalues_of_any_angle() -> None:
    layer = built(layer_with("exponential"))
    for phases in ([0.0, np.pi, np.pi], [1.0, -2.0, 3.0]):
        Q = np.diag(np.exp(1j * np.array(phases)))
        layer.cell.parametrization.assign(Q)
        a, b = np.split(to_numpy(layer.cell.recurrent_skew), 2, axis=-1)
        np.testing.assert_allclose(np.diag(b), phases, rtol=0, atol=1e-6)
        assert np.max(np.abs(a)) < 1e-6
        found = as_complex(to_numpy(layer.recurrent_matrix())[:UNITS])
        np.testing.assert_allclose(found, Q, rtol=0, atol=4 * WIDTH * 2.0**-23)


@pytest.mark.parametrize("rebase_every", [None, 2])
def test_complex_exponential_is_the_formula_of_its_docstring(
    rebase_every: int | None,
) -> None:
    make = ku.parametrizations.Exponential
    cell = ku.UnitaryRNNCell(
        UNITS, "modrelu", parametrization=make(rebase_every, "complex")
    )
    cell.build((None, FEATURES))
    before = as_complex(to_numpy(cell.recurrent_matrix())[:UNITS])
    B = np.eye(UNITS) if rebase_every is None else before
    raw = normal(UNITS, WIDTH)
    cell.recurrent_skew.assign(raw)
    a, b = np.split(raw, 2, axis=-1)
    A = np.tril(a, -1) - np.tril(a, -1).T + 1j * (np.tril(b) + np.tril(b, -1).T)
    found = as_complex(to_numpy(cell.recurrent_matrix())[:UNITS])
    np.testing.assert_allclose(found, B @ scipy.linalg.expm(A), rtol=0, atol=1e-5)


@pytest.mark.once
def test_what_has_no_meaning_for_complex_states_is_refused() -> None:
    expected = r'`activation` must be "modrelu", or None.*Received: activation='
    for activation in ("relu", "tanh", keras.layers.ReLU(), "oplu", lambda z: z):
        with pytest.raises(ValueError, match=expected):
            layer_with(activation=activation)
    with pytest.raises(ValueError, match="`activation` must be a ModReLU of complex"):
        layer_with(activation=ku.activations.ModReLU("real"))
    with pytest.raises(ValueError, match='`negative_ones` must be None with field="c'):
        ku.parametrizations.Cayley(2, field="complex")
    for make in (*MAPS.values(), ku.UnitaryProjection, ku.ContractiveProjection):
        with pytest.raises(ValueError, match='`field` must be one of "real", "compl'):
            make(field="quaternion")
    with pytest.raises(ValueError, match=r"`w.shape` must be .*2 \* columns"):
        ku.UnitaryProjection(field="complex")(ops.ones((2, 3)))
    simple = keras.layers.SimpleRNN(UNITS)
    simple.build((None, STEPS, FEATURES))
    with pytest.raises(ValueError, match="`parametrization` must be of real numbers"):
        ku.UnitaryRNN.from_simple_rnn(
            simple,
            activation="modrelu",
            parametrization=MAPS["cayley"](field="complex"),
        )


def halved(z: Any) -> Any:
    return 0.5 * z


@pytest.mark.once
def test_a_function_of_both_parts_says_that_it_is_one() -> None:
    halved.field = "complex"  # type: ignore[attr-defined]
    layer = layer_with(activation=halved)
    assert layer(sequences()).shape == (BATCH, WIDTH)
    assert not layer.uses_fused_recurrence


@pytest.mark.once
def test_the_theorems_refuse_complex_states_in_words() -> None:
    layer, real = built(layer_with()), ku.UnitaryRNN(WIDTH)
    real.build((BATCH, STEPS, FEATURES))
    model, real_model = (
        keras.Sequential([keras.Input((STEPS, FEATURES)), one]) for one in (layer, real)
    )
    calls = [
        lambda: ku.to_unitary(layer, input_bound=1.0),
        lambda: ku.to_unitary(model, input_bound=1.0),
        lambda: ku.prune_inactive(layer, input_bound=1.0),
        lambda: ku.verify_equivalence(layer, layer, input_bound=1.0),
        lambda: ku.verify_equivalence(real, layer, input_bound=1.0),
        lambda: ku.verify_equivalence(model, model, input_bound=1.0),
        lambda: ku.verify_equivalence(real_model, model, input_bound=1.0),
        lambda: ku.theory.unitary_state_bounds(layer.cell),
    ]
    with pytest.raises(ValueError, match="`parametrization` must be of real numbers"):
        ku.to_unitary(real, input_bound=1.0, parametrization=layer.parametrization)
    for call in calls:
        with pytest.raises(ValueError, match=r"must be of real states.*complex"):
            call()

"""modReLU and OPLU: their formulas, their gradients, and whose weights they are."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import _backend
from keras_urnn.activations import OPLU, ModReLU, modrelu
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    TOLERANCE,
    Array,
    each_cell,
    each_layer,
    normal,
    precision,
    randomize,
    reference_states,
    sequences,
    to_numpy,
)

UNITS = 6
BIAS = np.array([-1.0, 0.3, 0.0, -1.5, 2.0, -0.1])


def real_modrelu(z: Array, b: Array) -> Array:
    return np.sign(z) * np.maximum(np.abs(z) + b, 0.0)


def complex_modrelu(z: Array, b: Array) -> Array:
    """The formula in complex numbers; 0 at 0."""
    n = z.shape[-1] // 2
    numbers = z[..., :n] + 1j * z[..., n:]
    modulus = np.abs(numbers)
    phase = numbers / np.where(modulus > 0.0, modulus, 1.0)
    h = phase * np.maximum(modulus + b, 0.0)
    return np.concatenate([h.real, h.imag], axis=-1)


def oplu(z: Array) -> Array:
    pairs = z.reshape(*z.shape[:-1], -1, 2)
    return np.stack([pairs.max(-1), pairs.min(-1)], axis=-1).reshape(z.shape)


FORMULAS = {"real": real_modrelu, "complex": complex_modrelu}
FUNCTIONS = {"real": modrelu.real_modrelu, "complex": modrelu.complex_modrelu}
each_field = pytest.mark.parametrize("field", FORMULAS)


def layer_of(field: str, width: int = UNITS, **options: Any) -> Any:
    layer = ModReLU(field, **options)
    layer.build((None, width))
    layer.bias.assign(BIAS[: layer.bias.shape[0]])
    return layer


@each_field
def test_modrelu_is_its_formula_and_zero_at_zero(field: str) -> None:
    layer = layer_of(field)
    z = normal(4, 3, UNITS).astype("float32")
    z[0] = 0.0
    found = to_numpy(layer(z))
    expected = FORMULAS[field](z.astype("float64"), to_numpy(layer.bias))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not np.any(found[0])
    assert np.any(found == 0.0, where=z != 0.0), "the premise: some are switched off"


@each_field
def test_modrelu_has_the_gradients_of_differences_and_none_at_zero(field: str) -> None:
    with precision("float64"):
        layer = layer_of(field)
        z, upstream = normal(5, UNITS), normal(5, UNITS, seed=1)

        def value(tensors: Any) -> Any:
            bias, z = tensors
            return ops.sum(FUNCTIONS[field](z, bias) * ops.convert_to_tensor(upstream))

        at = [to_numpy(layer.bias), z]
        found = gradient(value, at)
        for one, array in zip(found, at, strict=True):
            expected = gradients.differences(lambda: number(value, at), array)
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-8)
        at[1][:] = 0.0
        for one in gradient(value, at):
            np.testing.assert_array_equal(one, 0.0)


def tensors(arrays: list[Array]) -> list[Any]:
    return [ops.convert_to_tensor(array) for array in arrays]


def number(value: Any, arrays: list[Array]) -> float:
    return float(to_numpy(value(tensors(arrays))))


def gradient(value: Any, arrays: list[Array]) -> list[Array]:
    return [to_numpy(one) for one in _backend.gradients(value)(tensors(arrays))]


def test_complex_modrelu_commutes_with_a_change_of_phase() -> None:
    layer = layer_of("complex")
    z = normal(4, 3) + 1j * normal(4, 3, seed=1)
    turned = z * np.exp(1j * np.array([0.3, 2.0, -1.0]))
    found = [to_complex(layer(to_real(one).astype("float32"))) for one in (z, turned)]
    expected = found[0] * np.exp(1j * np.array([0.3, 2.0, -1.0]))
    np.testing.assert_allclose(found[1], expected, rtol=0, atol=1e-6)


def to_real(numbers: Array) -> Array:
    return np.concatenate([numbers.real, numbers.imag], axis=-1)


def to_complex(tensor: Any) -> Array:
    re, im = np.split(to_numpy(tensor), 2, axis=-1)
    return re + 1j * im


def test_complex_modrelu_squares_in_float32_under_half_precision() -> None:
    layer = layer_of("complex", dtype="float16")
    z = np.array([[3e3, 1e-4, 0.0, 4e3, 0.0, 1.0]], "float16")
    expected = complex_modrelu(z.astype("float64"), to_numpy(layer.bias))
    found = to_numpy(layer(z))
    # One rounding to 11 bits in the quotient, one in the product.
    np.testing.assert_allclose(found, expected, rtol=2.0**-9, atol=0)


def test_oplu_sorts_pairs_and_keeps_norms() -> None:
    z = normal(4, 3, UNITS).astype("float32")
    found = to_numpy(OPLU()(z))
    np.testing.assert_array_equal(found, oplu(z))
    assert np.any(found != z), "the premise: some pairs are turned round"
    norms = [np.linalg.norm(one, axis=-1) for one in (found, z.astype("float64"))]
    np.testing.assert_allclose(*norms, rtol=1e-12)


def test_oplu_passes_the_gradient_on_to_where_each_came_from() -> None:
    z = np.array([1.0, 2.0, 3.0, -3.0, 5.0, 5.0])
    upstream = np.arange(6.0)

    def value(tensors: Any) -> Any:
        return ops.sum(OPLU()(tensors[0]) * ops.convert_to_tensor(upstream, "float32"))

    (found,) = gradient(value, [z.astype("float32")])
    np.testing.assert_array_equal(found, [1.0, 0.0, 2.0, 3.0, 4.0, 5.0])


ACTIVATIONS: dict[str, Any] = {"modrelu": ModReLU, "oplu": OPLU}
each_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def in_numpy(cell: Any) -> Any:
    if isinstance(cell.activation, OPLU):
        return oplu
    return lambda z: real_modrelu(z, to_numpy(cell.activation.bias))


def built(make_layer: Any, activation: Any, **options: Any) -> Any:
    layer = make_layer(UNITS, activation, **options)
    layer.build((BATCH, STEPS, FEATURES))
    randomize(layer.cell)
    for weight in layer.cell.activation.weights:
        weight.assign(BIAS)
    return layer


@each_activation
@each_layer
def test_a_layer_steps_by_it(make_layer: Any, name: str) -> None:
    layer = built(make_layer, name, return_sequences=True)
    assert type(layer.activation) is ACTIVATIONS[name]
    assert layer.uses_fused_recurrence == (name == "modrelu")
    expected = reference_states(layer.cell, sequences(), in_numpy(layer.cell))
    loop = keras.layers.RNN(layer.cell, return_sequences=True)
    for rnn in (layer, loop):
        np.testing.assert_allclose(
            to_numpy(rnn(sequences())), expected, rtol=0, atol=TOLERANCE["float32"]
        )


def test_its_weights_are_its_cells_and_come_last() -> None:
    layer = built(ku.UnitaryRNN, "modrelu", learn_initial_state=True)
    names = ["kernel", "recurrent_kernel", "bias", "initial_state", "bias"]
    assert [weight.name for weight in layer.trainable_variables] == names
    assert layer.trainable_variables[-1] is layer.cell.activation.bias
    assert layer.trainable_variables[-1].path.endswith("cell/modrelu/bias")
    frozen = built(ku.UnitaryRNN, "modrelu", trainable=False)
    assert frozen.trainable_variables == []


@each_cell
def test_two_cells_given_one_activation_share_nothing(make_cell: Any) -> None:
    given = ModReLU(bias_initializer="ones", name="mine")
    cells = [
        make_cell(UNITS, activation=given, dtype="mixed_bfloat16") for _ in range(2)
    ]
    for cell in cells:
        cell.build((None, FEATURES))
        assert cell.activation.name == "mine"
        assert cell.activation.compute_dtype == cell.compute_dtype
        np.testing.assert_array_equal(to_numpy(cell.activation.bias), 1.0)
    assert not given.built
    assert given.field is None
    one, other = (cell.activation.bias for cell in cells)
    one.assign(BIAS)
    np.testing.assert_array_equal(to_numpy(other), 1.0)


@pytest.mark.once
@each_activation
@each_layer
def test_config_and_clone_keep_it(make_layer: Any, name: str) -> None:
    options = {"bias_initializer": "ones"} if name == "modrelu" else {}
    layer = make_layer(UNITS, ACTIVATIONS[name](**options))
    for config in (layer.get_config(), keras.saving.serialize_keras_object(layer)):
        again = (
            keras.saving.deserialize_keras_object(config)
            if "class_name" in config
            else make_layer.from_config(config)
        )
        assert again.get_config() == layer.get_config()
        assert again.activation is not layer.activation
    made = make_layer(UNITS, name).get_config()["activation"]["registered_name"]
    assert made == f"keras_urnn>{ACTIVATIONS[name].__name__}"


@each_activation
def test_saved_and_loaded_it_has_its_weights(name: str, tmp_path: Path) -> None:
    layer = built(ku.UnitaryRNN, name)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    expected = to_numpy(model(sequences()))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    assert not cloned.layers[0].cell.activation.weights or np.any(
        to_numpy(cloned(sequences())) != expected
    )
    cloned.load_weights(tmp_path / "model.weights.h5")
    for copy in (loaded, cloned):
        np.testing.assert_array_equal(to_numpy(copy(sequences())), expected)


@pytest.mark.once
def test_a_fresh_process_loads_it(tmp_path: Path, run_python: Any) -> None:
    layer = built(ku.UnitaryRNN, "modrelu")
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", sequences())
    found = run_python(
        "import keras, numpy as np, keras_urnn\n"
        "model = keras.models.load_model('model.keras')\n"
        "print(model.predict(np.load('x.npy'), verbose=0).tolist())"
    )
    np.testing.assert_allclose(
        np.array(eval(found)), to_numpy(model(sequences())), rtol=0, atol=1e-6
    )


@each_activation
def test_training_moves_its_weights(name: str) -> None:
    layer = built(ku.UnitaryRNN, name)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(sequences(), normal(BATCH, UNITS, seed=2), verbose=0)
    for weight in layer.cell.activation.weights:
        moved = np.abs(to_numpy(weight) - BIAS)
        assert np.all(np.isfinite(moved))
        assert np.max(moved) > 1e-4


@pytest.mark.once
def test_an_activation_of_other_numbers_or_units_is_refused() -> None:
    expected = r"`activation` must be a ModReLU of real numbers.*field='complex'"
    with pytest.raises(ValueError, match=expected):
        ku.UnitaryRNNCell(4, ModReLU("complex"))
    for make in (ku.UnitaryRNNCell, ku.UnitaryRNN):
        with pytest.raises(ValueError, match=r"`units` must be even.*OPLU.*units=5"):
            make(5, "oplu")
    with pytest.raises(ValueError, match=r"must be even.*OPLU.*=3"):
        OPLU()(normal(2, 3))
    with pytest.raises(ValueError, match=r"must be even, as the numbers are complex"):
        ModReLU("complex")(normal(2, 3))
    with pytest.raises(ValueError, match='`field` must be one of "real", "complex"'):
        ModReLU("imaginary")
    with pytest.raises(ValueError, match="identifier: modReLU"):
        ku.UnitaryRNNCell(4, "modReLU")

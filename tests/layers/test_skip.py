"""The convex skip, against its equation in NumPy: `h_t = (1-β) h R + β φ(h V + z)`."""

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    LAYERS,
    STEPS,
    TOLERANCE,
    UNITS,
    Array,
    assert_on_its_set,
    each_layer,
    normal,
    precision,
    sequences,
    smooth,
    to_numpy,
)

Weights = dict[str, Array]
# The arguments of a layer, and the number of trained weights.
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "fixed": ("unitary", {"skip": 0.3}, 4),
    "trained": (
        "unitary",
        {"skip": ku.Skip(0.3, trainable=True), "learn_initial_state": True},
        6,
    ),
    "without V": ("unitary", {"skip": ku.Skip(0.3, dense=False)}, 3),
    "trained without V": (
        "contractive",
        {"skip": ku.Skip(0.3, trainable=True, dense=False), "max_norm": 0.9},
        4,
    ),
}
# What a layer is given, and the same in NumPy.
ACTIVATIONS: dict[str, tuple[Any, Callable[[Array], Array]]] = {
    "fused": ("relu", lambda z: np.maximum(z, 0.0)),
    "loop": (smooth, smooth),
}
# A case compiles for seconds: one backend is enough for two of them.
each_case = pytest.mark.parametrize(
    "case",
    [
        "trained",
        "without V",
        pytest.param("fixed", marks=pytest.mark.once),
        pytest.param("trained without V", marks=pytest.mark.once),
    ],
)
MASK = np.random.default_rng(2).random((BATCH, STEPS)) < 0.6
MASK[:, 0] = True  # before the first output there is none to repeat


def layer_of(case: str, activation: Any = "relu", **options: Any) -> Any:
    """The built layer of a case, with weights none of which is zero."""
    kind, arguments, _ = CASES[case]
    return randomized(
        LAYERS[kind](
            UNITS,
            activation,
            return_sequences=True,
            return_state=True,
            **arguments,
            **options,
        )
    )


def randomized(layer: Any) -> Any:
    layer.build((BATCH, STEPS, FEATURES))
    for seed, weight in enumerate(layer.cell.weights):
        if not weight.name.startswith("recurrent_"):
            weight.assign(0.5 * normal(*weight.shape, seed=seed))
    layer.reset_state()
    return layer


def as_complex(parts: Any) -> Array:
    re, im = np.split(to_numpy(parts), 2, axis=-1)
    return re + 1j * im


def weights_of(layer: Any) -> Weights:
    found = {weight.name: to_numpy(weight) for weight in layer.cell.weights}
    return {**found, "recurrent_kernel": to_numpy(layer.recurrent_matrix())}


def states_of(
    layer: Any, x: Array, weights: Weights, mask: Any = None, start: Any = None
) -> Array:
    """The states of all steps; where the mask is False a state stays what it was."""
    beta = layer.skip.beta
    if "skip_logit" in weights:
        beta = 1.0 / (1.0 + np.exp(-weights["skip_logit"]))
    activation = smooth if layer.activation is smooth else ACTIVATIONS["fused"][1]
    V = weights.get("skip_kernel", np.zeros((UNITS, UNITS)))
    if start is None:
        start = weights.get("initial_state", np.zeros(UNITS))
    h = np.broadcast_to(start, (len(x), UNITS))
    states = []
    for t in range(x.shape[1]):
        z = h @ V + x[:, t] @ weights["kernel"] + weights["bias"]
        turned = h @ weights["recurrent_kernel"]
        new = (1.0 - beta) * turned + beta * activation(z)
        h = new if mask is None else np.where(mask[:, t, None], new, h)
        states.append(h)
    return np.stack(states, axis=1)


@each_case
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_outputs_final_state_and_gradients_are_those_of_the_equation(
    case: str, name: str
) -> None:
    x, y = sequences(), normal(BATCH, STEPS, UNITS, seed=9).astype("float32")
    with precision("float64"):
        layer = layer_of(case, ACTIVATIONS[name][0])
        assert layer.uses_fused_recurrence == (name == "fused")
        inputs = keras.Input((STEPS, FEATURES))
        model = keras.Model(inputs, layer(inputs)[0])
        weights = weights_of(layer)
        found, last = map(to_numpy, layer(x))
        computed = gradients.of_error(model, x, y)
    expected = states_of(layer, x, weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(last, expected[:, -1], rtol=0, atol=1e-14)

    def error() -> float:
        return float(np.mean((states_of(layer, x, weights) - y) ** 2))

    trained = [weight.name for weight in layer.trainable_weights]
    assert len(trained) == CASES[case][2]
    for name, gradient in zip(trained, computed, strict=True):
        by_differences = gradients.differences(error, weights[name])
        # Of central differences: step² and eps / step.
        np.testing.assert_allclose(gradient, by_differences, rtol=0, atol=1e-8)
        assert np.max(np.abs(gradient)) > 1e-4, name


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "unroll": {"unroll": True},
    "checkpoints": {"checkpoint_every": 3},
    "computed": {"parametrization": "cayley"},
    "output-units": {"output_units": 2},
    "two-batches": {"stateful": True},
}


@pytest.mark.parametrize("mask", [None, MASK], ids=["all-steps", "masked"])
@pytest.mark.parametrize(
    "option",
    [
        "plain",
        "unroll",
        *(pytest.param(name, marks=pytest.mark.once) for name in list(OPTIONS)[2:]),
    ],
)
def test_states_are_those_of_the_equation_in_each_layer(option: str, mask: Any) -> None:
    layer = layer_of("trained", **OPTIONS[option])
    expected = states_of(layer, sequences(), weights_of(layer), mask)
    outputs, *states = map(to_numpy, layer(sequences(), mask=mask))
    if layer.stateful:
        outputs, *states = map(to_numpy, layer(sequences(), mask=mask))
        weights = weights_of(layer)
        expected = states_of(layer, sequences(), weights, mask, expected[:, -1])
    shown = expected[..., : layer.cell.output_size]
    tolerance = TOLERANCE["float32"]
    np.testing.assert_allclose(outputs, shown, rtol=0, atol=tolerance)
    last = np.concatenate(states, axis=-1)
    np.testing.assert_allclose(last, expected[:, -1], rtol=0, atol=tolerance)
    assert np.ptp(shown) > 0.1, "the premise: the outputs differ from each other"


@pytest.mark.parametrize(
    ("activation", "dense"),
    [
        ("modrelu", True),
        pytest.param("modrelu", False, marks=pytest.mark.once),
        pytest.param(None, True, marks=pytest.mark.once),
    ],
)
def test_complex_states_are_those_in_complex_numbers(
    activation: Any, dense: bool
) -> None:
    skip = ku.Skip(0.3, trainable=True, dense=dense)
    parametrization = ku.parametrizations.Projection(field="complex")
    layer = ku.UnitaryRNN(3, activation, parametrization=parametrization, skip=skip)
    assert layer.uses_fused_recurrence == (activation is None)
    cell, x = randomized(layer).cell, sequences()
    K, R, b = map(as_complex, (cell.kernel, cell.recurrent_kernel, cell.bias))
    V = as_complex(cell.skip_kernel) if dense else np.zeros((3, 3))
    beta = 1.0 / (1.0 + np.exp(-to_numpy(cell.skip_logit)))
    h = np.zeros((BATCH, 3))
    for t in range(STEPS):
        z = h @ V + x[:, t] @ K + b
        if activation is not None:
            modulus = np.abs(z) + to_numpy(cell.activation.bias)
            z = np.maximum(modulus, 0.0) * z / np.abs(z)
        h = (1.0 - beta) * (h @ R) + beta * z
    expected = np.concatenate([h.real, h.imag], axis=-1)
    np.testing.assert_allclose(
        to_numpy(layer(x)), expected, rtol=0, atol=TOLERANCE["float32"]
    )


@pytest.mark.once
def test_a_cell_steps_by_itself_as_in_its_layer() -> None:
    layer = layer_of("trained")
    loop = keras.layers.RNN(layer.cell, return_sequences=True)
    expected = states_of(layer, sequences(), weights_of(layer))
    found = to_numpy(loop(sequences()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["float32"])


@pytest.mark.once
@pytest.mark.parametrize("size", [1.0, 100.0])
@pytest.mark.parametrize("first", [0.0, 10.0])
@pytest.mark.parametrize("unroll", [False, True], ids=["fused", "loop"])
def test_a_bounded_activation_bounds_the_state(
    size: float, first: float, unroll: bool
) -> None:
    layer = layer_of("trained", "tanh", unroll=unroll)
    for seed, weight in enumerate(layer.cell.weights):
        if not weight.name.startswith("recurrent_"):
            weight.assign(size * normal(*weight.shape, seed=seed))
    layer.cell.skip_logit.assign(-1.0)
    x = size * normal(BATCH, 300, FEATURES)
    start = first * normal(BATCH, UNITS, seed=8).astype("float32")
    states, _ = layer(x.astype("float32"), initial_state=start)
    norms = np.linalg.norm(to_numpy(states), axis=-1)
    of_start = np.linalg.norm(start, axis=-1)[:, None]
    # Each step may round each entry of a state once more, by eps.
    assert np.all(
        norms <= np.maximum(of_start, np.sqrt(UNITS)) * (1.0 + 300 * 2.0**-23)
    )


@pytest.mark.once
def test_the_bound_on_the_state_is_reached() -> None:
    layer = layer_of("fixed", "tanh", recurrent_initializer="identity")
    layer.cell.bias.assign(np.full(UNITS, 100.0))
    states, _ = layer(np.zeros((1, 100, FEATURES), "float32"))
    norms = np.linalg.norm(to_numpy(states), axis=-1)
    assert norms[0, -1] == pytest.approx(np.sqrt(UNITS), rel=1e-6)
    unbounded = layer_of("fixed", None, recurrent_initializer="identity")
    unbounded.cell.bias.assign(np.full(UNITS, 100.0))
    states, _ = unbounded(np.zeros((1, 100, FEATURES), "float32"))
    assert np.linalg.norm(to_numpy(states)[0, -1]) > 2.0 * np.sqrt(UNITS)


@pytest.mark.once
def test_without_v_a_gradient_shrinks_by_the_same_factor_at_each_step() -> None:
    layer = layer_of("without V")
    found = ku.diagnostics.gradient_norm_profile(layer, sequences())
    expected = 0.7 ** np.arange(STEPS)[::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_recurrent_dropout_drops_what_v_takes_and_nothing_else() -> None:
    layer = ku.UnitaryRNN(
        UNITS,
        None,
        use_bias=False,
        kernel_initializer="zeros",
        recurrent_initializer="identity",
        recurrent_dropout=0.5,
        skip=ku.Skip(0.25, kernel_initializer="identity"),
        seed=1,
    )
    start = np.ones((20, UNITS), "float32")
    x = np.zeros((20, 1, FEATURES), "float32")
    found = to_numpy(layer(x, initial_state=start, training=True))
    # 0.75 h + 0.25 h V, where each entry of h is 0 or twice itself for V.
    assert set(np.unique(found)) == {0.75, 1.25}
    np.testing.assert_array_equal(to_numpy(layer(x, initial_state=start)), start)


FULL_AND_HALF = ("float32", "mixed_float16")


def beta_of(layer: Any) -> float:
    """`β` as a step has it. (NumPy takes no single number of TensorFlow's bfloat16.)"""
    _, (beta, *_) = layer.cell.prepared()
    return float(to_numpy(ops.cast(beta, "float32")))


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_bfloat16",
        *(pytest.param(x, marks=pytest.mark.once) for x in FULL_AND_HALF),
    ],
)
def test_training_changes_all_weights_and_keeps_the_matrix(policy: str) -> None:
    with precision(policy):
        layer = ku.UnitaryRNN(UNITS, "tanh", skip=ku.Skip(0.1, trainable=True))
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        assert beta_of(layer) == pytest.approx(0.1, rel=4e-3)
        before = [to_numpy(weight) for weight in layer.trainable_weights]
        model.fit(sequences(), normal(BATCH, UNITS, seed=3), epochs=2, verbose=0)
    assert_on_its_set(layer.cell)
    for weight, old in zip(layer.trainable_weights, before, strict=True):
        assert np.max(np.abs(to_numpy(weight) - old)) > 1e-5, weight.path


@pytest.mark.once
def test_beta_stays_between_0_and_1_after_any_step() -> None:
    layer = layer_of("trained")
    for logit in (-1e30, -50.0, 50.0, 1e30):
        layer.cell.skip_logit.assign(logit)
        assert 0.0 <= beta_of(layer) <= 1.0
        assert np.all(np.isfinite(to_numpy(layer(sequences())[0])))


def test_a_number_stands_for_a_fixed_skip_with_v() -> None:
    layer = ku.UnitaryRNN(UNITS, skip=0.1)
    assert layer.skip.get_config() == ku.Skip(0.1).get_config()
    assert layer.skip is layer.cell.skip
    assert repr(layer.skip) == "Skip(0.1, trainable=False, dense=True)"
    layer.build((None, None, FEATURES))
    assert [weight.name for weight in layer.weights] == [
        "kernel",
        "recurrent_kernel",
        "bias",
        "skip_kernel",
    ]


LOOPS: dict[str, tuple[dict[str, Any], str]] = {
    "another function": ({"activation": smooth}, "the derivative of `activation`"),
    "weights": ({"activation": "modrelu"}, "with `skip` an activation with weights"),
    "dropout": ({"recurrent_dropout": 0.1}, "`recurrent_dropout` changes"),
}


@pytest.mark.once
@pytest.mark.parametrize("name", LOOPS)
def test_what_is_not_fused_says_why(name: str) -> None:
    arguments, reason = LOOPS[name]
    layer = ku.UnitaryRNN(**{"units": UNITS, "skip": 0.1, **arguments})
    assert layer.plain_recurrence_reason.startswith(reason)


@pytest.mark.parametrize("kind", [ku.UnitaryRNN, ku.UnitaryRNNCell])
def test_config_round_trip(kind: Callable[..., Any]) -> None:
    initializer = keras.initializers.HeNormal(seed=1)
    skip = ku.Skip(0.25, True, True, kernel_initializer=initializer)
    config = kind(UNITS, skip=skip).get_config()
    assert config["skip"] == keras.saving.serialize_keras_object(skip)
    again = kind(**json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert again.skip.beta == 0.25
    assert again.skip.trainable
    assert ku.Skip(0.25, dense=False).get_config()["dense"] is False


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "0": ({"skip": 0}, r"`skip` must be a number in \(0, 1\)\. Received: skip=0\."),
    "1": ({"skip": 1.0}, r"`skip` must be a number in \(0, 1\).*skip=1\.0\. .*no skip"),
    "nan": ({"skip": float("nan")}, r"`skip` must be a number in \(0, 1\).*=nan"),
    "rest": (
        {"skip": 0.1, "resting_state": [1.0] * UNITS},
        r"`resting_state` must be None with skip=Skip\(0\.1.*=\[1\.0.*learn_initial_st",
    ),
    "scale": (
        {"skip": 0.1, "state_scale": [1.0] * UNITS},
        r"`state_scale` must be None with skip=Skip\(0\.1.*Received: state_scale=\[1",
    ),
    "dropout": (
        {"skip": ku.Skip(0.1, dense=False), "recurrent_dropout": 0.5},
        r"`recurrent_dropout` must be 0 with skip=.*Received: recurrent_dropout=0\.5",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    arguments, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        ku.UnitaryRNN(UNITS, **arguments)


@pytest.mark.once
def test_refuses_what_is_no_skip() -> None:
    for value in (True, "0.1", [0.1], ku.Skip):
        with pytest.raises(TypeError, match="`skip` must be None, a number"):
            ku.UnitaryRNN(UNITS, skip=value)
    for value in (0.0, 1.0, -0.1, "0.1", None, True, float("nan")):
        with pytest.raises(ValueError, match=r"`beta` must be a number in \(0, 1\)"):
            ku.Skip(value)
    for flag in ("trainable", "dense"):
        with pytest.raises(TypeError, match=f"`{flag}` must be True or False"):
            ku.Skip(0.1, **{flag: 1})


@pytest.mark.once
@pytest.mark.parametrize("make", [ku.ContractiveRNN, ku.ContractiveRNNCell])
def test_a_contractive_one_takes_no_v(make: Callable[..., Any]) -> None:
    message = r"`skip` must be None or a Skip with dense=False in a ContractiveRNNCell"
    with pytest.raises(ValueError, match=message + r".*Received: skip=Skip\(0\.1"):
        make(UNITS, skip=0.1)
    make(UNITS, skip=ku.Skip(0.1, dense=False))


@pytest.mark.once
@each_layer
def test_no_warm_start_from_a_layer_without(make_layer: Callable[..., Any]) -> None:
    simple = keras.layers.SimpleRNN(UNITS)
    simple.build((None, STEPS, FEATURES))
    with pytest.raises(ValueError, match="`skip` must be None for a warm start"):
        make_layer.from_simple_rnn(simple, skip=ku.Skip(0.1))  # type: ignore[attr-defined]


@pytest.mark.once
def test_the_theorems_refuse_it_in_words() -> None:
    layer = randomized(ku.UnitaryRNN(UNITS, skip=0.1))
    plain = randomized(ku.UnitaryRNN(UNITS))
    contractive = randomized(ku.ContractiveRNN(UNITS, skip=ku.Skip(0.1, dense=False)))
    model, plain_model = (
        keras.Sequential([keras.Input((STEPS, FEATURES)), one])
        for one in (layer, plain)
    )
    calls = [
        lambda: ku.to_unitary(layer, input_bound=1.0),
        lambda: ku.to_unitary(contractive, input_bound=1.0),
        lambda: ku.to_unitary(model, input_bound=1.0),
        lambda: ku.prune_inactive(layer, input_bound=1.0),
        lambda: ku.prune_inactive(model, input_bound=1.0),
        lambda: ku.inactive_states(model, input_bound=1.0),
        lambda: ku.verify_equivalence(layer, layer, input_bound=1.0),
        lambda: ku.verify_equivalence(plain, layer, input_bound=1.0),
        lambda: ku.verify_equivalence(model, model, input_bound=1.0),
        lambda: ku.verify_equivalence(plain_model, model, input_bound=1.0),
        lambda: ku.theory.unitary_state_bounds(layer.cell),
        lambda: ku.theory.similarity_transform(layer.cell, np.eye(UNITS)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"without a skip\..*skip=Skip\(0\.1"):
            call()

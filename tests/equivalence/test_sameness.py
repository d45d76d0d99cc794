"""Two layers that differ in one thing are not the same; a copy of a layer is."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence.plans.copies import copy_learned, copy_of
from keras_urnn.equivalence.verification.same_layers import difference, same

L = keras.layers
STEPS, FEATURES = 4, 3
Make = Callable[[], Any]


def one_function(x: Any) -> Any:
    return keras.ops.tanh(x)


def times(x: Any, seed: float) -> Any:
    return seed * x


def functions_of_one_name() -> list[Any]:
    def activation(x: Any) -> Any:
        return 2.0 * x

    first = activation

    def activation(x: Any) -> Any:  # type: ignore[no-redef]
        return 3.0 * x

    return [first, activation]


FIRST, SECOND = functions_of_one_name()


@keras.saving.register_keras_serializable("tests")
class Scaled(L.Layer):
    """A layer of a user, whose config leaves out an attribute."""

    def __init__(self, scale: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.hidden = scale, [1.0, {"a": np.ones(2)}]
        self.dense = L.Dense(2)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, x: Any) -> Any:
        return self.scale * self.hidden[0] * self.dense(x)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], 2)

    def get_config(self) -> Any:
        return {**super().get_config(), "scale": self.scale}


class Doubled(L.Dense):
    def call(self, x: Any) -> Any:
        return 2.0 * super().call(x)


class Looked(Scaled):
    """It looks something up that was made with it, and is not in its config."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = object()


def built(layer: Any, seed: int = 0) -> Any:
    """The layer, built and with random weights, all drawn from one seed."""
    tokens = isinstance(layer, L.Embedding | L.IntegerLookup)
    layer(keras.Input((STEPS,) if tokens else (STEPS, FEATURES), batch_size=2))
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.uniform(size=w.shape) for w in layer.get_weights()])
    return layer


def changed(layer: Any, change: Callable[[Any], Any]) -> Any:
    built(layer)
    change(layer)
    return layer


def adapted(words: list[int]) -> Any:
    layer = L.IntegerLookup()
    layer.adapt(np.array(words))
    return layer


def one_ulp_more(layer: Any) -> None:
    kernel, *others = layer.get_weights()
    kernel.flat[1] = np.nextafter(kernel.flat[1], np.float32(9.0))
    layer.set_weights([kernel, *others])


def calls_nothing(layer: Any) -> None:
    layer.call = lambda x: x


def hides(layer: Any) -> None:
    layer.hidden[1]["a"][0] = 7.0


SEQUENCE = {"return_sequences": True}
# What differs in one thing, by what that is.
OTHERS: dict[str, tuple[Make, Make]] = {
    "activation": (lambda: L.Dense(2, "relu"), lambda: L.Dense(2, "leaky_relu")),
    "function": (lambda: L.Dense(2, FIRST), lambda: L.Dense(2, SECOND)),
    "lambda": (
        lambda: L.Dense(2, lambda x: 2.0 * x),
        lambda: L.Dense(2, lambda x: 3.0 * x),
    ),
    "layer as activation": (
        lambda: L.Dense(2, L.LeakyReLU(0.1)),
        lambda: L.Dense(2, L.LeakyReLU(0.2)),
    ),
    "Lambda": (lambda: L.Lambda(FIRST), lambda: L.Lambda(SECOND)),
    "arguments": (
        lambda: L.Lambda(times, arguments={"seed": 1.0}),
        lambda: L.Lambda(times, arguments={"seed": 2.0}),
    ),
    "ulp": (lambda: L.Dense(2), lambda: changed(L.Dense(2), one_ulp_more)),
    "bias": (lambda: L.Dense(2), lambda: L.Dense(2, use_bias=False)),
    "compute": (lambda: L.Dense(2), lambda: L.Dense(2, dtype="mixed_bfloat16")),
    "policy": (lambda: L.Rescaling(2.0), lambda: L.Rescaling(2.0, dtype="float16")),
    "autocast": (
        lambda: L.Activation("tanh"),
        lambda: L.Activation("tanh", autocast=False),
    ),
    "masks": (
        lambda: L.Dense(2),
        lambda: changed(L.Dense(2), lambda x: setattr(x, "supports_masking", False)),
    ),
    "scale": (lambda: L.Rescaling(2.0), lambda: L.Rescaling(3.0)),
    "offset": (lambda: L.Rescaling(2.0), lambda: L.Rescaling(2.0, 1.0)),
    "axis": (lambda: L.Softmax(-1), lambda: L.Softmax(1)),
    "epsilon": (
        lambda: L.LayerNormalization(epsilon=1e-3),
        lambda: L.LayerNormalization(epsilon=1e-2),
    ),
    "given mean": (
        lambda: L.Normalization(mean=1.0, variance=1.0),
        lambda: L.Normalization(mean=2.0, variance=1.0),
    ),
    "mask value": (lambda: L.Masking(0.0), lambda: L.Masking(1.0)),
    "mask zero": (lambda: L.Embedding(5, 2), lambda: L.Embedding(5, 2, mask_zero=True)),
    "vocabulary": (lambda: adapted([7, 7, 8]), lambda: adapted([8, 8, 7])),
    "class": (lambda: L.Dropout(0.5), lambda: L.GaussianDropout(0.5)),
    "subclass": (lambda: L.Dense(2), lambda: Doubled(2)),
    "method": (lambda: L.Dense(2), lambda: changed(L.Dense(2), calls_nothing)),
    "setting of a user": (lambda: Scaled(2.0), lambda: Scaled(3.0)),
    "hidden": (lambda: Scaled(2.0), lambda: changed(Scaled(2.0), hides)),
    "inner weight": (
        lambda: Scaled(2.0),
        lambda: changed(Scaled(2.0), lambda x: one_ulp_more(x.dense)),
    ),
    "unknown object": (Looked, Looked),
    "merge": (
        lambda: L.Bidirectional(L.LSTM(2), merge_mode="sum"),
        lambda: L.Bidirectional(L.LSTM(2), merge_mode="ave"),
    ),
    "gate": (lambda: L.LSTM(2), lambda: L.LSTM(2, recurrent_activation="relu")),
    "cell": (
        lambda: L.RNN(L.GRUCell(2)),
        lambda: L.RNN(L.GRUCell(2, reset_after=False)),
    ),
    "each step": (
        lambda: L.TimeDistributed(L.Dense(2)),
        lambda: L.TimeDistributed(Doubled(2)),
    ),
    **{
        flag: (lambda: L.GRU(2), lambda flag=flag: L.GRU(2, **{flag: True}))
        for flag in (
            "return_sequences",
            "return_state",
            "go_backwards",
            "stateful",
            "unroll",
        )
    },
    "zero output for mask": (
        lambda: L.GRU(2),
        lambda: L.GRU(2, zero_output_for_mask=True),
    ),
    "start": (
        lambda: ku.UnitaryRNN(2),
        lambda: ku.UnitaryRNN(2, resting_state=[1.0, 0.0]),
    ),
}


@pytest.mark.each_backend
def test_what_differs_in_one_thing_is_not_the_same() -> None:
    for name, makers in OTHERS.items():
        pair = [make() for make in makers]
        for layer in pair:
            if not layer.built and not isinstance(layer, L.IntegerLookup):
                built(layer)
        assert difference(*pair) is not None, name
        assert difference(*pair[::-1]) is not None, name


# What a copy of is the same, names and what only training reads aside.
COPIED: dict[str, Make] = {
    name: makers[0]
    for name, makers in OTHERS.items()
    if name not in ("lambda", "Lambda", "arguments", "unknown object", "function")
}


@pytest.mark.each_backend
def test_a_copy_is_the_same() -> None:
    for name, make in COPIED.items():
        layer = make()
        if isinstance(layer, L.IntegerLookup):
            copy = copy_of(layer)
        else:
            built(layer)
            copy = built(copy_of(layer), seed=1)
        copy_learned(layer, copy)
        copy.name = "of_another_name"
        assert difference(layer, copy) is None, (name, difference(layer, copy))
        assert difference(layer, layer) is None


def test_what_only_training_reads_is_no_difference() -> None:
    one = built(L.LSTM(2, dropout=0.1, kernel_initializer="zeros"))
    other = built(L.LSTM(2, dropout=0.3, bias_regularizer="l2", seed=3))
    other.trainable = False
    assert difference(one, other) is None
    assert difference(L.Dropout(0.1), L.Dropout(0.2)) is None


def test_functions_are_the_same_by_what_they_do() -> None:
    def scaled(factor: Any, by: float = 1.0) -> Any:
        return lambda x: by * factor * x

    assert same(scaled(2.0), scaled(2.0))
    assert not same(scaled(2.0), scaled(3.0))
    assert not same(scaled(object()), scaled(object()))
    assert not same(scaled(2.0), one_function)
    assert not same(FIRST, SECOND)
    assert same(np.ones(2), np.ones(2))
    assert not same(np.ones(2), np.ones(2, "float32"))
    assert not same(1, True)
    assert not same([1.0], (1.0,))


def test_two_activations_are_the_same_by_what_they_compute() -> None:
    assert same(keras.activations.relu, keras.activations.relu)
    assert not same(keras.activations.relu, keras.activations.relu6)
    assert same(L.ReLU(2.0, name="a"), L.ReLU(2.0, name="b"))
    for other in (
        L.ReLU(),
        L.ReLU(2.0, 0.1),
        L.ReLU(2.0, threshold=1.0),
        keras.activations.relu6,
    ):
        assert not same(L.ReLU(2.0), other)
    assert not same(L.ReLU(2.0), L.ReLU(2.0, dtype="float16"))


def test_a_layer_whose_weights_were_loaded_is_the_same(tmp_path: Any) -> None:
    one, other = (keras.Sequential([keras.Input((3,)), L.Dense(2)]) for _ in range(2))
    one.save_weights(tmp_path / "one.weights.h5")
    other.load_weights(tmp_path / "one.weights.h5")
    assert difference(one.layers[0], other.layers[0]) is None

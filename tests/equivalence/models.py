"""Models of every wiring that is converted, and inputs within their bounds."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary
from keras_urnn.equivalence.models.graph import leaves
from tests.equivalence.networks import Array, contraction

L = keras.layers
FEATURES, STEPS, ROWS = 3, 6, 7
SEQUENCE = {"return_sequences": True}
STATE = {"return_state": True}


def randomize(model: Any, seed: int = 0) -> Any:
    """Draw the weights; a recurrent matrix has norm 0.9, or is left as it is.

    Positive biases keep the states switched on.
    """
    generator = np.random.default_rng(seed)
    for i, weight in enumerate(model.weights):
        square = len(weight.shape) == 2 and weight.shape[0] == weight.shape[1]
        if "recurrent" in weight.path:
            if square and "unitary" not in weight.path:
                weight.assign(contraction(weight.shape[0], 0.9, seed=3 * i + 1))
        else:
            drawn = 0.5 * generator.normal(size=weight.shape)
            positive = any(word in weight.path for word in ("variance", "bias"))
            weight.assign(np.abs(drawn) if positive else drawn)
    return model


def contractive(units: int = 2, **kwargs: Any) -> Any:
    return ku.ContractiveRNN(units, max_norm=0.9, **kwargs)


def simple(units: int = 2, **kwargs: Any) -> Any:
    return L.SimpleRNN(units, "relu", **kwargs)


def sequence(name: str | None = None, steps: int = STEPS) -> Any:
    return keras.Input((steps, FEATURES), name=name)


def sequential(*layers: Any) -> Any:
    return randomize(keras.Sequential([sequence(), *layers]))


def functional(inputs: Any, outputs: Any) -> Any:
    return randomize(keras.Model(inputs, outputs))


def draw(model: Any, bound: float, seed: int = 0) -> list[Array]:
    """Inputs in the bound: random ones, and constant ones at its corners.

    Whole numbers are tokens; of a mask the first step of the first half is off.
    """
    generator = np.random.default_rng(seed)
    found = []
    for x in model.inputs:
        shape = [size or STEPS for size in x.shape[1:]]
        batch = x.shape[0] or 8
        drawn = generator.uniform(-bound, bound, (batch, *shape))
        corner = generator.choice([-bound, bound], (batch, *shape[1:]))
        drawn[batch // 2 :] = corner[batch // 2 :, None] if shape[1:] else bound
        if x.name == "tokens":
            drawn = generator.integers(ROWS, size=(batch, *shape))
        if x.dtype == "bool":
            drawn = generator.random((batch, *shape)) < 0.5
            drawn[: batch // 2, 0] = False
        found.append(drawn.astype(x.dtype))
    return found


def reset(model: Any) -> None:
    for _, layer in leaves(model):
        if isinstance(layer, L.RNN | L.Bidirectional) and layer.stateful:
            layer.reset_state()


def outputs(model: Any, inputs: list[Array]) -> list[Array]:
    """All outputs, in a flat list; a stateful model goes on from its state."""
    if isinstance(model, keras.Sequential):
        arguments: Any = inputs[0]
    else:
        arguments = keras.tree.pack_sequence_as(model.input, inputs)
    found = keras.tree.flatten(model(arguments, training=False))
    return [np.asarray(keras.ops.convert_to_numpy(y), "float64") for y in found]


def embedded() -> Any:
    layers = [L.Embedding(ROWS, 3, mask_zero=True), contractive(), L.Dense(2)]
    return randomize(keras.Sequential([keras.Input((None,), name="tokens"), *layers]))


def embedded_functional() -> Any:
    tokens = keras.Input((None,), name="tokens")
    h = L.Embedding(ROWS, 3, mask_zero=True)(tokens)
    h = contractive(**SEQUENCE)(h)
    return functional(tokens, contractive()(L.LayerNormalization()(h)))


def embedded_inside() -> Any:
    tokens = keras.Input((None,), name="tokens")
    return functional(tokens, contractive(name="c")(embedder()(tokens)))


def embedder() -> Any:
    layers = [L.Embedding(ROWS, 3), contractive(**SEQUENCE, name="c")]
    return keras.Sequential([keras.Input((None,)), *layers], name="embedder")


def several() -> Any:
    """Two inputs, two outputs in a dict, and a residual connection."""
    a, b = sequence("a"), sequence("b")
    h = contractive(FEATURES, **SEQUENCE, name="first")(L.Add()([a, b]))
    h = L.Average()([h, a])
    last = contractive(name="second")(h)
    ends = {"last": last, "mean": L.GlobalAveragePooling1D()(h)}
    return functional({"a": a, "b": b}, ends)


def adapted() -> Any:
    """What the layers of its own data compute with is derived from their weights."""
    model = sequential(
        contractive(**SEQUENCE),
        L.TimeDistributed(L.Normalization(), name="each"),
        L.Normalization(name="all"),
        L.Dense(2),
    )
    data = np.random.default_rng(0).normal(3.0, 2.0, size=(9, STEPS, 2))
    model.get_layer("each").layer.adapt(data[0])
    model.get_layer("all").adapt(data)
    return model


def converted_already() -> Any:
    model = sequential(contractive(**SEQUENCE), contractive(), L.Dense(2))
    return to_unitary(model, input_bound=2.0)


def encoder_decoder(make: Callable[..., Any] = contractive, **kwargs: Any) -> Any:
    x, z = sequence("x"), sequence("z", steps=4)
    _, state = make(**STATE, name="encoder")(x)
    h = make(**SEQUENCE, name="decoder", **kwargs)(z, initial_state=state)
    return functional([x, z], L.TimeDistributed(L.Dense(2, "relu"))(h))


def wired_already() -> Any:
    return to_unitary(encoder_decoder(), input_bound=2.0)


def sequential_encoder() -> Any:
    """A Sequential model whose last layer returns its state."""
    layers = [L.Dense(3), contractive(**STATE)]
    encoder = keras.Sequential([sequence(), *layers], name="encoder")
    x, z = sequence("x"), sequence("z")
    output, state = encoder(x)
    h = contractive(name="decoder")(z, initial_state=[state])
    return functional([x, z], [output, h])


def started_by_an_input() -> Any:
    x, start = sequence("x"), keras.Input((2,), name="start")
    h = contractive(**SEQUENCE, learn_initial_state=True)(x, initial_state=start)
    return functional([x, start], contractive(learn_initial_state=True)(h))


def started_by(*gated: Any) -> Any:
    """The states of gated layers: that of a GRU, and the output of an LSTM."""
    x = sequence("x")
    found = []
    for i, layer in enumerate(gated):
        _, state, *_ = layer(x)
        found.append(contractive(name=f"from_{i}")(x, initial_state=state))
    return functional(x, found)


def shared() -> Any:
    """On small numbers, on large ones, on its own outputs and from its own state."""
    x = sequence("x")
    layer = contractive(FEATURES, **SEQUENCE, **STATE, name="shared")
    small, state = layer(L.Rescaling(0.01)(x))
    large, _ = layer(x, initial_state=state)
    twice, last = layer(large)
    return functional(x, [L.Add()([small, twice]), last])


def inner(*layers: Any, name: str = "inner", features: int = FEATURES) -> Any:
    entrance = keras.Input((None, features))
    return keras.Sequential([entrance, *layers], name=name)


def nested_twice() -> Any:
    x = sequence("x")
    model = inner(contractive(FEATURES, **SEQUENCE), L.Dense(FEATURES))
    return functional(x, model(model(L.Rescaling(3.0)(x))))


def nested_deep() -> Any:
    """Both directions inside a model inside a model, and layers of the same names."""
    x = sequence("x")
    both = L.Bidirectional(contractive(), name="h")
    within = inner(contractive(**SEQUENCE, name="h"), L.Dense(2, name="d"))
    a, b = keras.Input((None, FEATURES), name="a"), keras.Input((None, 2), name="b")
    h = L.Concatenate(name="d")([within(a), b])
    outer = keras.Model({"a": a, "b": b}, {"y": both(h)}, name="outer")
    other = inner(L.Dense(2, name="d"), contractive(**SEQUENCE, name="h"), name="other")
    return functional(x, outer({"a": x, "b": other(x)}))


def states_of_both(merge_mode: str | None = None, swapped: bool = False) -> Any:
    """The states of both directions start those of another layer."""
    x = sequence("x")
    layer = L.Bidirectional(contractive(**STATE), merge_mode=merge_mode, name="both")
    *_, forward, backward = layer(x)
    states = [forward, forward] if swapped else [forward, backward]
    h = L.Bidirectional(contractive(), name="behind")(x, initial_state=states)
    return functional(x, h)


def states_of_a_stack() -> Any:
    x = sequence("x")
    cells = [ku.ContractiveRNNCell(3, max_norm=0.9), ku.ContractiveRNNCell(2)]
    output, first, second = L.RNN(cells, **STATE)(x)
    h = contractive(3)(x, initial_state=first)
    return functional(x, [output, h, L.Dense(2)(second)])


def for_each_step() -> Any:
    x = keras.Input((4, STEPS, FEATURES), name="x")
    layer = L.Bidirectional(contractive(), name="both")
    model = inner(contractive(FEATURES, **SEQUENCE), layer)
    h = L.TimeDistributed(contractive(**SEQUENCE), name="each")(x)
    a = L.TimeDistributed(model, name="each_model")(x)
    return functional(x, [L.TimeDistributed(L.GlobalMaxPooling1D())(h), a])


def masked_from_a_start(make: Callable[..., Any] = contractive) -> Any:
    """The first step is masked; Keras wants the mask spelled out beside a start."""
    x, mask = sequence("x"), keras.Input((STEPS,), dtype="bool", name="mask")
    start = keras.Input((2,), name="start")
    h = make(**SEQUENCE, name="m")(x, initial_state=start, mask=mask)
    return functional([x, mask, start], contractive()(h, mask=mask))


def masked_inside() -> Any:
    x = sequence("x")
    model = keras.Sequential(
        [sequence(), L.Masking(), contractive(**SEQUENCE), contractive()], name="inner"
    )
    return functional(x, model(L.Dropout(0.5)(x)))


def stateful() -> Any:
    x = keras.Input(batch_shape=(4, STEPS, FEATURES), name="x")
    learned = {"stateful": True, "learn_initial_state": True}
    model = keras.Sequential(
        [keras.Input(batch_shape=(4, STEPS, 2)), simple(stateful=True)], name="inner"
    )
    return functional(x, model(contractive(**SEQUENCE, **learned)(x)))


MODELS: dict[str, Callable[[], Any]] = {
    "one-layer": lambda: sequential(contractive()),
    "stacked": lambda: sequential(contractive(**SEQUENCE), contractive()),
    "pooled": lambda: sequential(
        contractive(**SEQUENCE), L.MaxPooling1D(2, padding="same"), contractive()
    ),
    "normalized": lambda: sequential(
        contractive(**SEQUENCE), L.BatchNormalization(), contractive()
    ),
    "gated": lambda: sequential(L.LSTM(3, **SEQUENCE), contractive(), L.Dense(2)),
    "masked": lambda: sequential(L.Masking(), contractive(**SEQUENCE), contractive()),
    "cells": lambda: sequential(
        L.RNN([ku.ContractiveRNNCell(3), ku.ContractiveRNNCell(2)]), L.Dense(1)
    ),
    "unitary": lambda: sequential(ku.UnitaryRNN(3, "tanh", **SEQUENCE), contractive()),
    "adapted": adapted,
    "all-unitary": lambda: sequential(
        ku.UnitaryRNN(3, **SEQUENCE), L.LayerNormalization(), ku.UnitaryRNN(3)
    ),
    "unitary-cells": lambda: sequential(
        ku.UnitaryRNN(3, **SEQUENCE),
        L.RNN([ku.UnitaryRNNCell(3), ku.UnitaryRNNCell(2)]),
    ),
    "converted-already": converted_already,
    "embedded": embedded,
    "embedded-functional": embedded_functional,
    "embedded-inside": embedded_inside,
    "several": several,
    "encoder-decoder": encoder_decoder,
    "encoder-decoder-simple": lambda: encoder_decoder(simple),
    "wired-already": wired_already,
    "sequential-encoder": sequential_encoder,
    "sequential-state": lambda: sequential(L.Dense(2), contractive(**STATE)),
    "started-by-an-input": started_by_an_input,
    "started-by-gated": lambda: started_by(L.GRU(2, **STATE), L.LSTM(2, **STATE)),
    "shared": shared,
    "nested-twice": nested_twice,
    "nested-deep": nested_deep,
    "states-of-both": states_of_both,
    "states-of-both-merged": lambda: states_of_both("sum"),
    "states-of-a-stack": states_of_a_stack,
    "for-each-step": for_each_step,
    "masked-from-a-start": masked_from_a_start,
    "masked-inside": masked_inside,
    "stateful": stateful,
}

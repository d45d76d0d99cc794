"""Models whose every setting has a say: the layers around the recurrent one."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tests.hunting.networks import FEATURES, KINDS, LAYER, STEPS, Settings, layer_of

L = keras.layers


class Doubled(keras.layers.Dense):
    """A layer that overrides `call`."""

    def call(self, inputs: Any) -> Any:
        return 2.0 * super().call(inputs)


def recurrent(s: Settings, name: str, **flags: Any) -> Any:
    return layer_of(
        {**LAYER, **s["recurrent"], "name": f"{name}{s['suffix']}"}, **flags
    )


def entrance(s: Settings, name: str) -> Any:
    return keras.Input((STEPS, FEATURES), name=name if s["named"] else None)


def finish(s: Settings, inputs: Any, outputs: Any) -> Any:
    return keras.Model(inputs, outputs, name=f"m{s['suffix']}")


def chain(s: Settings) -> Any:
    """One layer behind the other; each has a setting of its own."""
    x = entrance(s, "x")
    h = L.Rescaling(s["factor"], s["offset"], name=f"a{s['suffix']}")(x)
    h = (Doubled if s["doubled"] else L.Dense)(
        2, activation=s["front"], use_bias=s["front_bias"], name=f"d{s['suffix']}"
    )(h)
    h = recurrent(s, "r")(h)
    h = L.LeakyReLU(s["slope"], name=f"l{s['suffix']}")(h)
    h = L.Dense(2, activation=s["back"], name=f"e{s['suffix']}")(h)
    if s["lambda"] is not None:  # no model with one can be converted
        h = L.Lambda(LAMBDAS[s["lambda"]], name=f"f{s['suffix']}")(h)
    h = L.LayerNormalization(epsilon=s["epsilon"], name=f"n{s['suffix']}")(h)
    h = {"average": L.AveragePooling1D, "max": L.MaxPooling1D}[s["pool"]](
        2, strides=s["strides"], padding=s["padding"], name=f"p{s['suffix']}"
    )(h)
    return finish(s, x, h)


LAMBDAS = {"same": lambda x: x, "cube": lambda x: x + x**3, "abs": ops.abs}
CHAIN: Settings = {
    "recurrent": {},
    "suffix": "",
    "named": True,
    "factor": 0.5,
    "offset": 0.0,
    "front": None,
    "front_bias": True,
    "doubled": False,
    "slope": 0.25,
    "back": "tanh",
    "lambda": None,
    "epsilon": 1e-3,
    "pool": "average",
    "strides": 2,
    "padding": "valid",
}


def gated(s: Settings) -> Any:
    """Two branches that come together; a gate that one corner of the inputs opens."""
    x = entrance(s, "x")
    h = recurrent(s, "r")(x)
    branch = L.Dense(h.shape[-1], activation=s["branch"], name=f"b{s['suffix']}")(x)
    pair = [h, branch][:: s["order"]]
    h = JOINS[s["join"]](name=f"j{s['suffix']}")(pair)
    h = L.Dense(1, name=f"d{s['suffix']}")(L.Flatten(name=f"v{s['suffix']}")(h))
    flat = L.Flatten(name=f"w{s['suffix']}")(x)
    gate = L.Dense(1, activation=s["gate"], name=f"g{s['suffix']}")(flat)
    h = L.Add(name=f"k{s['suffix']}")([h, gate])
    return finish(s, x, h)


JOINS = {
    "add": L.Add,
    "subtract": L.Subtract,
    "concat": L.Concatenate,
    "multiply": L.Multiply,
    "maximum": L.Maximum,
}
GATED: Settings = {
    "recurrent": {},
    "suffix": "",
    "named": True,
    "branch": "relu",
    "order": 1,
    "join": "subtract",
    "gate": "relu",
}


def two(s: Settings) -> Any:
    """Two inputs, two layers, two outputs: wired this way or that."""
    x, y = entrance(s, "x"), entrance(s, "y")
    a, b = [x, y][:: s["entering"]]
    first = recurrent(s, "r", return_state=True)
    h, state = first(a)
    second = first if s["shared"] else recurrent(s, "s", return_state=True)
    start = {"initial_state": state} if s["started"] else {}
    k, _ = second(b, **start)
    skip = L.Concatenate(name=f"c{s['suffix']}")([k, {"x": x, "y": y}[s["skip"]]])
    last = L.Dense(2, name=f"d{s['suffix']}")(skip)
    return finish(s, [x, y][:: s["inputs"]], [h, last][:: s["outputs"]])


TWO: Settings = {
    "recurrent": {},
    "suffix": "",
    "named": True,
    "entering": 1,
    "shared": False,
    "started": True,
    "skip": "x",
    "inputs": 1,
    "outputs": 1,
}


def masked(s: Settings) -> Any:
    """Steps that are left out: by a value, by a token, or none."""
    inner = [L.Masking(s["value"], name="a")] if s["masking"] else []
    inner += [recurrent(s, "r"), L.Dense(2, activation=s["inside"], name="d")]
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), *inner], name="inner")
    x = entrance(s, "x")
    pool = {"mean": L.GlobalAveragePooling1D, "max": L.GlobalMaxPooling1D}[s["pool"]]
    return finish(s, x, pool(name=f"p{s['suffix']}")(model(x)))


MASKED: Settings = {
    "recurrent": {},
    "suffix": "",
    "named": True,
    "masking": True,
    "value": 0.0,
    "inside": "relu",
    "pool": "mean",
}


def tokens(s: Settings) -> Any:
    x = keras.Input((STEPS,), name="x", dtype="int32")
    h = L.Embedding(5, FEATURES, mask_zero=s["mask_zero"], name=f"t{s['suffix']}")(x)
    h = recurrent(s, "r")(h)
    return finish(s, x, L.Dense(2, activation=s["back"], name=f"d{s['suffix']}")(h))


TOKENS: Settings = {
    "recurrent": {},
    "suffix": "",
    "named": True,
    "mask_zero": True,
    "back": None,
}

KINDS |= {
    "chain": (CHAIN, chain),
    "gated": (GATED, gated),
    "two": (TWO, two),
    "masked": (MASKED, masked),
    "tokens": (TOKENS, tokens),
}


def inputs_of(model: Any, seed: int, batch: int = 16) -> list[Any]:
    """Inputs within the bound 1, some steps of them zero; whole numbers are tokens."""
    generator = np.random.default_rng(seed)
    found = []
    for x in model.inputs:
        shape = (batch, *x.shape[1:])
        drawn: Any = generator.uniform(-1.0, 1.0, shape)
        if "int" in x.dtype:
            drawn = generator.integers(5, size=shape)
        else:
            drawn[: batch // 2, 1] = 0.0
        found.append(drawn.astype(x.dtype))
    return found

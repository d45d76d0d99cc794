"""Pairs of networks that differ, each family in its own way."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.fuzzing.draws import Draw
from tests.hunting.networks import FEATURES, FLOATING, Network
from tests.hunting.pairs import BOUND, Pair, converted

L = keras.layers
MODELS = ["chain", "gated", "two", "masked", "tokens"]
ACTIVATIONS = ["relu", "relu", "relu6", "hard_tanh"]


def any_network(draw: Draw, kinds: list[str] | None = None) -> Network:
    """A network of any kind, over any kind of recurrent cell."""
    kind = draw.pick(kinds or ["cell", "cell", "layer", "layer", "layer", *MODELS])
    settings: dict[str, Any] = {
        "class": draw.pick(["contractive", "contractive", "simple", "unitary"]),
        "units": draw.pick([2, 3]),
        "activation": draw.pick(ACTIVATIONS),
        "use_bias": True,
    }
    if kind in ("cell", "layer") and settings["class"] != "simple":
        settings["learned"] = draw.chance(0.3)
    if kind == "layer" or kind in MODELS:
        settings["around"] = draw.pick(["plain", "plain", "RNN", "both"])
        settings["backwards"] = draw.chance(0.2)
    if kind == "two":  # both directions have a state each
        settings["around"] = draw.pick(["plain", "RNN"])
    if kind in MODELS:
        settings = {"recurrent": settings}
    return Network(kind, draw.below(2**31), settings)


def changed_weight(size: Callable[[Any], Any]) -> Callable[[Draw], Pair]:
    """One entry of one weight becomes `size` of it, before a conversion or without."""

    def make(draw: Draw) -> Pair:
        network = any_network(draw)
        first, second = network.build(), network.build()
        note = f"{network}; {change_entry(draw, second, size)}"
        return Pair(first, converted(draw, second), certain=True, note=note)

    return make


def change_entry(draw: Draw, target: Any, size: Callable[[Any], Any]) -> str:
    """Change one entry of one weight, and say which."""
    weights = [w for w in target.weights if w.dtype in FLOATING]
    weight = draw.pick(weights)
    value = np.array(keras.ops.convert_to_numpy(weight))
    # A row of padding has no say: it is masked.
    rows = value[1:] if weight.path.endswith("embeddings") else value
    at = tuple(draw.below(n) for n in rows.shape)
    rows[at] = size(rows[at])
    weight.assign(value)
    return f"{weight.path}{list(at)}"


def one_ulp(value: Any) -> Any:
    return np.nextafter(value, np.float32(np.inf), dtype=np.float32)


def another_layer(draw: Draw) -> Pair:
    """All weights of one layer are drawn once more."""
    network = any_network(draw)
    first, second = network.build(), network.build()
    other = network.but()
    other = Network(other.kind, other.seed + 1, other.settings).build()
    layers = second.layers if isinstance(second, keras.Model) else [second]
    layers = [i for i, layer in enumerate(layers) if layer.weights]
    if isinstance(second, keras.Model):
        i = draw.pick(layers)
        second.layers[i].set_weights(other.layers[i].get_weights())
    else:
        second.set_weights(other.get_weights())
    return Pair(first, converted(draw, second), certain=True)


def changed_conversion(draw: Draw) -> Pair:
    """One entry of a conversion is changed by one ulp, or an added state let loose."""
    network = any_network(draw, ["cell", "layer"])
    plain = {"class": draw.pick(["contractive", "simple"]), "around": "plain"}
    plain |= {"learned": False}
    first = network.but(**plain).build()
    second = ku.to_unitary(first, input_bound=BOUND)
    n = first.units
    cell = getattr(second, "cell", second)
    name = draw.pick(["kernel", "recurrent_kernel", "bias", "added"])
    weight = cell.bias if name == "added" else getattr(cell, name)
    value = np.array(keras.ops.convert_to_numpy(weight))
    if name == "added":
        value[n + draw.below(len(value) - n)] = 1.0
    else:
        at = tuple(draw.below(min(n, size)) for size in value.shape)
        value[at] = one_ulp(value[at])
    weight.assign(value)
    first, second = draw.pick([(first, second), (second, first)])
    return Pair(first, second, certain=True, note=f"{network}; {name}")


# What may be changed of a recurrent layer; the last are for layers only.
RECURRENT: dict[str, list[Any]] = {
    "activation": ["relu", "hard_tanh", "tanh", None, "sigmoid", "leaky_relu"],
    "use_bias": [False],
    "class": ["contractive", "unitary"],
    "units": [2, 3],
    "rest": [None, [0.1, -0.2, 0.3]],
    "scale": [None, [2.0, 1.0, 0.5]],
    "learned": [True, False],
    "around": ["plain", "both"],
    "sequences": [False, True],
    "backwards": [False, True],
    "merge": ["sum", "concat", "mul"],
}
LAYER_ONLY = ("around", "sequences", "backwards", "merge")
COPIED: dict[str, dict[str, list[Any]]] = {
    "chain": {
        "factor": [0.25, -0.5, 0.5],
        "offset": [0.5, 0.0],
        "front": ["relu", "leaky_relu", "tanh", None],
        "front_bias": [False],
        "slope": [0.0, 0.1, 0.5],
        "back": [None, "sigmoid", "tanh", "softmax"],
        "lambda": ["cube", "abs", "same"],
        "epsilon": [1e-1, 1e-5],
        "pool": ["max", "average"],
        "strides": [1, 2],
        "padding": ["same"],
    },
    "gated": {
        "branch": ["tanh", "relu", "leaky_relu"],
        "join": ["add", "subtract", "multiply", "maximum"],
        "gate": ["leaky_relu", "relu", "tanh"],
    },
    "two": {},
    "masked": {"inside": ["tanh", "leaky_relu", "relu"], "pool": ["max", "mean"]},
    "tokens": {"back": ["relu", "softmax", None]},
}
WIRING: dict[str, dict[str, list[Any]]] = {
    "two": {"entering": [-1], "started": [False], "skip": ["y"], "shared": [True]},
    "gated": {"order": [-1]},
}
ORDER: dict[str, dict[str, list[Any]]] = {"two": {"inputs": [-1], "outputs": [-1]}}
MASKS: dict[str, dict[str, list[Any]]] = {
    "masked": {"masking": [False], "value": [0.3]},
    "tokens": {"mask_zero": [False]},
}


def changed_recurrent(draw: Draw) -> Pair:
    """One argument of the recurrent layer is another."""
    network = any_network(draw, ["cell", "layer", "layer", "chain", "gated"])
    network = _with(network, units=3, **{"class": "contractive"})
    unfit = {"cell": LAYER_ONLY, "chain": ("sequences",)}.get(network.kind, ())
    names = [name for name in RECURRENT if name not in unfit]
    name = draw.pick(names)
    if name == "merge":
        network = _with(network, around="both")
    other = _with(network, **{name: draw.pick(RECURRENT[name])})
    note = f"{network} and {other}"
    return Pair(network.build(), converted(draw, other.build()), note=note)


def _with(network: Network, **settings: Any) -> Network:
    """The network with these settings of its recurrent layer."""
    if network.kind in MODELS:
        inner = {**network.settings["recurrent"], **settings}
        return network.but(recurrent=inner)
    return network.but(**settings)


def changed_setting(table: dict[str, dict[str, list[Any]]]) -> Callable[[Draw], Pair]:
    """One setting of a model is another, as the table has them by kinds."""

    def make(draw: Draw) -> Pair:
        network = any_network(draw, [kind for kind, names in table.items() if names])
        name = draw.pick(list(table[network.kind]))
        other = network.but(**{name: draw.pick(table[network.kind][name])})
        pair = network.build(), converted(draw, other.build())
        first, second = draw.pick([pair, pair[::-1]])
        return Pair(first, second, note=f"{network} and {other}")

    return make


class Twice:
    """Doubles the outputs of the layer behind it in the order of methods."""

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        found = super().call(sequences, initial_state, mask=mask, training=training)  # type: ignore[misc]
        return keras.tree.map_structure(lambda y: 2.0 * y, found)


class TwiceRNN(Twice, keras.layers.RNN):
    pass


class TwiceSimple(Twice, keras.layers.SimpleRNN):
    pass


class TwiceContractive(Twice, ku.ContractiveRNN):
    pass


class TwiceUnitary(Twice, ku.UnitaryRNN):
    pass


class TwiceCell(ku.UnitaryRNNCell):
    def call(self, *args: Any, **kwargs: Any) -> Any:
        output, states = super().call(*args, **kwargs)
        return 2.0 * output, states


SUBCLASSES = {"contractive": TwiceContractive, "unitary": TwiceUnitary}
SUBCLASSES |= {"simple": TwiceSimple}


def subclass(draw: Draw) -> Pair:
    """One layer or cell is of a subclass that computes something else."""
    kind = draw.below(4)
    if kind == 0:
        network = any_network(draw, ["chain"])
        other = network.but(doubled=True)
        return Pair(network.build(), converted(draw, other.build()))
    network = _with(any_network(draw, ["layer", "chain", "gated"]), around="plain")
    settings = network.settings.get("recurrent", network.settings)
    if kind == 1:
        network = _with(network, around="RNN")
        return Pair(network.build(), _with(network, kind=TwiceRNN).build())
    if kind == 2:
        return Pair(
            network.build(), _with(network, kind=SUBCLASSES[settings["class"]]).build()
        )
    first = network.but(**{"class": "contractive"}) if network.kind == "layer" else None
    if first is None:
        return subclass(draw)
    unitary = ku.to_unitary(first.build(), input_bound=BOUND)
    other = L.RNN(
        TwiceCell.from_config(unitary.cell.get_config()), return_sequences=True
    )
    other.build((None, None, FEATURES))
    other.set_weights(unitary.get_weights())
    return Pair(first.build(), other)


def dtype(draw: Draw) -> Pair:
    """The same weights, computed with in another precision, or stored in it."""
    network = any_network(draw)
    # Not bfloat16, in which Keras' own cells have no orthogonal start.
    policies = ["mixed_bfloat16", "float64"]
    if keras.config.backend() == "jax":
        policies = policies[:1]  # its float64 is float32
    other = _with(network, dtype=draw.pick(policies))
    second = converted(draw, other.build())
    return Pair(network.build(), second, certain=True, note=str(other))


def rare(draw: Draw) -> Pair:
    """Gates that differ for inputs near one corner of 2**8 only."""
    signs = draw.generator.choice([-1.0, 1.0], (8, 1))

    def gate(activation: str) -> Any:
        model = Network("gated", 1, {"gate": activation}).build()
        model.get_layer("g").set_weights([signs, np.array([BOUND * 7.9])])
        return model

    pair = gate("relu"), converted(draw, gate(draw.pick(["leaky_relu", "linear"])))
    return Pair(*pair, certain=True)


def slow(draw: Draw) -> Pair:
    """Linear cells whose outputs part after a million steps or more."""
    n = draw.pick([1, 2, 3])
    first, second = (
        Network("cell", 1, {"class": "simple", "activation": None, "units": n}).build()
        for _ in range(2)
    )
    decay = draw.pick([0.0, 1e-6, 1e-3])
    matrix = (1.0 - decay) * np.eye(n, dtype="float32")
    first.recurrent_kernel.assign(matrix)
    i = draw.below(n)
    step = np.float32(2.0 ** -draw.pick([24, 23, 22, 20]))
    matrix[i, i] -= step
    second.recurrent_kernel.assign(matrix)
    note = f"{n} states, {1 - decay} I and an entry less by {step}"
    return Pair(first, second, certain=True, note=note)


def readout(draw: Draw) -> Pair:
    """One network, seen through two readouts."""
    network = any_network(draw, ["cell"])
    first = network.build()
    second = converted(draw, network.build())
    one = draw.normal(first.units, 2)
    two = one.copy()
    if draw.chance(0.3):
        one, two = one + 1j, two + 2j
    else:
        at = draw.below(len(one)), draw.below(2)
        two[at] = draw.pick([np.nextafter(two[at], 9.0), two[at] + 1e-6, -two[at]])
    return Pair(first, second, certain=True, arguments={"readouts": (one, two)})


FAMILIES: dict[str, tuple[float, Callable[[Draw], Pair]]] = {
    "one ulp of a weight": (25, changed_weight(one_ulp)),
    "1e-6 of a weight": (8, changed_weight(lambda w: w * np.float32(1 + 1e-6))),
    "1e-3 of a weight": (8, changed_weight(lambda w: w * np.float32(1.001))),
    "another weight": (8, changed_weight(lambda w: w + np.float32(0.5))),
    "another layer": (6, another_layer),
    "a conversion, changed": (12, changed_conversion),
    "setting of a recurrent layer": (14, changed_recurrent),
    "setting of another layer": (14, changed_setting(COPIED)),
    "wiring": (10, changed_setting(WIRING)),
    "order of inputs or outputs": (6, changed_setting(ORDER)),
    "masks": (6, changed_setting(MASKS)),
    "subclass": (10, subclass),
    "dtype": (10, dtype),
    "one corner of the inputs": (6, rare),
    "linear, apart after long": (8, slow),
    "readout": (6, readout),
}

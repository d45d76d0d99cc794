"""A pair of networks, and what is known of it."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.fuzzing.draws import Draw
from tests.hunting.models import inputs_of
from tests.hunting.networks import FEATURES, STEPS

BOUND = 2.0
# Two ways to the same float32 numbers are closer, and so are the two of a conversion.
SEEN = 1e-3


@dataclass
class Pair:
    """Two networks, and whether they differ (or are equal) by how they were made.

    Attributes:
        first, second: cells, layers or models.
        certain: boolean. Whether the making proves it; else a run has to show it.
        arguments: dict. More arguments for `verify_equivalence`.
        note: string. What the two are, and what was changed.
    """

    first: Any
    second: Any
    certain: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def report(self, seed: int) -> Any:
        """What `verify_equivalence` finds, in a few short runs."""
        given: dict[str, Any] = {
            "input_bound": BOUND,
            "steps": 8,
            "batch_size": 2,
            "search": False,
        }
        given |= {"seed": seed, **self.arguments}
        return ku.verify_equivalence(self.first, self.second, **given)

    def verdict(self, seed: int) -> str:
        """The verdict; "refused" where `verify_equivalence` raises what it may."""
        try:
            return str(self.report(seed).verdict)
        except (TypeError, ValueError):
            return "refused"

    def differs(self) -> bool:
        """Whether a run shows that the two differ."""
        outputs = [run(one) for one in (self.first, self.second)]
        if [y.shape for y in outputs[0]] != [y.shape for y in outputs[1]]:
            return True
        pairs = zip(*outputs, strict=True)
        return any(float(np.max(np.abs(a - b))) > SEEN for a, b in pairs)


def converted(draw: Draw, target: Any) -> Any:
    """Half of them as they are, half as their unitary equivalents, if there is one."""
    return target if draw.chance(0.5) else conversion(target)


def conversion(target: Any) -> Any:
    """The unitary equivalent, or the network itself where it has none."""
    try:
        return ku.to_unitary(target, input_bound=BOUND)
    except ValueError:
        return target


def run(target: Any) -> list[Any]:
    """The outputs for random inputs within the bound, as NumPy arrays."""
    if isinstance(target, keras.Model):
        inputs = [x * BOUND if x.dtype.kind == "f" else x for x in inputs_of(target, 1)]
        found = target(inputs if len(inputs) > 1 else inputs[0], training=False)
    else:
        layer = target
        if not isinstance(target, keras.layers.RNN | keras.layers.Bidirectional):
            layer = keras.layers.RNN(target, return_sequences=True)
        x = np.random.default_rng(1).uniform(-BOUND, BOUND, (16, STEPS, FEATURES))
        found = layer(x.astype("float32"), training=False)
    found = keras.tree.flatten(found)
    return [np.asarray(keras.ops.convert_to_numpy(y), "float64") for y in found]

"""Steps of structured maps beside a dense product, forward and backward.

`STEPS` times `h <- h R` and the gradients by `h` and by what `R` is made of, in one
compiled function: by the layers of the map, which it takes at any width here, and by a
product with a dense matrix of the same width. So the ratio says from which width on the
layers are the cheaper ones, and `is_structured` which of the two the map takes there.

Started by `parametrizations.py`, which says what to time; the answer is JSON.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from contestants import JIT, SEED
from keras import ops
from lockstep import Rules, in_turns, ratios
from measuring import rounds

import keras_urnn as ku

STEPS = 8
CALLS = 4  # of a round
# A further structured map is a further row.
MAPS: dict[str, Callable[[], Any]] = {
    "givens, capacity=2": lambda: ku.parametrizations.Givens(capacity=2),
    "givens, capacity=2, field=complex": lambda: ku.parametrizations.Givens(
        capacity=2, field="complex"
    ),
    "fourier": ku.parametrizations.Fourier,
}


def measure(sizes: list[int], batch: int, rules: Rules) -> list[dict[str, Any]]:
    """Time each map at each number of units, beside the product."""
    return [_compared(name, n, batch, rules) for name in MAPS for n in sizes]


def _compared(name: str, units: int, batch: int, rules: Rules) -> dict[str, Any]:
    made = MAPS[name]()
    dense = ku.parametrizations.Projection(field=made.field)
    cells = {"layers": _cell(units, _by_layers(made)), "dense": _cell(units, dense)}
    trials = {which: _gradients(cell, batch) for which, cell in cells.items()}
    told = in_turns(trials, rules)
    return {
        "map": name,
        "n": units,
        "is_structured": _cell(units, made).parametrization.is_structured(),
        **told,
        **ratios(*(told[which]["rounds_ms"] for which in ("layers", "dense"))),
    }


def _by_layers(made: Any) -> Any:
    """Return a parametrization that applies its layers at any width."""
    kind: Any = type(made)

    class ByLayers(kind):
        def is_structured(self) -> bool:
            return True

    return ByLayers.from_config(made.get_config())


def _cell(units: int, made: Any) -> Any:
    keras.utils.set_random_seed(SEED)
    cell = ku.UnitaryRNNCell(units, None, parametrization=made)
    cell.build((None, 1))
    return cell


def _gradients(cell: Any, batch: int) -> Iterator[dict[str, Any]]:
    prepared = cell.parametrization.prepare()
    is_tuple = isinstance(prepared, tuple)

    def total(given: Any) -> Any:
        h, *factors = given
        for _ in range(STEPS):
            h = cell.parametrization.apply(
                h, tuple(factors) if is_tuple else factors[0]
            )
        return ops.sum(ops.square(h))

    rng = np.random.default_rng(SEED)
    h = ops.convert_to_tensor(rng.normal(size=(batch, cell.width)).astype("float32"))
    factors = prepared if is_tuple else (prepared,)
    given = [h, *(ops.copy(each) for each in factors)]
    gradients = _gradients_of(total)
    return rounds(lambda: ops.convert_to_numpy(gradients(given)[0]), CALLS)


def _gradients_of(total: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the gradients of a number by a list of tensors, compiled."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        def gradients(given: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(given)
                number = total(given)
            return tape.gradient(number, given)

        return tf.function(gradients, jit_compile=JIT["tensorflow"][-1])
    if keras.config.backend() == "jax":
        import jax

        return jax.jit(jax.grad(total))
    import torch

    def by_autograd(given: Any) -> Any:
        leaves = [each.detach().requires_grad_() for each in given]
        return [each.detach() for each in torch.autograd.grad(total(leaves), leaves)]

    return by_autograd


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps(measure(told["sizes"], told["batch"], Rules(*told["rules"]))))
    sys.stdout.flush()
    os._exit(0)  # threads of a backend may still wait

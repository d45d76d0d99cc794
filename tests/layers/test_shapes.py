"""Data that the weights don't fit is refused by name, eager and compiled."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import (
    BATCH,
    CELLS,
    FEATURES,
    LAYERS,
    STEPS,
    TOLERANCE,
    UNITS,
    built,
    each_cell,
    each_layer,
    sequences,
    to_numpy,
)

BACKEND = keras.config.backend()
ONES = (BATCH, STEPS, FEATURES)


def ones(*shape: int, dtype: str = "float32") -> Any:
    return np.ones(shape, dtype)


# What is passed beside `sequences()`, or for them; the error; what is expected.
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "one-feature": ({"x": ones(BATCH, STEPS, 1)}, ValueError, "value 4"),
    "fewer-features": ({"x": ones(BATCH, STEPS, 3)}, ValueError, "value 4"),
    "more-features": ({"x": ones(BATCH, STEPS, 6)}, ValueError, "value 4"),
    "one-sequence": ({"x": ones(STEPS, FEATURES)}, ValueError, "ndim=3"),
    "no-steps": ({"x": ones(BATCH, 0, FEATURES)}, ValueError, "at least one step"),
    "complex": ({"x": ones(*ONES, dtype="complex64")}, TypeError, "real numbers"),
    "mask-shorter": ({"mask": ones(BATCH, 5)}, ValueError, "(3, 7)"),
    "mask-of-one-step": ({"mask": ones(BATCH, 1)}, ValueError, "(3, 7)"),
    "mask-longer": ({"mask": ones(BATCH, 9)}, ValueError, "(3, 7)"),
    "mask-transposed": ({"mask": ones(STEPS, BATCH)}, ValueError, "(3, 7)"),
    "mask-of-fewer": ({"mask": ones(2, STEPS)}, ValueError, "(3, 7)"),
    "mask-of-one-axis": ({"mask": ones(STEPS)}, ValueError, "(3, 7)"),
    "mask-of-three-axes": ({"mask": ones(BATCH, STEPS, 1)}, ValueError, "(3, 7)"),
    "mask-of-text": ({"mask": "yes"}, TypeError, "real numbers"),
    "state-of-one": ({"initial_state": ones(1, UNITS)}, ValueError, "(3, any)"),
    "state-of-fewer": ({"initial_state": ones(2, UNITS)}, ValueError, "(3, any)"),
    "state-vector": ({"initial_state": ones(UNITS)}, ValueError, "(3, any)"),
    "state-cube": ({"initial_state": ones(BATCH, 1, UNITS)}, ValueError, "(3, any)"),
    "state-narrow": ({"initial_state": ones(BATCH, 4)}, ValueError, "widths [5]"),
    "states": ({"initial_state": [ones(BATCH, 5)] * 2}, ValueError, "widths [5]"),
    "state-number": ({"initial_state": 0.0}, ValueError, "(3, any)"),
    "state-text": ({"initial_state": "zeros"}, TypeError, "real numbers"),
    "state-dict": ({"initial_state": {"h": 0.0}}, TypeError, "real numbers"),
    "state-none": ({"initial_state": [None]}, TypeError, "real numbers"),
    "state-complex": (
        {"initial_state": ones(BATCH, UNITS, dtype="complex64")},
        TypeError,
        "real numbers",
    ),
}


def call(layer: Any, x: Any = None, **arguments: Any) -> Any:
    return layer(sequences() if x is None else x, **arguments)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["fused", "unrolled"])
def test_refuses(name: str, kind: str) -> None:
    arguments, error, expected = REFUSED[name]
    layer = built(ku.ContractiveRNN(UNITS, unroll=kind == "unrolled", name="memory"))
    message = rf"'memory'[\s\S]*{re.escape(expected)}|{re.escape(expected)}.*'memory'"
    with pytest.raises(error, match=message) as raised:
        call(layer, **arguments)
    given = np.shape(next(iter(arguments.values())))
    assert error is TypeError or "widths" in expected or str(given) in str(raised.value)


@each_layer
@pytest.mark.parametrize("features", [1, 3, 6])
def test_refuses_when_compiled(make_layer: Callable[..., Any], features: int) -> None:
    layer = built(make_layer(UNITS))
    x = ones(BATCH, STEPS, features)
    if BACKEND == "jax":
        import jax

        run = jax.jit(layer)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        run = tf.function(layer, jit_compile=True)
    else:
        run = layer
    with pytest.raises(
        ValueError, match=rf"{layer.name}[\s\S]*value 4[\s\S]*{features}"
    ):
        run(x)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_stateful_layer_has_its_batch(batch: int) -> None:
    layer = built(ku.UnitaryRNN(UNITS, stateful=True, name="memory"))
    with pytest.raises(ValueError, match=r"of 'memory' must be of shape \(3, any, 4\)"):
        layer(ones(batch, STEPS, FEATURES))


WRAPPERS: dict[str, Callable[[Any, Any], Any]] = {
    "rnn": lambda layer, cell: keras.layers.RNN(cell),
    "stacked": lambda layer, cell: keras.layers.RNN(
        keras.layers.StackedRNNCells([cell, ku.ContractiveRNNCell(2)])
    ),
    "bidirectional": lambda layer, cell: keras.layers.Bidirectional(layer),
    "bidirectional-cell": lambda layer, cell: keras.layers.Bidirectional(
        keras.layers.RNN(cell)
    ),
    "distributed": lambda layer, cell: keras.layers.TimeDistributed(layer),
    "sequential": lambda layer, cell: keras.Sequential([layer]),
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("kind", LAYERS)
def test_refuses_in_what_wraps_it(name: str, kind: str) -> None:
    layer, cell = LAYERS[kind](UNITS), CELLS[kind](UNITS)
    whole = WRAPPERS[name](layer, cell)
    inner = (1,) if name == "distributed" else ()
    whole(ones(BATCH, *inner, STEPS, FEATURES))
    with pytest.raises(ValueError, match=rf"{kind}_rnn[\s\S]*4[\s\S]*6\)"):
        whole(ones(BATCH, *inner, STEPS, 6))


@each_layer
def test_a_model_is_refused_while_it_is_put_together(
    make_layer: Callable[..., Any],
) -> None:
    layer = built(make_layer(UNITS))
    with pytest.raises(ValueError, match=rf"{layer.name}.*to have value 4"):
        layer(keras.Input((STEPS, 6)))


@each_layer
def test_one_mask_for_all_sequences(make_layer: Callable[..., Any]) -> None:
    layer = built(make_layer(UNITS, return_sequences=True))
    mask = np.array([[True, True, False, True, False, True, True]])
    expected = layer(sequences(), mask=np.repeat(mask, BATCH, axis=0))
    np.testing.assert_array_equal(
        to_numpy(layer(sequences(), mask=mask)), to_numpy(expected)
    )


STEP = {
    "features": ((BATCH, 3), [(BATCH, 5)], r"\(any, 4\)"),
    "axes": ((BATCH, STEPS, 4), [(BATCH, 5)], r"\(any, 4\)"),
    "width": ((BATCH, 4), [(BATCH, 6)], r"\(3, 5\)"),
    "rows": ((BATCH, 4), [(1, 5)], r"\(3, 5\)"),
    "more-rows": ((1, 4), [(BATCH, 5)], r"\(1, 5\)"),
    "none": ((BATCH, 4), [], r"1 of widths \[5\]"),
    "two": ((BATCH, 4), [(BATCH, 5)] * 2, r"1 of widths \[5\]"),
}


@each_cell
@pytest.mark.parametrize("name", STEP)
def test_a_cell_refuses(make_cell: Callable[..., Any], name: str) -> None:
    shape, states, expected = STEP[name]
    cell = make_cell(UNITS, name="memory")
    cell.build((BATCH, FEATURES))
    with pytest.raises(ValueError, match=rf"of 'memory' must be .*{expected}"):
        cell(ones(*shape), [ones(*state) for state in states])


def test_a_cell_refuses_complex_numbers() -> None:
    cell = ku.UnitaryRNNCell(UNITS)
    cell.build((BATCH, FEATURES))
    states = cell.get_initial_state(BATCH)
    with pytest.raises(TypeError, match=r"`sequence` of .*real numbers.*complex64"):
        cell(ones(BATCH, FEATURES, dtype="complex64"), states)


@pytest.mark.parametrize("value", [None, "three", 2.5, -1, True, np.ones(1)], ids=repr)
def test_refuses_a_batch_size(value: Any) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be a non-negative integer"):
        ku.UnitaryRNNCell(UNITS).get_initial_state(value)


SHAPES = [
    *("text", None, 3, (), (None,), (None, None), (None, None, None)),
    *((None, None, "4"), (None, None, 2.5), (None, None, -1), (None, None, True)),
    *((2, 3, 4, 5, 6), {"a": 1}, ("a", None, 4)),
]
CONFIGS = [3, "input_shape", ["input_shape"], {"shape": 1}, {"shapes_dict": 3}]
CONFIGS += [{"shapes_dict": {}}, {"shapes_dict": {"states_shape": (1, 2)}}]
MAKERS = {f"{name}-cell": make for name, make in CELLS.items()} | LAYERS
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each_maker
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_refuses_to_build(make: Callable[..., Any], shape: Any) -> None:
    if make in CELLS.values() and shape == (None, None):
        shape = (None, "4")
    layer = make(UNITS, name="memory")
    with pytest.raises(ValueError, match=r"input shape of 'memory' must be \(batch"):
        layer.build_from_config({"input_shape": shape})
    assert not layer.weights


@each_maker
@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_refuses_a_build_config(make: Callable[..., Any], config: Any) -> None:
    with pytest.raises(ValueError, match="build config of 'memory' must be a dict"):
        make(UNITS, name="memory").build_from_config(config)


@each_maker
def test_builds_from_its_own_build_config(make: Callable[..., Any]) -> None:
    layer, again = make(UNITS), make(UNITS)
    layer.build((None, FEATURES) if make in CELLS.values() else (None, None, FEATURES))
    again.build_from_config(layer.get_build_config())
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    again = make(UNITS)
    again.build_from_config(None)  # of a layer that was never built
    assert not again.built


@each_layer
def test_is_built_for_one_number_of_features(make_layer: Callable[..., Any]) -> None:
    layer = built(make_layer(UNITS))
    layer.build((None, None, FEATURES))
    with pytest.raises(ValueError, match=r"built once.*Received: 9, after 4"):
        layer.build((None, None, 9))


@each_layer
def test_trains_or_does_not(make_layer: Callable[..., Any]) -> None:
    layer, x = built(make_layer(UNITS)), sequences()
    state = layer.cell.get_initial_state(batch_size=len(x))
    both = np.ones(2)
    with pytest.raises(TypeError, match="`training` must be True, False or None"):
        layer(x, training=both)
    with pytest.raises(TypeError, match="`training` must be True, False or None"):
        layer.cell(x[:, 0], state, training=both)


FLAGS = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")


@each_layer
@pytest.mark.parametrize("value", ["perhaps", "False", None, 1, 0.0, [True]], ids=repr)
def test_flags_are_true_or_false(make_layer: Callable[..., Any], value: Any) -> None:
    for flag in (*FLAGS, "zero_output_for_mask", "use_bias", "learn_initial_state"):
        with pytest.raises(TypeError, match=f"`{flag}` must be True or False"):
            make_layer(UNITS, **{flag: value})
        config = make_layer(UNITS, **{flag: np.bool_(True)}).get_config()
        assert config[flag] is True


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's unknown shapes")
@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
class TestUnknownShapes:
    """A trace that knows no shapes has operations that fail at a wrong one."""

    def traced(self, xla: bool, layer: Any, **shapes: tuple[Any, ...]) -> Any:
        import tensorflow as tf

        names = list(shapes)
        specs = [tf.TensorSpec(shapes[name], "float32") for name in names]

        def run(x: Any, *others: Any) -> Any:
            return layer(x, **dict(zip(names[1:], others, strict=True)))

        compiled = tf.function(run, input_signature=specs, jit_compile=xla)
        return lambda *values: compiled(*map(tf.constant, values))

    def refuses(self, run: Any, *shapes: tuple[int, ...]) -> None:
        import tensorflow as tf

        with pytest.raises(tf.errors.InvalidArgumentError):
            run(*(ones(*shape) for shape in shapes))

    def test_features(self, xla: bool) -> None:
        layer = built(ku.UnitaryRNN(UNITS))
        run = self.traced(xla, layer, x=(None, None, None))
        np.testing.assert_allclose(
            run(sequences()), layer(sequences()), atol=TOLERANCE["float32"]
        )
        self.refuses(run, (BATCH, STEPS, 3))
        self.refuses(run, (BATCH, STEPS, 6))

    def test_masks(self, xla: bool) -> None:
        layer = built(ku.UnitaryRNN(UNITS))
        run = self.traced(xla, layer, x=(None, None, 4), mask=(None, None))
        run(ones(*ONES), ones(BATCH, STEPS))
        for shape in ((BATCH, 5), (BATCH, 9), (BATCH, 1), (STEPS, BATCH), (1, STEPS)):
            self.refuses(run, ONES, shape)

    def test_states(self, xla: bool) -> None:
        layer = built(ku.UnitaryRNN(UNITS))
        run = self.traced(xla, layer, x=(None, None, 4), initial_state=(None, UNITS))
        run(ones(*ONES), ones(BATCH, UNITS))
        for batch, rows in ((BATCH, 1), (BATCH, 2), (1, BATCH)):
            self.refuses(run, (batch, STEPS, 4), (rows, UNITS))

    def test_stateful_batch(self, xla: bool) -> None:
        layer = built(ku.UnitaryRNN(UNITS, stateful=True))
        run = self.traced(xla, layer, x=(None, None, 4))
        run(ones(*ONES))
        for batch in (1, 2):
            self.refuses(run, (batch, STEPS, 4))

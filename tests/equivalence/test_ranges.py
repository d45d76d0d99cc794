"""No value of a layer leaves the range derived for it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings

import keras_urnn as ku
from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.ranges.activations import ACTIVATIONS as TABLE
from keras_urnn.equivalence.ranges.activations import activation_range
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.intervals import (
    ZERO,
    Interval,
    arithmetic_dtype,
    round_down,
    symmetric,
)
from keras_urnn.equivalence.ranges.layers import RULES, layer_ranges
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from tests.equivalence.networks import Array, seeds
from tests.equivalence.test_front_end_ranges import ROWS as FRONT_ENDS
from tests.helpers import precision, to_numpy

L = keras.layers
STEPS, FEATURES, BATCH = 6, 4, 64
Factory = Callable[[], Any]


def layer_range(
    layer: Any, entering: Sequence[Interval], horizon: int | None = None
) -> Interval | None:
    """Return one range for all outputs of a layer, if all are known."""
    found = layer_ranges(layer, entering, horizon)
    known = [interval for interval in found if interval is not None]
    return known[0].hull(*known[1:]) if len(known) == len(found) else None


def dense(activation: str) -> Factory:
    return lambda: L.Dense(3, activation=activation)


def bidirectional(merge_mode: str | None) -> Factory:
    return lambda: L.Bidirectional(
        ku.ContractiveRNN(3, return_sequences=True), merge_mode=merge_mode
    )


# One row per layer that takes one input of shape (batch, steps, features).
SINGLE: dict[str, Factory] = {
    "identity": lambda: L.Identity(),
    "activity": lambda: L.ActivityRegularization(),
    "dropout": lambda: L.Dropout(0.5),
    "alpha-dropout": lambda: L.AlphaDropout(0.5),
    "gaussian-dropout": lambda: L.GaussianDropout(0.5),
    "gaussian-noise": lambda: L.GaussianNoise(1.0),
    "spatial-dropout": lambda: L.SpatialDropout1D(0.5),
    "masking": lambda: L.Masking(0.5),
    "dense-no-bias": lambda: L.Dense(3, use_bias=False),
    **{
        f"dense-{name}": dense(name)
        for name in ("linear", "relu", "tanh", "gelu", "softmax")
    },
    "relu": lambda: L.ReLU(),
    "relu-all": lambda: L.ReLU(max_value=2.0, negative_slope=0.3, threshold=0.5),
    "relu-threshold": lambda: L.ReLU(max_value=2.0, threshold=0.5),
    "dense-relu-layer": lambda: L.Dense(3, activation=L.ReLU(1.0, 0.5)),
    "leaky-relu": lambda: L.LeakyReLU(0.2),
    "softmax": lambda: L.Softmax(),
    "rescaling": lambda: L.Rescaling(-3.0, offset=1.0),
    "batch-normalization": lambda: L.BatchNormalization(),
    "layer-normalization": lambda: L.LayerNormalization(),
    "layer-normalization-steps": lambda: L.LayerNormalization(axis=(1, 2)),
    "lstm": lambda: L.LSTM(3, return_sequences=True),
    "gru": lambda: L.GRU(3, return_sequences=True),
    "simple-rnn-tanh": lambda: L.SimpleRNN(3, return_sequences=True),
    **{
        f"simple-rnn-{name}": lambda name=name: L.SimpleRNN(
            3, name, return_sequences=True
        )
        for name in ("relu6", "hard_sigmoid", "hard_tanh", "sparse_sigmoid")
    },
    "contractive-sparse-plus": lambda: ku.ContractiveRNN(
        3, "sparse_plus", return_sequences=True
    ),
    "contractive-hard-silu": lambda: ku.ContractiveRNN(
        3, "hard_silu", return_sequences=True
    ),
    "contractive": lambda: ku.ContractiveRNN(3, return_sequences=True),
    "contractive-output": lambda: ku.ContractiveRNN(
        4, output_units=2, learn_initial_state=True, return_sequences=True
    ),
    "unitary-sigmoid": lambda: ku.UnitaryRNN(3, "sigmoid", return_sequences=True),
    "rnn": lambda: L.RNN(ku.ContractiveRNNCell(3), return_sequences=True),
    "stack": lambda: L.RNN(
        [ku.ContractiveRNNCell(3), ku.ContractiveRNNCell(2)], return_sequences=True
    ),
    **{
        f"bidirectional-{mode}": bidirectional(mode)
        for mode in ("sum", "mul", "ave", "concat", None)
    },
}
MERGING: dict[str, Factory] = {
    "add": lambda: L.Add(),
    "subtract": lambda: L.Subtract(),
    "multiply": lambda: L.Multiply(),
    "average": lambda: L.Average(),
    "maximum": lambda: L.Maximum(),
    "minimum": lambda: L.Minimum(),
    "concatenate": lambda: L.Concatenate(),
    "concatenate-steps": lambda: L.Concatenate(axis=1),
}


@pytest.fixture(scope="module")
def layer(request: pytest.FixtureRequest) -> Any:
    """Build each layer once; the examples of hypothesis share it."""
    made = request.param()
    merging = request.param in MERGING.values()
    inputs = [keras.Input((STEPS, FEATURES)) for _ in range(1 + merging)]
    made(inputs if merging else inputs[0])
    return made


def each(rows: dict[str, Factory]) -> Any:
    return pytest.mark.parametrize("layer", rows.values(), ids=rows, indirect=True)


def randomize(layer: Any, seed: int) -> None:
    """Random weights, but for the recurrent ones, whose norm matters."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        if "recurrent" not in weight.path:
            drawn = generator.normal(size=weight.shape)
            weight.assign(np.abs(drawn) if "variance" in weight.path else drawn)


def interval(seed: int) -> Interval:
    """A range per feature, from the very small to the large, some of one sign."""
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-2, 2)
    ends = np.sort(scale * generator.normal(size=(2, FEATURES)), axis=0)
    return Interval(*ends.astype("float32").astype("float64"))


def draw(entering: Interval, seed: int) -> Array:
    """Half inside, half at the corners of the range."""
    generator = np.random.default_rng(seed)
    size = (BATCH // 2, STEPS, FEATURES)
    inside = generator.uniform(entering.lower, entering.upper, size)
    corners = np.where(generator.random(size) < 0.5, entering.lower, entering.upper)
    return np.concatenate([inside, corners]).astype("float32")


def assert_inside(outputs: Any, found: Interval | None) -> None:
    assert found is not None
    for output in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        seen = to_numpy(output)
        assert np.all(found.lower <= seen)
        assert np.all(seen <= found.upper)


@each(SINGLE)
@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_observed_values_stay_in_the_range(layer: Any, seed: int) -> None:
    randomize(layer, seed)
    entering = interval(seed)
    outputs = layer(draw(entering, seed), training=False)
    assert_inside(outputs, layer_range(layer, [entering]))


@each(MERGING)
@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_merged_values_stay_in_the_range(layer: Any, seed: int) -> None:
    ranges = [interval(seed), interval(seed + 1)]
    outputs = layer([draw(x, seed + i) for i, x in enumerate(ranges)])
    assert_inside(outputs, layer_range(layer, ranges))


@each(MERGING)
@pytest.mark.parametrize("masked", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("values", [(0.125, 5.0), (5.0, 0.125)])
def test_merged_values_stay_in_the_range_behind_masks(
    layer: Any, masked: tuple[int, ...], values: tuple[float, float]
) -> None:
    ranges = [Interval.of(*2 * [np.full(FEATURES, value)]) for value in values]
    inputs = [draw(x, seed=0) for x in ranges]
    for i in masked:
        inputs[i][:, ::2] = 0.0
        ranges[i] = ranges[i].hull(ZERO)
    given = [keras.Input(x.shape[1:]) for x in inputs]
    merged = [L.Masking()(x) if i in masked else x for i, x in enumerate(given)]
    outputs = keras.Model(given, layer(merged)).predict_on_batch(inputs)
    assert_inside(outputs, layer_range(layer, ranges))


@pytest.mark.parametrize("make", [L.AveragePooling1D, L.GlobalAveragePooling1D])
def test_the_mean_of_many_numbers_stays_in_the_range(make: Any) -> None:
    # TensorFlow gives 0.10000426.
    steps = 5000
    layer = make() if make is L.GlobalAveragePooling1D else make(steps)
    x = keras.Input((steps, 1))
    outputs = layer(x)
    constant = Interval.of(*2 * [np.full(1, np.float64(np.float32(0.1)))])
    (found,) = layer_ranges(layer, [constant])
    model = keras.Model(x, outputs)
    assert_inside(model(np.full((1, steps, 1), 0.1, "float32")), found)
    assert found is not None
    # Each of its 5000 roundings may be in the sum.
    assert 0.1 * (1.0 + steps * 2.0**-24) <= found.upper <= 0.1002


def test_the_mean_of_more_numbers_than_its_dtype_can_count_is_not_known() -> None:
    assert layer_range(L.AveragePooling1D(100), [interval(0)]) is not None
    layer = L.AveragePooling1D(1000, dtype="bfloat16")
    assert layer_range(layer, [interval(0)]) is None


@pytest.mark.each_backend
def test_float64_on_torch_is_float32_for_the_layers_of_keras() -> None:
    with precision("float64"):
        layer = L.Dense(3, use_bias=False)
        layer.build((None, FEATURES))
        x = np.random.default_rng(0).normal(size=FEATURES)
        (found,) = layer_ranges(layer, [Interval.of(x, x)])
        assert_inside(layer(x[None]), found)
        contractive = ku.ContractiveRNNCell(2)
        contractive.build((None, FEATURES))
    simple = L.SimpleRNNCell(2, "relu", dtype="float64")
    expected = "float32" if keras.config.backend() == "torch" else "float64"
    assert arithmetic_dtype(simple) == expected
    assert recurrence_of(contractive).dtype == "float64"


def test_the_tables_name_every_supported_layer() -> None:
    made = {type(make()) for make in [*SINGLE.values(), *MERGING.values()]}
    made |= {type(row.make()) for row in FRONT_ENDS.values()}
    elsewhere = {L.InputLayer, L.Embedding, L.Activation}
    assert set(RULES) <= made | elsewhere


@settings(deadline=None, max_examples=10)
@given(seed=seeds)
def test_dense_comes_within_a_factor_2_of_its_range(seed: int) -> None:
    layer = L.Dense(3)
    layer.build((None, FEATURES))
    randomize(layer, seed)
    entering = interval(seed)
    every_corner = np.array(
        [
            np.where(np.unravel_index(i, (2,) * FEATURES), x.upper, x.lower)
            for x in [entering]
            for i in range(2**FEATURES)
        ]
    ).astype("float32")
    seen = to_numpy(layer(every_corner))
    (found,) = layer_ranges(layer, [entering])
    assert_inside(seen, found)
    assert found is not None
    reached = seen.max(axis=0) - seen.min(axis=0)
    # The slack of TF32 goes with the sizes of the terms, not with the width.
    slack = 0.01 * (entering.largest @ np.abs(to_numpy(layer.kernel)) + 3.0)
    assert np.all(found.upper - found.lower <= 2.0 * reached + slack)


@pytest.mark.parametrize("seed", range(3))
def test_an_embedding_gives_the_rows_of_its_table(seed: int) -> None:
    layer = L.Embedding(7, 3, mask_zero=True)
    layer.build()
    randomize(layer, seed)
    (found,) = layer_ranges(layer, [Interval.of(0.0, 6.0)])
    assert_inside(layer(np.arange(7)[None]), found)
    assert found is not None
    np.testing.assert_allclose(
        found.upper, to_numpy(layer.embeddings).max(axis=0), rtol=1e-5
    )


ACTIVATIONS = [activation for activation, row in TABLE.items() if row.range]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_an_activation_stays_in_its_range(activation: Any, seed: int) -> None:
    layer = L.Activation(activation)
    entering = interval(seed)
    (found,) = layer_ranges(layer, [entering])
    assert_inside(layer(draw(entering, seed)), found)


@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "hard_sigmoid", "relu6"])
def test_small_inputs_narrow_the_range_of_a_bounded_activation(name: str) -> None:
    layer = L.SimpleRNN(2, name, return_sequences=True)
    layer.build((None, None, 1))
    layer.cell.kernel.assign(np.array([[0.25, -0.5]]))
    layer.cell.recurrent_kernel.assign(np.array([[0.25, 0.25], [0.0, 0.25]]))
    found = layer_range(layer, [symmetric([1.0])])
    assert found is not None
    # The activation alone says 1 (relu6: 6); h = 0.25 (1/3) + 0.25 h + 0.5 is 7/9. TF32
    # adds some rounding, and that of what a converted hard_tanh sends from its rest.
    assert np.all(found.largest < 0.81)
    assert_inside(layer(draw(symmetric([1.0]), 0)[..., :1]), found)


def stack(*cells: Any, **kwargs: Any) -> Any:
    return L.RNN(list(cells), return_state=True, **kwargs)


# Recurrent layers that return states; whether the range of the last one is known.
WITH_STATES: dict[str, tuple[Factory, bool]] = {
    "contractive": (lambda: ku.ContractiveRNN(3, return_state=True), True),
    "in-two-parts": (
        lambda: ku.ContractiveRNN(3, output_units=2, return_state=True),
        True,
    ),
    "tanh": (lambda: L.SimpleRNN(3, return_state=True), True),
    "lstm": (lambda: L.LSTM(3, return_state=True), False),
    "gru": (lambda: L.GRU(3, return_state=True, return_sequences=True), True),
    "stack": (lambda: stack(ku.ContractiveRNNCell(3), L.SimpleRNNCell(3)), True),
    "both": (
        lambda: L.Bidirectional(ku.ContractiveRNN(3, return_state=True)),
        True,
    ),
    "one-by-one": (
        lambda: L.Bidirectional(
            L.GRU(2, return_state=True),
            backward_layer=L.SimpleRNN(3, return_state=True, go_backwards=True),
            merge_mode=None,
        ),
        True,
    ),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize(("make", "last"), WITH_STATES.values(), ids=WITH_STATES)
def test_returned_states_stay_in_their_ranges(
    make: Factory, last: bool, is_given: bool, masked: bool
) -> None:
    layer, entering = make(), interval(1)
    x = draw(entering, 1)
    layer(x)
    randomize(layer, 1)
    widths = [keras.tree.flatten(cell.state_size) for cell in cells_of(layer)]
    starts = [[interval(5).collapse().spread(n) for n in cell] for cell in widths]
    parts = [draw_state(part) for cell in starts for part in cell]
    given: dict[str, Any] = {}
    if is_given:
        given = {"initial_state": parts if len(parts) > 1 else parts[0]}
    # On some backends a masked first step gives the start, on others zeros.
    mask = np.ones((BATCH, STEPS), bool)
    if masked:
        mask[:, :2] = mask[:, -1] = mask[::2] = False
    outputs = keras.tree.flatten(layer(x, mask=mask, **given))
    found = layer_ranges(
        layer,
        [entering],
        starts=[Interval.concatenate(*cell) for cell in starts] if is_given else None,
    )
    assert len(found) == len(outputs)
    assert (found[-1] is not None) == last
    for output, known in zip(outputs, found, strict=True):
        if known is not None:
            assert_inside(output, known)


@pytest.mark.each_backend
def test_a_masked_stack_from_given_states_stays_in_its_range() -> None:
    """Keras on JAX takes the state of the first cell for the previous output."""
    layer = stack(ku.ContractiveRNNCell(1), L.SimpleRNNCell(1))
    x, zeros = np.zeros((1, 3, 1), "float32"), np.zeros((1, 1), "float32")
    layer(x)
    layer.cell.cells[0].bias.assign([5.0])
    outputs = layer(x, initial_state=[zeros, zeros], mask=np.array([[1, 1, 0]], bool))
    nothing = Interval.of([0.0], [0.0])
    found, *_ = layer_ranges(layer, [nothing], starts=[nothing, nothing])
    assert_inside(outputs[0], found)


def draw_state(known: Interval) -> Array:
    """Half of them at a corner of the range."""
    generator = np.random.default_rng(2)
    drawn = generator.uniform(known.lower, known.upper, (BATCH, known.lower.size))
    drawn[::2] = np.where(generator.random(known.lower.size) < 0.5, *ends_of(known))
    return drawn.astype("float32")


def ends_of(known: Interval) -> tuple[Array, Array]:
    return known.lower, known.upper


def test_nothing_is_known_behind_an_unknown_start() -> None:
    unknown = [Interval.of(-np.inf, np.inf).spread(3)]
    for make in (ku.ContractiveRNN, L.GRU):
        layer = make(3, return_state=True)
        layer(draw(interval(0), 0))
        assert layer_ranges(layer, [interval(0)], starts=unknown) == [None, None]


def test_nothing_is_known_of_a_subclass_in_both_directions() -> None:
    subclass = type("Mine", (ku.ContractiveRNN,), {})
    with keras.saving.custom_object_scope({"Mine": subclass}):
        layer = L.Bidirectional(subclass(3))
    layer(draw(interval(0), 0))
    assert layer_ranges(layer, [interval(0)]) == [None]


def test_a_masked_recurrent_layer_holds_its_initial_state_or_gives_zeros() -> None:
    layer = ku.ContractiveRNN(2, learn_initial_state=True, return_sequences=True)
    layer.build((None, STEPS, FEATURES))
    layer.cell.learned_initial_state.assign(np.array([5.0, -5.0]))
    layer.cell.bias.assign(np.array([3.0, 3.0]))
    mask = np.zeros((1, STEPS), dtype=bool)
    x = np.zeros((1, STEPS, FEATURES), "float32")
    (found,) = layer_ranges(layer, [Interval.of(0.0, 0.0)])
    assert_inside(layer(x, mask=mask), found)
    layer.zero_output_for_mask = True
    assert_inside(layer(x, mask=mask), found)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Lambda(lambda x: x),
        lambda: L.Dense(2, activation="log_softmax"),
        lambda: L.SimpleRNN(2, activation="softplus"),
        lambda: L.LSTM(2, return_state=True),
        lambda: L.GlobalAveragePooling1D(),  # of any number of steps
        lambda: ku.UnitaryRNN(2),
        lambda: L.LayerNormalization(rms_scaling=True),
        lambda: L.Identity(dtype="int32"),
        lambda: type("MyDense", (L.Dense,), {})(2),
    ],
)
def test_what_can_not_be_derived_is_not_guessed(make: Factory) -> None:
    layer = make()
    layer(np.zeros((1, STEPS, FEATURES), "float32"))
    assert layer_range(layer, [interval(0)]) is None


def test_a_range_that_overflows_is_not_a_range() -> None:
    layer = L.Activation("exponential")
    assert layer_range(layer, [Interval.of(0.0, 1e3)]) is None


def test_a_horizon_bounds_a_unitary_layer() -> None:
    layer = ku.UnitaryRNN(3, return_sequences=True)
    x = draw(interval(0), 0)
    outputs = layer(x)
    assert_inside(outputs, layer_range(layer, [interval(0)], horizon=STEPS))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_round_down_gives_the_next_number_below(dtype: str) -> None:
    x = -np.random.default_rng(0).uniform(0.01, 100.0, 50)
    found = round_down(x, dtype)
    assert np.all(found <= x)
    assert np.all(found >= x * (1.0 + {"bfloat16": 2**-7}.get(dtype, 2**-10)))
    if dtype != "bfloat16":
        np.testing.assert_array_equal(found, found.astype(dtype).astype("float64"))


def test_an_input_bound_is_symmetric() -> None:
    found = InputBounds([1.0, 2.0]).of_input("any")
    np.testing.assert_array_equal(found.lower, [-1.0, -2.0])
    np.testing.assert_array_equal(found.upper, [1.0, 2.0])


@pytest.mark.each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_range_of_a_relu_layer_holds_its_largest_value_as_computed(
    dtype: str,
) -> None:
    # TensorFlow reads 0.3 as float32, in float64 as well: 0.30000001.
    with precision(dtype):
        layer = keras.layers.ReLU(0.3, 0.5, 0.25)
        largest = float(to_numpy(layer(np.array([[5.0]])))[0, 0])
        found = activation_range(layer, Interval.of(-9.0, 9.0), dtype)
    assert found is not None
    assert found.upper >= largest

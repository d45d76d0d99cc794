"""Masked steps leave the state as it was, and repeat the output."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    TOLERANCE,
    UNITS,
    Array,
    built,
    each_layer,
    normal,
    randomize,
    reference_states,
    sequences,
    to_numpy,
)


def masked_at(*steps: slice) -> Array:
    """Return a mask that skips `steps` of the first sequence, none of the last."""
    mask = np.ones((BATCH, STEPS), bool)
    for row, step in enumerate(steps):
        mask[row, step] = False
    return mask


MASKS = {
    "leading": masked_at(slice(0, 2)),
    "middle": masked_at(slice(2, 5), slice(3, 4)),
    "trailing": masked_at(slice(4, None)),
    "all-of-one": masked_at(slice(None)),
    "mixed": masked_at(slice(0, 7, 2), slice(1, 7, 2)),
}
each_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
each_output = pytest.mark.parametrize("output_units", [None, 2], ids=["all", "first-2"])


def relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def assert_close(actual: Any, expected: Array) -> None:
    np.testing.assert_allclose(
        to_numpy(actual), expected, rtol=0, atol=TOLERANCE["float32"]
    )


LEARNED = {"learn_initial_state": True}
ZERO = {**LEARNED, "zero_output_for_mask": True}
WAYS: dict[str, dict[str, Any]] = {
    "from-rest": {},
    "learned": LEARNED,
    "learned-unrolled": {**LEARNED, "unroll": True},
    "last": {**LEARNED, "return_sequences": False},
    "last-unrolled": {**LEARNED, "return_sequences": False, "unroll": True},
    "backwards-from-a-given-start": {"go_backwards": True},
    "zero-output": ZERO,
    "zero-output-unrolled": {**ZERO, "unroll": True},
}


def shown(layer: Any, states: Array, mask: Array) -> Array:
    """Return the outputs: the states, but 0 before there is one to repeat."""
    seen = mask if layer.zero_output_for_mask else np.maximum.accumulate(mask, axis=1)
    outputs = np.where(seen[..., None], states, 0.0)[..., : layer.cell.output_size]
    return outputs if layer.return_sequences else outputs[:, -1]


@each_layer
@each_mask
@each_output
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_mask_holds_state_and_output(
    make_layer: Callable[..., Any],
    mask: Array,
    output_units: int | None,
    options: dict[str, Any],
) -> None:
    always = {"return_sequences": True, "return_state": True}
    layer = built(make_layer(UNITS, output_units=output_units, **always | options))
    x, seen, start, given = sequences(), mask, None, None
    if layer.go_backwards:
        x, seen = x[:, ::-1], mask[:, ::-1]
        start = normal(BATCH, UNITS, seed=4).astype("float32")
        given = [start] if output_units is None else [start[:, :2], start[:, 2:]]
    outputs, *states = layer(sequences(), initial_state=given, mask=mask)
    expected = reference_states(layer.cell, x, relu, seen, start)
    assert_close(outputs, shown(layer, expected, seen))
    last = np.concatenate([to_numpy(state) for state in states], axis=-1)
    assert_close(last, expected[:, -1])


@each_layer
@each_output
def test_bidirectional_with_a_mask(
    make_layer: Callable[..., Any], output_units: int | None
) -> None:
    layer = make_layer(UNITS, output_units=output_units, return_sequences=True)
    both = keras.layers.Bidirectional(layer)
    x, mask = sequences(), MASKS["middle"]
    both.build(x.shape)
    parts = []
    for cell, order in ((both.forward_layer.cell, 1), (both.backward_layer.cell, -1)):
        states = reference_states(
            randomize(cell), x[:, ::order], relu, mask[:, ::order]
        )
        parts.append(states[:, ::order, : cell.output_size])
    # Bidirectional zeroes the outputs at masked steps.
    expected = np.where(mask[..., None], np.concatenate(parts, axis=-1), 0.0)
    assert_close(both(x, mask=mask), expected)


def masking() -> tuple[Any, Array, Array]:
    """Return a layer that makes a mask, its input, and the mask."""
    mask = MASKS["middle"]
    return keras.layers.Masking(0.0), sequences() * mask[..., None], mask


def embedding() -> tuple[Any, Array, Array]:
    mask = MASKS["mixed"]
    tokens = np.random.default_rng(0).integers(1, 9, (BATCH, STEPS))
    layer = keras.layers.Embedding(9, FEATURES, mask_zero=True)
    return layer, np.where(mask, tokens, 0), mask


@each_layer
@each_output
@pytest.mark.parametrize("make_source", [masking, embedding])
def test_mask_reaches_every_layer_of_a_model(
    make_layer: Callable[..., Any],
    output_units: int | None,
    make_source: Callable[[], tuple[Any, Array, Array]],
) -> None:
    source, data, mask = make_source()
    lower = make_layer(UNITS, output_units=output_units, return_sequences=True)
    upper = make_layer(UNITS, output_units=output_units)
    model = keras.Sequential([source, lower, upper])
    x = to_numpy(source(data))
    model(data)
    randomize(lower.cell)
    randomize(upper.cell)
    between = reference_states(lower.cell, x, relu, mask)
    between = between[..., : lower.cell.output_size]
    expected = reference_states(upper.cell, between, relu, mask)[:, -1]
    got = model.predict(data, verbose=0)
    assert_close(got, expected[..., : upper.cell.output_size])


@each_layer
@pytest.mark.parametrize("return_sequences", [False, True])
def test_mask_is_passed_on_for_sequences_only(
    make_layer: Callable[..., Any], return_sequences: bool
) -> None:
    layer = make_layer(UNITS, return_sequences=return_sequences)
    mask = MASKS["middle"]
    assert layer.compute_mask(None, mask) is (mask if return_sequences else None)
    assert layer.supports_masking

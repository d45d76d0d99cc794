"""What takes longer than a minute: `make test-long`, results in tests/results/."""

from collections import Counter

import keras
import numpy as np
import pytest
import scipy.linalg
from keras import ops

import keras_urnn as ku
from keras_urnn.equivalence import Obstruction, Scaling, find_scaling
from tests.equivalence.matrices import check_against_sdp

pytestmark = pytest.mark.long


def test_512_states_are_converted_and_verified():
    layer = ku.ContractiveRNN(512, max_norm=0.99)
    layer.build((None, None, 3))
    # Biases of both signs: without them half of the states would stay off.
    bias = 0.1 * np.random.default_rng(0).normal(size=512)
    layer.cell.bias.assign(bias)
    converted = ku.to_unitary(layer, input_bound=1.0)
    report = ku.verify_equivalence(layer, converted, input_bound=1.0, batch_size=2)
    assert report.equivalent, report
    assert report.states_after == 1024
    assert report.max_relative_difference <= 1e-6
    assert report.unitarity_error <= 1e-6


@pytest.mark.parametrize("n", [1, 3, 32])
def test_ten_thousand_steps_do_not_drift_off_the_set(n):
    constraint = ku.UnitaryProjection()
    rng = np.random.default_rng(n)
    w = ops.convert_to_tensor(np.eye(n, dtype="float32"))
    for _ in range(10_000):
        step = 1e-2 * rng.normal(size=(n, n)).astype("float32")
        w = constraint(w + ops.convert_to_tensor(step))
    assert ku.diagnostics.unitarity_error(w) <= 1e-6
    if n > 1:  # the premise: it has wandered off
        assert np.max(np.abs(ops.convert_to_numpy(w) - np.eye(n))) > 0.1


@pytest.mark.parametrize("n", [256, 512])
def test_large_projections_are_scipys(n):
    w = np.random.default_rng(n).normal(size=(n, n)).astype("float32")
    q = ops.convert_to_numpy(ku.UnitaryProjection()(ops.convert_to_tensor(w)))
    exact, _ = scipy.linalg.polar(w.astype("float64"))
    # eps * condition, as in test_linalg; the condition is some thousands here.
    assert np.max(np.abs(q - exact)) <= 8 * 2.0**-23 * np.linalg.cond(w)
    assert ku.diagnostics.unitarity_error(q) <= 2e-6


def test_training_on_ten_thousand_steps_keeps_the_kernel_orthogonal():
    model = keras.Sequential(
        [keras.Input((10_000, 1)), ku.UnitaryRNN(16), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(4, 10_000, 1)).astype("float32")
    losses = [model.train_on_batch(x, x[:, 0]) for _ in range(3)]
    assert np.all(np.isfinite(losses))
    assert ku.diagnostics.unitarity_error(model.layers[0]) <= 1e-6


def test_300_matrices_have_a_scaling_where_an_sdp_finds_one():
    outcomes = Counter(check_against_sdp(seed) for seed in range(300))
    print(dict(outcomes))
    # The premise: all outcomes occur, and few are left out.
    assert outcomes["excluded"] >= 50
    assert outcomes["scaled"] >= 30
    assert outcomes["scaled exactly"] >= 30
    assert outcomes["left out"] <= 6


@pytest.mark.parametrize("norm", [0.9, 0.97, 1.03, 2.0])
def test_512_states_are_scaled_or_excluded(norm):
    generator = np.random.default_rng(0)
    d = 10.0 ** generator.uniform(-3.0, 3.0, 512)
    # Orthogonal, so that no scaling makes its norm smaller.
    q, _ = np.linalg.qr(generator.normal(size=(512, 512)))
    found = find_scaling(norm * q * d / d[:, None])
    if norm < 1.0:
        assert isinstance(found, Scaling)
        assert found.norm < 1.0
    else:
        assert isinstance(found, Obstruction)
        assert found.excludes(1.0)

"""The constraints as Keras components: configs, errors, jitted steps, other layers."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from tests.helpers import compile_model

CONSTRAINTS = {
    "unitary": lambda: ku.UnitaryProjection(method="newton_schulz"),
    "contractive": lambda: ku.ContractiveProjection(0.7, method="newton_schulz"),
}
# Those that may reach an SVD, which spins for ever on Inf on some backends.
DECOMPOSING = {
    "unitary": lambda: ku.UnitaryProjection(),
    "contractive": lambda: ku.ContractiveProjection(0.7, method="svd"),
}


def is_on_set(name, matrix):
    if name == "unitary":
        return ku.diagnostics.unitarity_error(matrix) <= 1e-6
    return ku.diagnostics.spectral_norm(matrix) <= 0.7 * (1 + 1e-6)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_round_trips_through_the_config(name):
    constraint = CONSTRAINTS[name]()
    config = keras.constraints.serialize(constraint)
    assert config["registered_name"] == f"keras_urnn>{type(constraint).__name__}"
    copy = keras.constraints.get(config)
    assert type(copy) is type(constraint)
    assert copy.method == "newton_schulz"
    assert getattr(copy, "max_norm", 0.7) == 0.7


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_an_instance_and_a_class_work_as_a_kernel_constraint(name):
    constraint = CONSTRAINTS[name]()
    assert keras.layers.Dense(2, kernel_constraint=constraint).kernel_constraint
    dense = keras.layers.Dense(2, kernel_constraint=type(constraint))
    assert isinstance(dense.kernel_constraint, type(constraint))


@pytest.mark.parametrize("method", ["auto", "svd"])
def test_complex_matrices_of_any_rank_go_to_one_of_the_nearest(method):
    rng = np.random.default_rng(0)
    left, right = (
        rng.normal(size=(100, 5, 5)) + 1j * rng.normal(size=(100, 5, 5)) for _ in "LR"
    )
    sizes = 10.0 ** rng.uniform(-7.0, 0.0, (100, 1, 5))
    sizes *= np.arange(5) < rng.integers(0, 6, (100, 1, 1))  # the rank is 0 to 5
    w = (left * sizes) @ right
    constraint = ku.UnitaryProjection(method=method, field="complex")
    parts = np.concatenate([w.real, w.imag], axis=-1).astype("float32")
    found = ops.convert_to_numpy(constraint(ops.convert_to_tensor(parts)))
    q = found[..., :5] + 1j * found[..., 5:]
    gram = np.conj(np.swapaxes(q, -1, -2)) @ q
    assert np.max(np.abs(gram - np.eye(5))) <= 5e-6
    nuclear = np.sum(np.linalg.svd(w, compute_uv=False), axis=-1)
    along = np.sum(np.conj(q) * w, axis=(-2, -1)).real
    assert np.all(nuclear - along <= 1e-5 * nuclear)


LAYERS = {
    "dense": (lambda c: keras.layers.Dense(4, kernel_constraint=c), (6,)),
    "wide dense": (lambda c: keras.layers.Dense(6, kernel_constraint=c), (4,)),
    "conv": (lambda c: keras.layers.Conv1D(4, 2, kernel_constraint=c), (5, 6)),
    "lstm": (lambda c: keras.layers.LSTM(3, recurrent_constraint=c), (5, 2)),
}
JIT = {"tensorflow": [False, True], "jax": [True], "torch": [False]}


@pytest.mark.parametrize("jit_compile", JIT[keras.backend.backend()])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_holds_on_any_layer_after_a_compiled_step(name, layer, jit_compile):
    make, shape = LAYERS[layer]
    model = keras.Sequential([keras.Input(shape), make(CONSTRAINTS[name]())])
    compile_model(model, keras.optimizers.SGD(0.5), "mse", jit_compile=jit_compile)
    kernel = next(w for w in model.weights if w.constraint is not None)
    before = ops.convert_to_numpy(kernel)
    x = np.random.default_rng(0).normal(size=(8, *shape)).astype("float32")
    y = np.ones((8, *model.output_shape[1:]), "float32")
    model.train_on_batch(x, y)
    after = ops.convert_to_numpy(kernel)
    assert np.max(np.abs(after - before)) > 1e-3, "the premise: a step was taken"
    matrices = after.reshape(-1, *after.shape[-2:])
    assert all(is_on_set(name, matrix) for matrix in matrices)


@pytest.mark.parametrize("jit_compile", JIT[keras.backend.backend()])
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_nan_stays_visible_in_fit_and_nothing_hangs(name, jit_compile):
    dense = keras.layers.Dense(3, kernel_constraint=DECOMPOSING[name]())
    model = keras.Sequential([keras.Input((3,)), dense])
    compile_model(model, "sgd", "mse", jit_compile=jit_compile)
    x = np.full((4, 3), np.inf, "float32")
    # Two epochs at most: the kernel is not finite after the first step.
    stop = keras.callbacks.TerminateOnNaN(raise_error=False)
    history = model.fit(x, x, epochs=2, verbose=0, callbacks=[stop])
    assert not np.isfinite(history.history["loss"][0])
    assert not np.any(np.isfinite(ops.convert_to_numpy(model.layers[0].kernel)))


@pytest.mark.parametrize("make", [ku.UnitaryProjection, ku.ContractiveProjection])
def test_refuses_other_methods(make):
    with pytest.raises(ValueError, match=r"`method` must be one of .*'qr'"):
        make(method="qr")


@pytest.mark.parametrize("bad", [0.0, -0.5, 1.5, float("nan"), "0.9", None, True])
def test_refuses_norms_outside_0_1(bad):
    with pytest.raises(ValueError, match=r"`max_norm` must be a number in \(0, 1\]"):
        ku.ContractiveProjection(max_norm=bad)


@pytest.mark.parametrize("make", [ku.UnitaryProjection, ku.ContractiveProjection])
def test_refuses_a_vector(make):
    with pytest.raises(ValueError, match=r"\(\.\.\., rows, columns\), .*Rec.*\(3,\)"):
        make()(ops.ones((3,)))


@pytest.mark.parametrize("make", [ku.UnitaryProjection, ku.ContractiveProjection])
def test_refuses_integers(make):
    with pytest.raises(TypeError, match=r"`w.dtype` must be a floating dtype.*int32"):
        make()(ops.ones((3, 3), dtype="int32"))


@pytest.mark.parametrize("make", [ku.UnitaryProjection, ku.ContractiveProjection])
def test_refuses_a_symbolic_kernel(make):
    symbol = keras.KerasTensor((3, 2))
    for junk in (symbol, [symbol, np.ones((3, 2))], {"w": symbol}):
        with pytest.raises((TypeError, ValueError), match="`w` must be a"):
            make()(junk)
    overflowing = make()(np.full((2, 2), 1e300))  # Inf where float64 becomes float32
    assert not np.any(np.isnan(ops.convert_to_numpy(overflowing)))
    with pytest.raises(ValueError, match="at most 32 axes"):
        make()(np.ones((1,) * 40, "float32"))
    with pytest.raises(ValueError, match=r"`w(\.shape)?` must be"):
        make()(2**63)

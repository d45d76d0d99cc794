#!/usr/bin/env bash
# Keras 3.15.1 on PyTorch 2.13.0 and on JAX 0.10.2 (JAX_ENABLE_X64=1), NumPy 2.4.6.
#
# A good engineer expects that float64 stays float64: the tensors are, `floatx` is, and
# the backend's own functions compute in it.
#
# `keras.backend.result_type("float64", "float64")` is float32 on every backend but
# TensorFlow, even with `floatx` float64, and functions that ask it compute in float32. On
# PyTorch, `ops.maximum` and `ops.minimum` return float32, while `ops.add` and `ops.clip`
# keep float64. On JAX, `ops.mean` and the layers GlobalAveragePooling1D and
# BatchNormalization return float64 with the accuracy of float32, so that the type of the
# result hides it.
#
# The output seen:
#   keras 3.15.1, torch 2.13.0, numpy 2.4.6
#   type of x: float64, joint type: float32
#   ops.add: float64, right
#   ops.clip: float64, right
#   ops.maximum: float32, rounded to float32
#   ops.minimum: float32, rounded to float32
#   keras 3.15.1, jax 0.10.2, numpy 2.4.6
#   type of x: float64, joint type: float32
#   ops.sum: float64, right
#   ops.mean: float64, rounded to float32
#   GlobalAveragePooling1D: float64, rounded to float32
#   BatchNormalization: float64, rounded to float32
#
# Why it matters: float64 is what one turns to in order to check that a recurrent matrix is
# orthogonal or a gradient correct, with tolerances such as 1e-12. The check then fails at
# 1e-8 where the mathematics is right, or the tolerance is loosened and hides what is not.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
    'keras==3.15.1' 'torch==2.13.0' 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'

cat >"$work/program.py" <<'PROGRAM'
import keras
import numpy as np
from keras import layers, ops

backend = keras.backend.backend()
version = __import__(backend).__version__.split("+")[0]
print(f"keras {keras.__version__}, {backend} {version}, numpy {np.__version__}")
keras.config.set_floatx("float64")

values = np.linspace(0.1, 0.7, 6).reshape(1, 6, 1)
x = ops.convert_to_tensor(values)
joint = keras.backend.result_type("float64", "float64")
print(f"type of x: {keras.backend.standardize_dtype(x.dtype)}, joint type: {joint}")
assert joint == "float32", "Two float64 types have the joint type float64 now."


def error(name, result, right):
    dtype = keras.backend.standardize_dtype(result.dtype)
    difference = float(np.max(np.abs(np.float64(ops.convert_to_numpy(result)) - right)))
    kind = "rounded to float32" if difference > 1e-10 else "right"
    print(f"{name}: {dtype}, {kind}")
    return dtype, kind


single, double = ("float32", "rounded to float32"), ("float64", "right")
hidden = ("float64", "rounded to float32")
if backend == "torch":
    assert error("ops.add", ops.add(x, x), 2 * values) == double, "ops.add changed."
    assert error("ops.clip", ops.clip(x, 0, 1), values) == double, "ops.clip changed."
    for name in ("maximum", "minimum"):
        result = getattr(ops, name)(x, x)
        assert error(f"ops.{name}", result, values) == single, f"ops.{name} is float64 now."
else:
    sum_, mean, variance = values.sum(), values.mean(), values.var()
    assert error("ops.sum", ops.sum(x), sum_) == double, "ops.sum changed."
    assert error("ops.mean", ops.mean(x), mean) == hidden, "ops.mean is exact now."
    pooled = layers.GlobalAveragePooling1D(dtype="float64")(x)
    found = error("GlobalAveragePooling1D", pooled, mean)
    assert found == hidden, "The pooling is exact now."
    layer = layers.BatchNormalization(epsilon=1e-3, dtype="float64")
    right = (values - mean) / np.sqrt(variance + 1e-3)
    found = error("BatchNormalization", layer(x, training=True), right)
    assert found == hidden, "BatchNormalization is exact now."
PROGRAM

export KERAS_HOME="$work/keras" JAX_PLATFORMS=cpu JAX_ENABLE_X64=1
for backend in torch jax; do
    KERAS_BACKEND=$backend "$work/venv/bin/python" "$work/program.py"
done

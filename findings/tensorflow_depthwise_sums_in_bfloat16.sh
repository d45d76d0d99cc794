#!/usr/bin/env bash
# TensorFlow 2.21.0 with Keras 3.15.1 (NumPy 2.4.6), on a CPU.
#
# A good engineer expects that a depthwise convolution of bfloat16 numbers sums its
# products in float32 and rounds the sum once, as Conv1D and matmul do in this library.
#
# It sums in bfloat16 itself. The running sum of ones stops at 256, since 257 is no
# bfloat16 number, and in float16 it stops at 2048. The same convolution as a Conv1D with
# as many groups as channels is exact, and so is the product with a matrix of ones. A
# policy such as mixed_bfloat16 is enough to get there, and nothing in the shape or the
# type of the result shows it.
#
# (oneDNN, which may have a kernel of its own on some CPUs, is turned off below, so that
# each machine takes the same one. On the CPU tried, it made no difference.)
#
# The output seen:
#   tensorflow 2.21.0, keras 3.15.1, numpy 2.4.6
#   float32: depthwise 4096.0, Conv1D 4096.0, matmul 4096.0
#   mixed_float16: depthwise 2048.0, Conv1D 4096.0, matmul 4096.0
#   mixed_bfloat16: depthwise 256.0, Conv1D 4096.0, matmul 4096.0
#
# Why it matters: a linear recurrence with a diagonal matrix, h_t = a * h_{t-1} + x_t, is a
# depthwise convolution with the kernel 1, a, a**2 and so on, and long kernels are how it
# is computed in parallel. Where the recurrence remembers long (a near 1), the state stops
# growing at a fraction of its value, here a sixteenth, while Conv1D has it right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'tensorflow==2.21.0' 'keras==3.15.1' 'numpy==2.4.6'

export KERAS_HOME="$work/keras" KERAS_BACKEND=tensorflow
export TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0 CUDA_VISIBLE_DEVICES=

"$work/venv/bin/python" - 2>"$work/log" <<'PROGRAM' || { cat "$work/log" >&2; exit 1; }
import keras
import numpy as np
import tensorflow as tf

print(f"tensorflow {tf.__version__}, keras {keras.__version__}, numpy {np.__version__}")
TAPS = 4096


def sums(policy):
    """A sum of ones, by two layers that are the same convolution, and by matmul."""
    ones = np.ones((1, TAPS, 2), "float32")
    depthwise = keras.layers.DepthwiseConv1D(
        TAPS, depthwise_initializer="ones", dtype=policy
    )
    grouped = keras.layers.Conv1D(
        2, TAPS, groups=2, kernel_initializer="ones", dtype=policy
    )
    dtype = depthwise.compute_dtype
    product = tf.matmul(tf.ones((1, TAPS), dtype), tf.ones((TAPS, 2), dtype))
    layers = [float(layer(ones)[0, 0, 0]) for layer in (depthwise, grouped)]
    return [*layers, float(product[0, 0])]


results = {}
for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
    depthwise, grouped, product = results[policy] = sums(policy)
    print(f"{policy}: depthwise {depthwise}, Conv1D {grouped}, matmul {product}")

for policy, (_, grouped, product) in results.items():
    assert grouped == TAPS, f"Conv1D no longer adds {TAPS} ones in {policy}."
    assert product == TAPS, f"matmul no longer adds {TAPS} ones in {policy}."
assert results["float32"][0] == TAPS, "The depthwise sum is wrong in float32 too."
assert results["mixed_float16"][0] == 2048, "The sum no longer stops at 2048 in float16."
assert results["mixed_bfloat16"][0] == 256, "The sum no longer stops at 256 in bfloat16."
PROGRAM

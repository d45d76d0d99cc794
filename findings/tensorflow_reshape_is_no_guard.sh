#!/usr/bin/env bash
# TensorFlow 2.21.0 (NumPy 2.4.6), on a CPU.
#
# A good engineer expects that `tf.reshape(h, (tf.shape(x)[0], 5))` raises an error unless
# the state h has one row for each row of the batch x, in a tf.function as it does eagerly,
# since a reshape never changes the number of entries.
#
# In a tf.function with an open batch size, the graph optimizer takes the reshape for the
# identity and removes it, as both shapes are (None, 5) to it. With the reshape goes its
# check. A state of one row, for a batch of three, is broadcast by the addition that
# follows, and the result has the right shape. Eagerly, compiled by XLA, or without the
# arithmetic optimizer, the same call raises an error. An assertion is not removed.
#
# The output seen:
#   tensorflow 2.21.0, numpy 2.4.6
#   eager: InvalidArgumentError
#   tf.function, XLA: InvalidArgumentError
#   tf.function: (3, 5)
#   tf.function with an assertion: InvalidArgumentError
#   tf.function, no arithmetic optimizer: InvalidArgumentError
#
# Why it matters: the initial state of a recurrence is given by the caller, and a reshape
# looks like a cheap way to pin its shape. The state that was kept for one sequence is
# silently shared by a whole batch, in production (graphs) and not in the tests (eager).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'tensorflow==2.21.0' 'numpy==2.4.6'

export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=

"$work/venv/bin/python" - 2>"$work/log" <<'PROGRAM' || { cat "$work/log" >&2; exit 1; }
import numpy as np
import tensorflow as tf

print(f"tensorflow {tf.__version__}, numpy {np.__version__}")
batch = tf.ones((3, 5))
one_row = tf.ones((1, 5))
signature = [tf.TensorSpec((None, 5)), tf.TensorSpec((None, 5))]


def reshaped(x, h):
    return x + tf.reshape(h, (tf.shape(x)[0], 5))


def asserted(x, h):
    tf.debugging.assert_equal(tf.shape(h)[0], tf.shape(x)[0])
    return x + h


def outcome(name, function):
    try:
        result = tuple(function(batch, one_row).shape)
    except tf.errors.InvalidArgumentError:
        result = "InvalidArgumentError"
    print(f"{name}: {result}")
    return result


def graph(function, **options):
    return tf.function(function, input_signature=signature, **options)


eager = outcome("eager", reshaped)
compiled = outcome("tf.function, XLA", graph(reshaped, jit_compile=True))
in_graph = outcome("tf.function", graph(reshaped))
guarded = outcome("tf.function with an assertion", graph(asserted))
tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
unoptimized = outcome("tf.function, no arithmetic optimizer", graph(reshaped))

refused = "InvalidArgumentError"
assert eager == compiled == refused, "A reshape to more entries is not refused any more."
assert in_graph == (3, 5), "The reshape is a guard in a tf.function now."
assert unoptimized == refused, "The reshape vanishes without the arithmetic optimizer too."
assert guarded == refused, "The assertion vanishes too."
PROGRAM

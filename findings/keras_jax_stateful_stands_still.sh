#!/usr/bin/env bash
# Keras 3.15.1 on JAX 0.10.2 (NumPy 2.4.6).
#
# A good engineer expects that a recurrent layer with `stateful=True` keeps its state from
# one batch to the next in `predict`, `evaluate` and `fit`, as the documentation of the
# argument says and as it does on PyTorch and TensorFlow, and that `reset_state` sets it
# back to zeros.
#
# On JAX only a direct call of the model moves the state. The layer's state is not among
# the model's non-trainable variables, and those are all that the compiled functions hand
# back. `predict` therefore answers every batch from the same state, within one call too.
# This state is the one at the time of the compilation, as a constant: neither a later
# call of the model nor `reset_state` has any effect on it. No warning is given.
#
# The output seen:
#   keras 3.15.1, jax 0.10.2, numpy 2.4.6
#   three calls of the model: [1.0, 2.0, 3.0]
#   predict over three batches: [1.0, 1.0, 1.0]
#   three times predict_on_batch: [1.0, 1.0, 1.0]
#   the state after fit and after evaluate, three batches each: [0.0, 0.0]
#   predict after five calls: [6.0], after reset_state: [6.0], the state: 0.0
#
# Why it matters: a long sequence that is cut into pieces is read as if each piece were
# the first one, both in training and in prediction. Whoever measures how long a
# recurrent network remembers measures the length of the pieces.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
    'keras==3.15.1' 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'

export KERAS_HOME="$work/keras" KERAS_BACKEND=jax JAX_PLATFORMS=cpu

"$work/venv/bin/python" - <<'PROGRAM'
import jax
import keras
import numpy as np

print(f"keras {keras.__version__}, jax {jax.__version__}, numpy {np.__version__}")
one = np.ones((1, 1, 1), "float32")
three = np.ones((3, 1, 1), "float32")


def counter():
    """A model whose output is the number of steps that it has seen."""
    layer = keras.layers.SimpleRNN(
        1,
        activation="linear",
        kernel_initializer="ones",
        recurrent_initializer="ones",
        stateful=True,
    )
    return keras.Sequential([keras.Input(batch_shape=(1, 1, 1)), layer]), layer


def predict(model, steps):
    return model.predict(steps, batch_size=1, verbose=0).ravel().tolist()


model, _ = counter()
calls = [float(model(one)[0, 0]) for _ in range(3)]
print(f"three calls of the model: {calls}")
assert calls == [1, 2, 3], "A direct call no longer moves the state."

model, layer = counter()
batches = predict(model, three)
print(f"predict over three batches: {batches}")
assert batches == [1, 1, 1], "predict moves the state from batch to batch now."
singles = [float(model.predict_on_batch(one)[0, 0]) for _ in range(3)]
print(f"three times predict_on_batch: {singles}")
assert singles == [1, 1, 1], "predict_on_batch moves the state now."

model, layer = counter()
model.compile(keras.optimizers.SGD(0.0), "mse")
states = []
for run in (model.fit, model.evaluate):
    run(three, three[:, 0], batch_size=1, verbose=0)
    states.append(float(layer.states[0][0, 0]))
print(f"the state after fit and after evaluate, three batches each: {states}")
assert states == [0, 0], "fit or evaluate moves the state now."

model, layer = counter()
for _ in range(5):
    model(one)
first = predict(model, one)
layer.reset_state()
second = predict(model, one)
state = float(layer.states[0][0, 0])
print(f"predict after five calls: {first}, after reset_state: {second}, the state: {state}")
assert first == [6], "predict no longer starts from the state at its compilation."
assert state == 0, "reset_state no longer sets the state to zeros."
assert second == [6], "predict takes note of reset_state now."
PROGRAM

#!/usr/bin/env bash
# Keras 3.15.1 on PyTorch 2.13.0 (and on JAX 0.10.2 for comparison), NumPy 2.4.6.
#
# A good engineer expects that a recurrent layer refuses a mask with more time steps than
# the sequence has, since nothing says which entries of the mask belong to which steps.
#
# On PyTorch the layer reads the first entries of the mask and ignores the others, without
# a word. On JAX the same call raises a ValueError, and so it does on TensorFlow (eagerly).
#
# The output seen:
#   keras 3.15.1, torch 2.13.0, numpy 2.4.6
#   five steps, their mask: 111.0
#   the last three steps, their mask: 111.0
#   the last three steps, the mask of all five: 100.0
#   keras 3.15.1, jax 0.10.2, numpy 2.4.6
#   five steps, their mask: 111.0
#   the last three steps, their mask: 111.0
#   the last three steps, the mask of all five: ValueError
#
# Why it matters: where sequences are padded on the left and cropped to their last steps,
# it is easy to forget to crop their mask. The surplus is at the mask's beginning then, but
# the layer cuts the mask off at its end, so that the network skips real steps, as below.
# The loss still falls, and only a change of the backend shows the mistake.
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

backend = keras.backend.backend()
library = __import__(backend)
version = library.__version__.split("+")[0]
print(f"keras {keras.__version__}, {backend} {version}, numpy {np.__version__}")

# The state is the sum of the steps that the mask lets through.
layer = keras.layers.SimpleRNN(
    1, activation="linear", kernel_initializer="ones", recurrent_initializer="ones"
)
padded = np.array([[0, 0, 1, 10, 100]], "float32")[..., None]
mask = np.array([[False, False, True, True, True]])
last_three = padded[:, 2:]


def total(sequence, mask):
    return float(keras.ops.convert_to_numpy(layer(sequence, mask=mask))[0, 0])


print(f"five steps, their mask: {total(padded, mask)}")
print(f"the last three steps, their mask: {total(last_three, mask[:, 2:])}")
try:
    outcome = total(last_three, mask)
except ValueError:
    outcome = "ValueError"
print(f"the last three steps, the mask of all five: {outcome}")

assert total(padded, mask) == total(last_three, mask[:, 2:]) == 111, "Masks changed."
if backend == "torch":
    assert outcome == 100, "Keras on PyTorch no longer cuts a longer mask off at its end."
else:
    assert outcome == "ValueError", "Keras on JAX no longer refuses a longer mask."
PROGRAM

export KERAS_HOME="$work/keras" JAX_PLATFORMS=cpu
for backend in torch jax; do
    KERAS_BACKEND=$backend "$work/venv/bin/python" "$work/program.py"
done

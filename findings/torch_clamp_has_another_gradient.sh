#!/usr/bin/env bash
# PyTorch 2.13.0 (NumPy 2.4.6), float32 on a CPU.
#
# A good engineer expects that spellings of one activation that return the same numbers
# also have the same gradient: `x.clamp(0, 6)`, `relu6(x)` and
# `minimum(maximum(x, 0), 6)`, or `x.clamp(min=0)` and `relu(x)`.
#
# At a bound the derivative depends on the spelling: clamp has 1, relu6, hardtanh and relu
# have 0, and maximum and minimum have 1/2. Elsewhere they agree.
#
# The output seen:
#   torch 2.13.0, numpy 2.4.6
#   x: [-1.0, 0.0, 3.0, 6.0, 7.0]
#   clamp: values [0.0, 0.0, 3.0, 6.0, 6.0], derivatives [0.0, 1.0, 1.0, 1.0, 0.0]
#   clamp: a state after padding [0.0, 0.0], gradient of the bias [-1.728, 2.496]
#   relu6: values [0.0, 0.0, 3.0, 6.0, 6.0], derivatives [0.0, 0.0, 1.0, 0.0, 0.0]
#   relu6: a state after padding [0.0, 0.0], gradient of the bias [0.0, 0.0]
#   min of max: values [0.0, 0.0, 3.0, 6.0, 6.0], derivatives [0.0, 0.5, 1.0, 0.5, 0.0]
#   min of max: a state after padding [0.0, 0.0], gradient of the bias [0.214, 0.899]
#
# Why it matters: a bound is not hit by chance. A recurrent network starts from a state of
# zeros, its bias starts at zero, and padding is zero, so that the value before the
# activation is exactly zero at each padded step. With relu6 such a step gives the bias no
# gradient. With clamp the same numbers train the bias on the padding, through the
# recurrent matrix and all steps. A layer that is converted from one spelling to the other
# predicts the same and trains differently.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'

"$work/venv/bin/python" - <<'PROGRAM'
import numpy as np
import torch

print(f"torch {torch.__version__.split('+')[0]}, numpy {np.__version__}")
zero, six = torch.tensor(0.0), torch.tensor(6.0)
SPELLINGS = {
    "clamp": lambda x: x.clamp(0, 6),
    "relu6": torch.nn.functional.relu6,
    "min of max": lambda x: torch.minimum(torch.maximum(x, zero), six),
}


def gradient_at(function, points):
    x = torch.tensor(points, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return y.detach().tolist(), x.grad.tolist()


def gradient_of_bias(function, steps=4):
    """The bias of a recurrence that sees nothing but padding."""
    bias = torch.zeros(2, requires_grad=True)
    recurrent = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    state = torch.zeros(2)
    for _ in range(steps):
        state = function(state @ recurrent + bias)
    state.sum().backward()
    return state.detach().tolist(), [round(g, 3) for g in bias.grad.tolist()]


points = [-1.0, 0.0, 3.0, 6.0, 7.0]
print(f"x: {points}")
values, slopes, states, biases = {}, {}, {}, {}
for name, function in SPELLINGS.items():
    values[name], slopes[name] = gradient_at(function, points)
    states[name], biases[name] = gradient_of_bias(function)
    print(f"{name}: values {values[name]}, derivatives {slopes[name]}")
    print(f"{name}: a state after padding {states[name]}, gradient of the bias {biases[name]}")

assert all(v == values["clamp"] for v in values.values()), "The values differ now."
assert all(s == states["clamp"] for s in states.values()), "The states differ now."
assert slopes["clamp"] == [0, 1, 1, 1, 0], "clamp has another derivative at its bounds now."
assert slopes["relu6"] == [0, 0, 1, 0, 0], "relu6 has another derivative at its bounds now."
assert slopes["min of max"] == [0, 0.5, 1, 0.5, 0], "maximum splits a tie differently now."
assert biases["relu6"] == [0, 0], "relu6 now trains the bias on padding."
assert biases["clamp"] != [0, 0], "clamp no longer trains the bias on padding."
PROGRAM

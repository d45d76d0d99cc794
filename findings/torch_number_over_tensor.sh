#!/usr/bin/env bash
# PyTorch 2.13.0 (NumPy 2.4.6), float32 on a CPU.
#
# A good engineer expects that `7.0 / x` and `torch.tensor(7.0) / x` are the same
# division, since a number and a tensor without dimensions are promoted in the same way.
#
# The first one is no division. Python's operator for a number on the left takes the
# reciprocal of the tensor and multiplies it by the number, with two roundings. 261 of the
# quotients 7 / 1 to 7 / 1000 differ from the true ones. Where the reciprocal overflows,
# below about 2.9e-39, a quotient that is 1 becomes infinite, and `0.0 / x` becomes NaN
# although x is positive. The tensor on the left gives the right numbers.
#
# The output seen:
#   torch 2.13.0, numpy 2.4.6
#   quotients of 7 that are not NumPy's: number 261, tensor 0
#   1e-39 / 1e-39: number inf, tensor 1.0
#   0.0 / 1e-39: number nan, tensor 0.0
#
# Why it matters: `limit / norm` is how a gradient or a recurrent matrix is scaled back to
# a ball, and `rate / norm` is the step of a normalised gradient. A rate of 0.0, as at the
# start of a warm-up, together with a gradient that has vanished over many time steps
# then writes NaN into every weight, while `torch.tensor(rate) / norm` takes no step.
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

divisors = torch.arange(1, 1001, dtype=torch.float32)
exact = np.float32(7.0) / divisors.numpy()
number = int(np.sum((7.0 / divisors).numpy() != exact))
tensor = int(np.sum((torch.tensor(7.0) / divisors).numpy() != exact))
print(f"quotients of 7 that are not NumPy's: number {number}, tensor {tensor}")
assert number > 0, "A number over a tensor is now rounded once."
assert tensor == 0, "A tensor over a tensor is no longer rounded once."

tiny = torch.tensor([1e-39])
for numerator, right in ((1e-39, 1.0), (0.0, 0.0)):
    by_number = (numerator / tiny).item()
    by_tensor = (torch.tensor(numerator) / tiny).item()
    print(f"{numerator} / 1e-39: number {by_number}, tensor {by_tensor}")
    assert not np.isfinite(by_number), f"{numerator} over a tensor is finite now."
    assert by_tensor == right, f"tensor({numerator}) over a tensor is not {right} any more."
PROGRAM

#!/usr/bin/env bash
# PyTorch 2.13.0.
#
# A good engineer expects that `ctx.saved_tensors` is a plain attribute in the backward
# pass of a `torch.autograd.Function`: reading it twice, once in `backward` and once in a
# function that it calls, gives the same tensors twice. So it is in an ordinary backward
# pass, and under `torch.utils.checkpoint` with `use_reentrant=True`.
#
# Under `use_reentrant=False`, the variant that PyTorch recommends, each read unpacks the
# tensors again, and the second raises `torch.utils.checkpoint.CheckpointError`.
#
# The output seen:
#   torch 2.13.0
#   no checkpoint: gradient 12.0
#   use_reentrant=True: gradient 12.0
#   use_reentrant=False: CheckpointError
#
# Why it matters: a hand-derived backward pass of a recurrence is long, and is split into
# functions that take `ctx`. It passes all tests of its gradient, and fails for the one
# user who checkpoints the layer to save memory. The way out is to read the attribute once
# and pass the tensors on.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6'

cat >"$work/program.py" <<'PROGRAM'
import torch
from torch.utils.checkpoint import CheckpointError, checkpoint


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3.0 * square_of_the_saved(ctx) * gradient * ones_like_the_saved(ctx)


def square_of_the_saved(ctx):
    (x,) = ctx.saved_tensors
    return x**2


def ones_like_the_saved(ctx):
    (x,) = ctx.saved_tensors
    return torch.ones_like(x)


def gradient(run):
    x = torch.tensor(2.0, requires_grad=True)
    try:
        run(x).backward()
    except CheckpointError:
        return "CheckpointError"
    return f"gradient {x.grad.item()}"


print(f"torch {torch.__version__.split('+')[0]}")
plain = gradient(Cube.apply)
print(f"no checkpoint: {plain}")
found = {}
for reentrant in (True, False):
    found[reentrant] = gradient(
        lambda x: checkpoint(Cube.apply, x, use_reentrant=reentrant)
    )
    print(f"use_reentrant={reentrant}: {found[reentrant]}")

assert plain == found[True] == "gradient 12.0", "The gradient of x³ at 2 changed."
assert found[False] == "CheckpointError", "Saved tensors can be read twice now."
PROGRAM

"$work/venv/bin/python" "$work/program.py"

#!/usr/bin/env bash
# JAX 0.10.2 (jaxlib 0.10.2, NumPy 2.4.6), float32 on a CPU.
#
# A good engineer expects that `x / jnp.max(x)` rounds each quotient once, as IEEE 754
# asks for division and as NumPy does, so that the largest entry becomes exactly 1.
#
# XLA, which compiles this, replaces the division by a broadcast scalar with a product
# with the scalar's reciprocal. The product rounds twice, so that 41 / 41 is not 1. Above
# 2**126 (about 8.5e37) the reciprocal is below the smallest normal number and is flushed
# to zero, so that a finite vector divided by its own maximum becomes the zero vector.
# Not only jax.jit does this: the plain expression is compiled in the same way. The
# division of two arrays of the same shape is a true division.
#
# The output seen:
#   jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6
#   x = [41. 41.], x / max(x) by NumPy: [1. 1.]
#       by JAX, jit: [0.99999994 0.99999994], plain: [0.99999994 0.99999994]
#   x = [2.e+38 1.e+38], x / max(x) by NumPy: [1.  0.5]
#       by JAX, jit: [0. 0.], plain: [0. 0.]
#       by JAX, x / full_like(x, max(x)): [1.  0.5]
#   the last maximum that works: 8.507059e+37, which is 2**126
#
# Why it matters: matrices are put on a set (a ball, a sphere, the stochastic matrices) by
# a division by a norm, a maximum or a sum. The result is then off the set by a rounding
# more than the analysis of a division allows, and a recurrent state that has grown large
# but is still finite becomes zero instead of being scaled back.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'

unset XLA_FLAGS JAX_ENABLE_X64
export JAX_PLATFORMS=cpu

"$work/venv/bin/python" - <<'PROGRAM'
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

print(f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, numpy {np.__version__}")


def by_scalar(x):
    return x / jnp.max(x)


def by_array(x):
    return x / jnp.full_like(x, jnp.max(x))


def compare(x):
    compiled = np.asarray(jax.jit(by_scalar)(x))
    plain = np.asarray(by_scalar(jnp.asarray(x)))
    exact = x / np.max(x)
    print(f"x = {x}, x / max(x) by NumPy: {exact}")
    print(f"    by JAX, jit: {compiled}, plain: {plain}")
    return compiled, plain, exact


odd = np.full(2, 41, "float32")
large = np.array([2e38, 1e38], "float32")

compiled, plain, exact = compare(odd)
assert np.all(exact == 1), "NumPy no longer divides 41 by 41 exactly."
assert np.all(compiled < 1), "JAX now divides 41 by a broadcast 41 exactly under jit."
assert np.all(plain < 1), "JAX now divides 41 by a broadcast 41 exactly outside jit."

compiled, plain, exact = compare(large)
assert np.array_equal(exact, [1, 0.5]), "NumPy no longer scales a large vector."
assert np.all(compiled == 0), "JAX no longer turns a large vector into zeros under jit."
assert np.all(plain == 0), "JAX no longer turns a large vector into zeros outside jit."

elementwise = np.asarray(by_array(jnp.asarray(large)))
print(f"    by JAX, x / full_like(x, max(x)): {elementwise}")
assert np.array_equal(elementwise, exact), "A division by an array is not true any more."

edge = np.float32(2.0**126)
above = np.nextafter(edge, np.float32(np.inf))
works = [float(jax.jit(by_scalar)(np.full(2, m, "float32"))[0]) for m in (edge, above)]
print(f"the last maximum that works: {edge:.6e}, which is 2**126")
assert works == [1.0, 0.0], "The quotients no longer vanish right above 2**126."
PROGRAM

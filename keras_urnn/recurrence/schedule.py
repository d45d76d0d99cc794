"""How the steps of a sequence are cut into blocks, and how the blocks are run.

Nothing here changes a number beyond rounding: a wrong constant costs time or memory.
The names in backquotes below are shapes of benchmarks/recurrence.py: `small` (8 units,
1,000 steps), `pmnist` (128 units, 784 steps), `wide` (512 units, 784 steps) and `long`
(64 units, 10,000 steps). The times of the constants as they are stand in
benchmarks/results/recurrence.json, for two cores of an AMD EPYC without a GPU. What is
known of other values is in docs/performance_in_detail.md under "What made the others
possible", and in what each comment names.
"""

from typing import NamedTuple

from keras_urnn._backend.engines import (
    compiles_loops,
    runs_side_by_side,
    takes_long_blocks,
    writes_out,
)

# Steps of a block, on PyTorch and under XLA. The inputs of a block are projected by one
# product, and so are the gradients of the weights. At `pmnist` under XLA 14, 28, 112
# and 196 steps were no faster than the 56 that this bound gives (docs/performance.md of
# commit 31a644f). Shorter blocks make more and smaller products, longer ones need more
# memory for inputs and gradients of a block.
_BLOCK = 64

# Steps of a block on TensorFlow without XLA, which writes all of them out. Chosen by
# memory at `pmnist` (commits 229fb5d and fdb0ec0: 64, then 32, then 20 steps). Longer
# blocks leave more gaps in the heap between states and take longer to compile.
_WRITTEN_OUT_BLOCK = 20

# Steps of a block if TensorFlow does not know the number of steps when it traces. The
# sequence is padded to whole blocks by masked steps, at most 19 of them. Chosen by
# hand, as long as a block that is written out. With longer blocks short sequences get
# more padding.
_BLOCK_OF_UNKNOWN_LENGTH = 20

# From this width on XLA computes the products of one block on another core while the
# next block's loop runs. At `pmnist` a training step takes a sixth less on JAX and a
# tenth less on TensorFlow (CHANGELOG, 0.4.0). With narrower layers the products are too
# small: overlapped at `small`, TensorFlow's step took 1.36 times the memory of
# `SimpleRNN`, above the target of 1.25 (docs/performance.md of commit 678cf0f). 64 is
# the width of `long`; there is no record of widths between 8 and 64.
_OVERLAP_WIDTH = 64

# Under XLA layers from `_OVERLAP_WIDTH` to this width, that of `pmnist`, have blocks of
# more than `_BLOCK` steps, so that the arithmetic of a block stays the same: 250 steps
# at `long`. The sequence still has at least `_FEWEST_BLOCKS` blocks, so that some can
# overlap. Both were chosen by hand. If blocks are too short, their products are too
# small for another core; if too long, fewer products have a loop to run beside.
_BLOCK_WIDTH, _FEWEST_BLOCKS = 128, 4

# Only up to so many blocks are compiled one by one, which is what lets XLA overlap
# them; more become rounds of one loop. Chosen by hand: `pmnist` has 14. More blocks
# take longer to compile. So JAX cuts such a sequence into `_FEWEST_BLOCKS`: at `pmnist`
# its first step then takes 0.75 of the time, and the others 0.97 (with 8 blocks, 1.2).
_MOST_COMPILED_APART = 16

# Up to this width TensorFlow may begin a round of a loop over blocks before the round
# before it has ended. At `wide` that saved no time and took memory, with few units it
# saves time ("Memory on TensorFlow without XLA", docs/performance_in_detail.md). The
# bound between the two was chosen by hand.
_AHEAD_WIDTH = 64

# At these widths TensorFlow without XLA runs the two halves of a batch side by side, on
# two cores. At `pmnist` a training step takes a third less (CHANGELOG, 0.4.0). In
# narrower layers, such as `long`, the products are not what takes the time; in wider
# ones, such as `wide`, one product takes both cores by itself. The bounds between these
# widths were chosen by hand. If the range is too wide, a step is slower at its ends.
_HALVED = range(65, 257)


class Settings(NamedTuple):
    """How one recurrence is run; see `fused_recurrence` for the first two.

    Attributes:
        activation: string, what `rules.readable_name` calls it.
        return_sequences: boolean. Whether the states after all steps are wanted.
        block: integer, the number of steps of a block.
        recompute: boolean. Whether only the state before each block is kept, and the
            others are computed again in the backward pass.
        apart: boolean. Whether each block is compiled by itself.
        ahead: boolean. Whether a round over a block may begin before the last one ends.
        written_out: boolean. Whether the steps of a block are written out one by one.
    """

    activation: str
    return_sequences: bool
    block: int
    recompute: bool
    apart: bool
    ahead: bool
    written_out: bool


def settings(
    steps: int | None,
    width: int,
    *,
    activation: str,
    return_sequences: bool,
    block: int,
    recompute: bool,
) -> Settings:
    """The settings for a number of steps, maybe unknown, of a state of some width."""
    few = steps is not None and steps <= _MOST_COMPILED_APART * block
    written_out = writes_out()
    return Settings(
        activation,
        return_sequences,
        block,
        recompute,
        apart=few and width >= _OVERLAP_WIDTH and not recompute and not written_out,
        ahead=width <= _AHEAD_WIDTH,
        written_out=written_out,
    )


def block_length(steps: int | None, width: int) -> int:
    """The number of steps of a block: a divisor of `steps` if there is a long one."""
    if steps is None:
        return _BLOCK_OF_UNKNOWN_LENGTH
    longest = _longest_block(steps, width)
    sizes = range(longest, longest // 2, -1)
    return next((k for k in sizes if steps % k == 0), min(longest, steps))


def runs_in_halves(width: int) -> bool:
    """Whether the halves of a batch are two recurrences, side by side on two cores."""
    return width in _HALVED and runs_side_by_side()


def _longest_block(steps: int, width: int) -> int:
    if writes_out():
        return _WRITTEN_OUT_BLOCK
    if width < _OVERLAP_WIDTH or not compiles_loops():
        return _BLOCK
    quarter = steps // _FEWEST_BLOCKS
    same_arithmetic = _BLOCK * _BLOCK_WIDTH**2 // width**2
    apart = steps <= _MOST_COMPILED_APART * _BLOCK and width <= _BLOCK_WIDTH
    if apart and takes_long_blocks():
        return max(_BLOCK, quarter)
    return max(_BLOCK, min(same_arithmetic, quarter))

"""`verify_equivalence`: check two networks against the proof and by running them."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.diagnostics import unitarity_error
from keras_urnn.equivalence.input_bound.given import InputBound, InputBounds
from keras_urnn.equivalence.models.graph import recurrent_cells
from keras_urnn.equivalence.progress_bar import progress
from keras_urnn.equivalence.refusals.targets import check_layer, checked_horizon
from keras_urnn.equivalence.verification.comparison import Observation
from keras_urnn.equivalence.verification.evidence import STAGES, Evidence, Trial
from keras_urnn.equivalence.verification.layers import certify_layers
from keras_urnn.equivalence.verification.models import certify_models
from keras_urnn.equivalence.verification.report import EquivalenceReport
from keras_urnn.equivalence.verification.trial_inputs import checked_sampling
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell


def verify_equivalence(
    original: Any,
    converted: Any,
    *,
    input_bound: InputBound,
    horizon: int | None = None,
    steps: int = 1000,
    batch_size: int = 8,
    seed: int = 0,
    search: bool = True,
    readouts: Any = None,
) -> EquivalenceReport:
    """Check whether two cells, layers or models compute the same.

    **Proof.** `"equivalent"` says that the two give the same outputs in exact
    arithmetic, for all inputs within the bound and all times (with a `horizon`, for so
    many steps since a reset). It is said where that is proved, and never because runs
    agree:

    - One cell is the conversion of the other by theorem 1. The original's recurrent
      matrix is the corner of the converted one, bit for bit; kernel, bias and initial
      state are the original's; the added states get no input, start at rest, and have
      biases below the bound on what the reachable states send them; the matrix is
      orthogonal. The proof uses the weights of the converted cell and nothing else. (In
      a `state_scale` that isn't a power of two, which only ReLU allows, the matrix is
      the original's in that scale, each entry rounded once. A parametrization that
      computes the matrix from other weights, as `Cayley`, gives each entry of the
      corner to the rounding of these weights, `4 n eps`.) The two may come in either
      order: a network that `prune_inactive` has made smaller is checked as if it were
      the original.
    - Both cells are the same recurrence with the same numbers.
    - Both are linear, and their Markov parameters and the outputs without inputs,

          K R^j C = K' R'^j C'    for j = 0, ..., n + n',

      are the same in exact arithmetic: equal there, equal for ever (Cayley and
      Hamilton). Equal to rounding is not enough, as it may show after a million steps.

    Around the cells everything else has to be the same: the class of each layer, one
    whose code is known; dtype policies; the flags of recurrent layers
    (`return_sequences`, `go_backwards`, `merge_mode`, ...); of the other layers of a
    model settings, functions, and weights, bit by bit; and the wiring, from the outputs
    back to the inputs. Names don't matter, nor do settings that only training reads. Of
    a layer of your own all attributes are compared, too. A part that can't be compared
    is named in `reasons`, and no equivalence is claimed.

    **Disproof.** Each pair of cells runs side by side, in its own dtype and in float64,
    over random inputs, constant corners of the range of its inputs, the inputs that
    drive an added state hardest, and inputs to which the gradient of the difference
    leads. Two outputs that differ by more than rounding can explain show that the cells
    are different. (Where no theorem bounds the rounding it is measured, on weights or
    inputs moved by as much; sequences are compared as long as it stays below 1e-3.)
    Layers of other cells, and models, also run as a whole (on tokens for an
    `Embedding`). The inputs and the initial states that enter each recurrent layer in
    such a run must stay in the range that the proof is for (they are not observed
    inside `TimeDistributed`). A stateful model starts at rest, keeps its states from
    batch to batch, and gets the states back that it had before.

    Two networks that differ on no input that was tried, and that no proof relates, are
    reported as `"not decided"`. A weight that differs in its last digit is such a case,
    and so are flags that no run shows, as `zero_output_for_mask` without a mask.

    Args:
        original: cell, layer or model.
        converted: cell, layer or model to compare with it, as what `to_unitary`
            returned for it.
        input_bound: as for `to_unitary`.
        horizon: integer or `None`. As for `to_unitary`. Defaults to `None`.
        steps: positive integer, at most 10,000. The length of the runs; at most
            `horizon`, and the length that a model is made for. `steps * batch_size`
            may be at most 100,000. Defaults to `1000`.
        batch_size: positive integer. The number of random sequences, and the number
            of added states, those that see most of the others, that are driven. At
            most 1,000. Defaults to `8`.
        seed: integer, at least 0. Seeds the random inputs. Defaults to `0`.
        search: boolean. Whether to climb, by the gradient, to inputs on which two
            cells differ most, and compare there too. Models are searched as a whole
            where no proof relates them, unless they take tokens or keep states.
            Defaults to `True`.
        readouts: two arrays or `None`. For two single cells, or layers of one: the
            arrays `C` and `C'` of shape `(outputs of the cell, outputs)`; what is
            compared is `h @ C`. Give them for linear cells in other coordinates, as
            `theory.similarity_transform` makes them, which can be proved equivalent
            so. Defaults to `None`: the outputs of the cells.

    Returns:
        An `EquivalenceReport`.

    Raises:
        ValueError: when the two are of other kinds, have no weights yet or weights that
            are not finite, and when an argument is not usable.
        TypeError: when one of the two is no Keras layer, or `search` is no boolean.

    Example:
        ```python
        layer = keras_urnn.ContractiveRNN(4)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.0)
        report = keras_urnn.verify_equivalence(layer, unitary, input_bound=1.0)
        print(report)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
    """
    bounds, horizon = InputBounds(input_bound), checked_horizon(horizon)
    check_layer("original", original)
    check_layer("converted", converted)
    sampling = checked_sampling(steps, batch_size, seed, horizon)
    advice = "False leaves out the search for inputs on which the two differ."
    trial = Trial(sampling, horizon, _checks.boolean("search", search, advice))
    of_models = isinstance(original, keras.Model) or isinstance(converted, keras.Model)
    if of_models and readouts is not None:
        advice = "Models have outputs of their own: leave it out."
        raise _checks.error("readouts", "`None` for models", readouts, advice)
    with progress(STAGES * len(recurrent_cells(original)) + 2 * of_models):
        if of_models:
            found = certify_models(original, converted, bounds, trial)
        else:
            found = certify_layers(original, converted, bounds, trial, readouts)
    return _report(original, converted, found, horizon)


def _report(
    original: Any, converted: Any, found: Evidence, horizon: int | None
) -> EquivalenceReport:
    seen = found.observations
    runs = [run for run in seen if not run.in_float64]
    differences = found.differences + _differences(seen)
    objections = [objection for run in seen for objection in run.objections]
    biases = [pair.largest_added_bias for pair in found.pairs]
    return EquivalenceReport(
        max_absolute_difference=_largest(run.absolute for run in runs),
        max_relative_difference=_largest(run.relative for run in runs),
        unitarity_error=_largest_of_any(_unitarity_errors(converted)),
        states_before=_count_states(original),
        states_after=_count_states(converted),
        largest_added_state=_largest([0.0, *(run.largest_added for run in seen)]),
        smallest_distance=float(np.min([run.distance for run in seen], initial=np.inf)),
        largest_added_bias=_largest([0.0, *biases]),
        horizon=horizon,
        relative_difference_in_float64=_largest_of_any(
            run.relative for run in seen if run.in_float64
        ),
        reasons=_each_once(found.gaps + objections + differences),
        differences=_each_once(differences),
    )


def _differences(seen: list[Observation]) -> list[str]:
    """The differences that runs show: of each network, in each dtype, the worst."""
    worst = sorted(seen, key=lambda run: run.relative / run.tolerance)
    told = {(run.name, run.in_float64): run.differences for run in worst}
    return [difference for found in told.values() for difference in found]


def _each_once(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _largest(values: Iterable[float]) -> float:
    """The largest, NaN if there is one; infinite where nothing could be run."""
    found = list(values)
    return float(np.max(found)) if found else float("inf")


def _largest_of_any(values: Iterable[float]) -> float | None:
    """The largest, NaN if there is one; `None` of no values."""
    found = list(values)
    return float(np.max(found)) if found else None


def _unitarity_errors(target: Any) -> list[float]:
    """`max|UᵀU - I|` of each unitary cell."""
    cells = [one for one in recurrent_cells(target) if type(one) is UnitaryRNNCell]
    return [unitarity_error(cell) for cell in cells]


def _count_states(target: Any) -> int:
    sizes = [keras.tree.flatten(cell.state_size) for cell in recurrent_cells(target)]
    return int(sum(size for cell in sizes for size in cell))

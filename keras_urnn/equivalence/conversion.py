"""`to_unitary`: theorem 1 for a cell, a layer or a whole model."""

from typing import Any

import keras

from keras_urnn import _checks, parametrizations
from keras_urnn.equivalence.input_bound.given import InputBound, InputBounds
from keras_urnn.equivalence.models.graph import recurrent_cells
from keras_urnn.equivalence.models.rebuilding import convert_model
from keras_urnn.equivalence.plans.cells import plan_cell
from keras_urnn.equivalence.plans.layers import entering_layer, plan_layer
from keras_urnn.equivalence.plans.plan import STAGES, Options
from keras_urnn.equivalence.progress_bar import progress
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS
from keras_urnn.equivalence.ranges.initial_states import resting_starts
from keras_urnn.equivalence.refusals.targets import checked_horizon, refusal
from keras_urnn.layers.cell_checks import check_held, check_real
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell


def to_unitary(
    target: Any,
    *,
    input_bound: InputBound,
    horizon: int | None = None,
    minimize_states: bool = False,
    parametrization: Any = None,
) -> Any:
    """Return a unitary RNN with the same outputs as a contractive one.

    Theorem 1: every contractive ReLU RNN with `n` states and bounded inputs has a
    unitary RNN with at most `2 n` states and the identical input-output map. The
    first `n` states repeat the RNN, whose recurrent matrix `R` is kept bit for bit in
    the corner of the orthogonal matrix

        U = [[R,      Q_r S ],
             [S P_rᵀ, -Σ_r  ]],

    and the `r` added states are held at 0 by biases below every value that the
    reachable states can send them. `r` is the number of singular values of `R` below 1:
    `n` for a contractive cell. All of it is computed in float64 NumPy on every backend,
    and cast to the weights' dtype at the end.

    The same holds for every activation that is constant on a half-line: `relu6`,
    `hard_sigmoid`, `hard_tanh`, `sparse_sigmoid`, `sparse_plus`, `hard_silu`, and a
    `keras.layers.ReLU` with `max_value` or `threshold` (which jumps there, so that
    rounding at the threshold may differ). Where the constant `c` isn't 0, as -1 for
    `hard_tanh`, the added states start and stay at `c`: it becomes their
    `resting_state`, on which the step is centred, so that they send nothing to the
    others. Where the activation is bounded, so are the states, for every norm.

    A ReLU RNN may also be expansive, if positive scales `d` of its states make it
    contractive: `‖diag(1/d) @ R @ diag(d)‖ < 1` (`equivalence.find_scaling`). The
    scaled matrix then stands in the corner, and the converted cell carries `d` as its
    `state_scale`, so that its states are the original's. Scales are powers of two,
    which change no digit, unless only others will do.

    The converted cell has `units = n + r` and `output_units = n`, so that the layers
    around it need no change: outputs, masks and a caller's `initial_state` of width `n`
    stay as they were, and `return_state` gives the added states as one tensor more.
    Name, dtype policy and all flags are kept. It always has a bias. Regularizers and
    constraints of the bias and the recurrent kernel are left out: they would act on
    the added states. A stateful layer starts from its resting state.

    A model, Sequential or functional, is rebuilt: its other layers are copied, the
    range of the inputs is carried through them to every recurrent one, and it is
    compiled as the original was, with a new optimizer. Nested models and layers inside
    `TimeDistributed` are rebuilt in the same way. A shared layer or model stays one,
    converted for all inputs that enter it, and layers that take the states of a
    converted layer get those of the original only. (So a Sequential model that returns
    states becomes a functional one.) The original is not changed. Layers that are
    unitary already are copied, for inputs of any range; LSTM and GRU layers of a model
    are copied too, as theorem 1 says nothing about them.

    The promise is for inference (dropout does nothing), for inputs within
    `input_bound`, and for sequences that start from the resting state (zeros or
    learned) or, in a model, from any `initial_state` that its graph can give. Another
    `initial_state` that a caller gives may switch an added state on. In exact
    arithmetic the promise holds for all times or, with `horizon`, for so many steps
    since the last reset. The biases include the rounding of the compute dtype, TF32,
    bfloat16 and float16 products included; where that rounding could exceed the
    distance of the norm from 1, a proof for all times isn't possible and four times the
    first-order effect is included. On PyTorch Keras computes the matrix products of its
    own layers in float32 even under float64: the outputs of a float64
    `keras.layers.SimpleRNN` then agree to float32 only.

    Args:
        target: cell, layer or model, built. A `ContractiveRNNCell` or
            `keras.layers.SimpleRNNCell`, `ContractiveRNN`, `keras.layers.SimpleRNN`,
            `keras.layers.RNN` over such cells (one or a list), `Bidirectional` of
            these, or a Sequential or functional model with any number of them; with
            an activation that is constant on a half-line and a spectral norm below 1
            (for ReLU in some scales of the states; at most 1 where the activation is
            bounded).
        input_bound: float, array of shape `(features,)`, or dict. The largest |x|
            that the inputs can take. In a dict an entry bounds what enters the model
            by the input of that name, what enters the recurrent layer of that name,
            or what leaves any other layer: it is needed behind layers whose range
            can't be derived, as a `Lambda` or a subclass (it is derived for Keras'
            layers that make dense products, convolve, normalize, pool and reshape
            sequences). The inputs of an `Embedding` need none.
        horizon: integer or `None`. The largest number of steps between two resets of
            the state. Give it for a norm of exactly 1, where states may grow for
            ever unless the activation is bounded, for smaller biases over a few
            steps, or for a proof where rounding could exceed the distance of the norm
            from 1: the biases then grow with the horizon, and are refused where they
            overflow. Defaults to `None`: any number of steps.
        minimize_states: boolean. Whether to look, for ReLU, for scales that add fewer
            states (`equivalence.minimize_added_states`): at most `2 n - 1` states in
            all if `R` has an entry off the diagonal, `n + 1` for a weighted shift.
            These scales aren't powers of two, so that outputs agree to 1e-5 in float32
            instead of 1e-6. Defaults to `False`.
        parametrization: string, `keras_urnn.parametrizations.Parametrization` or
            `None`. How the converted cells keep their matrix orthogonal, if they are
            trained on. One that computes the matrix from other weights, as `"cayley"`,
            gives it to rounding: outputs agree to 1e-5 in float32. The added states
            are turned such that it can give the matrix. Unitary cells keep their own
            unless one is given. Defaults to `None`: `"projection"`.

    Returns:
        A `UnitaryRNNCell` for a cell, a `UnitaryRNN` for a layer (an `RNN` for an
        `RNN`, a `Bidirectional` for a `Bidirectional`), a model for a model.

    Raises:
        ValueError: when theorem 1 does not hold or can't be applied: the norm is at
            least 1 without a horizon or above 1 with one, and for ReLU so in all
            scales of the states, the activation is constant on no half-line,
            `input_bound` is missing, not positive or not finite, weights are not
            finite or don't exist yet, a cell has recurrent dropout, a bias or a scale
            leaves the range of the compute dtype, a model has no recurrent layer, is
            subclassed, takes text, trains a recurrent layer at inference
            (`training=True`), gives an `initial_state` to `keras.layers.RNN` over
            cells, or has a layer that can't be made from its config.
            So is a `parametrization` that can't give the orthogonal matrix.
        TypeError: when `minimize_states` is no boolean, or `parametrization` is
            nothing that a cell takes.

    Example:
        ```python
        layer = keras_urnn.ContractiveRNN(4, return_sequences=True)
        x = keras.random.uniform((2, 10, 3), -1.0, 1.0)
        y = layer(x)  # shape (2, 10, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.0)
        same = unitary(x)  # shape (2, 10, 4)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
    """
    bounds, horizon = InputBounds(input_bound), checked_horizon(horizon)
    advice = "True looks for scales of the states that add fewer of them."
    minimize_states = _checks.boolean("minimize_states", minimize_states, advice)
    if parametrization is not None:
        parametrization = parametrizations.get(parametrization)
        check_held(parametrization, UnitaryRNNCell)
        check_real(parametrization, "Theorem 1 gives a matrix of real numbers.")
    options = Options(horizon, minimize_states, parametrization)
    with progress(STAGES * len(recurrent_cells(target))):
        return _converted(target, bounds, options)


def _converted(target: Any, bounds: InputBounds, options: Options) -> Any:
    if isinstance(target, keras.Model):
        return convert_model(target, bounds, options)
    if isinstance(target, keras.layers.RNN | keras.layers.Bidirectional):
        entering = entering_layer(target, bounds)
        plan = plan_layer(target, entering, options, resting_starts(target))
        return plan.build(_batch_size(target), None, entering.lower.size)
    if isinstance(target, SIMPLE_CELLS):
        entering = entering_layer(target, bounds)
        plan = plan_cell(target, entering, options, target.name)
        return plan.build(None, entering.lower.size)
    advice = "Only what theorem 1 speaks about can be converted."
    name = getattr(target, "name", _checks.shown(target))
    raise refusal(
        "a recurrent cell, layer or model", name, type(target).__name__, advice
    )


def _batch_size(layer: Any) -> int | None:
    """The batch size that a stateful layer is tied to."""
    if not layer.stateful:
        return None
    if isinstance(layer, keras.layers.Bidirectional):
        layer = layer.forward_layer
    return int(keras.tree.flatten(layer.states)[0].shape[0])

"""What the arguments of a cell may be, and what an error says of the others.

A function named after an argument returns its value in the type that the cell keeps.
"""

from typing import Any, Final

import keras

from keras_urnn import _checks

# A recurrent matrix of more takes over 17 GB in float32, and a decomposition days.
MOST_UNITS: Final = 2**16


def units(value: Any) -> int:
    """The number of states, or raise."""
    advice = "It is the number of states."
    return _checks.positive_integer("units", value, advice, MOST_UNITS)


def of_simple_rnn(arguments: dict[str, Any], cell: type[Any]) -> dict[str, Any]:
    """What goes to `SimpleRNNCell`, or raise: Keras itself would repair a rate."""
    rates = {
        name: _checks.rate(name, arguments[name])
        for name in ("dropout", "recurrent_dropout")
    }
    advice = "It is whether the step has a bias."
    use_bias = _checks.boolean("use_bias", arguments["use_bias"], advice)
    _refuse_constraint(arguments["recurrent_constraint"], cell.__name__)
    _check_seed(arguments["seed"])
    return {**arguments, **rates, "use_bias": use_bias}


def _refuse_constraint(recurrent_constraint: Any, cell: str) -> None:
    if recurrent_constraint is not None:
        advice = (
            f"It would replace the projection that makes a `{cell}` what it is. Leave "
            "it out; choose the set by the class and how it is kept by "
            "`parametrization`."
        )
        raise _checks.error(
            "recurrent_constraint", "None", recurrent_constraint, advice
        )


def _check_seed(seed: Any) -> None:
    """Refuse what is no seed on each backend: JAX has none below 0."""
    if _checks.is_integer(seed) and not 0 <= seed < 2**31:
        expected, advice = "an integer in [0, 2**31)", "It seeds the masks of dropout."
        raise _checks.error("seed", expected, seed, advice)


def check_policy(policy: Any, dtype: Any) -> None:
    """Refuse a `dtype` that Keras has made no policy of, and would fail on later."""
    kinds = (keras.dtype_policies.DTypePolicy, keras.dtype_policies.DTypePolicyMap)
    if not isinstance(policy, kinds):
        advice = 'Pass a name, "float32" or "mixed_bfloat16" say, or a policy.'
        raise _checks.error("dtype", "a dtype or a dtype policy", dtype, advice)


def check_held(parametrization: Any, cell: type[Any]) -> None:
    """Refuse a parametrization that can't keep the matrix on the set of a cell."""
    name, kind = type(parametrization).__name__, cell.__name__
    if cell.recurrent_set not in parametrization.sets:
        expected = f"one that holds {cell.recurrent_set} matrices, as {kind} does"
        if cell.recurrent_set in type(parametrization).sets:
            name += f" with {parametrization.get_config()}"  # an option rules it out
        found = f"{name}, which holds {' and '.join(parametrization.sets)} ones"
        advice = 'Choose "projection", or another cell.'
        raise _checks.error("parametrization", expected, found, advice)


def check_real(parametrization: Any, advice: str) -> None:
    """Refuse a parametrization of complex numbers, where states are real ones."""
    if parametrization.field != "real":
        found = f"{type(parametrization).__name__} of {parametrization.field} ones"
        raise _checks.error("parametrization", "of real numbers", found, advice)


def output_units(value: Any, width: int) -> int | None:
    """How many of the states are the output, or raise."""
    if value is None:
        return None
    if not _checks.is_integer(value) or not 1 <= value < width:
        # Of complex states these are the real entries of `[Re | Im]`.
        advice = (
            f"The first `output_units` of the {width} states are the output; leave it "
            "at None to output all of them."
        )
        expected = f"None or an integer in [1, {width - 1}]"
        raise _checks.error("output_units", expected, value, advice)
    return int(value)


def learn_initial_state(value: Any) -> bool:
    """Whether the state to start from is a weight, or raise."""
    advice = "It is whether the state to start from is a weight."
    return _checks.boolean("learn_initial_state", value, advice)


def resting_state(value: Any, width: int) -> list[float] | None:
    """The state to start from, or raise."""
    if value is None:
        return None
    advice = (
        "It is the state to start from, and the centre of the step; leave it at None "
        "for zero."
    )
    return _checks.numbers("resting_state", value, width, advice)


def state_scale(value: Any, width: int) -> list[float] | None:
    """The factors of the states in the step, or raise."""
    if value is None:
        return None
    advice = "It is the positive number that each state is multiplied by in the step."
    scale = _checks.numbers("state_scale", value, width, advice)
    if min(scale) <= 0.0:
        raise _checks.error("state_scale", "positive", value, advice)
    return scale


def check_skip(cell: Any) -> None:
    """Refuse what a cell with a skip has no meaning, or no promise, for."""
    if cell.skip is None:
        return
    conversions = "Layers converted by theorem 1 use it, and they have no skip."
    advice = {
        "resting_state": f"{conversions} `learn_initial_state` starts elsewhere, too.",
        "state_scale": conversions,
    }
    for name, way_out in advice.items():
        if getattr(cell, name) is not None:
            expected = f"None with skip={cell.skip}"
            raise _checks.error(name, expected, getattr(cell, name), way_out)
    if cell.recurrent_dropout and not cell.skip.dense:
        expected = f"0 with skip={cell.skip}"
        way_out = "It drops states before `V`, and `dense=True` makes one."
        dropped = cell.recurrent_dropout
        raise _checks.error("recurrent_dropout", expected, dropped, way_out)
    if cell.recurrent_set == "contractive" and cell.skip.dense:
        expected = f"None or a Skip with dense=False in a {type(cell).__name__}"
        way_out = (
            "A dense `V` has any norm, and the step would be no contraction. Choose "
            "`dense=False`, or a unitary cell."
        )
        raise _checks.error("skip", expected, cell.skip, way_out)

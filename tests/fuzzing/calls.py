"""The table of calls: each public function of the package, and how often it is drawn.

A row says how often, and makes a `Call` of a `Draw`.
"""

import warnings

import keras_urnn as ku
from tests.fuzzing import arguments as given
from tests.fuzzing.constructions import (
    CONSTRUCTED,
    constructor,
    deserialized,
    deserialized_layer,
    from_config,
    round_trip,
)
from tests.fuzzing.draws import Draw, Row
from tests.fuzzing.engine import Call
from tests.fuzzing.functions import (
    diagnosed,
    example,
    found_scaling,
    linearized,
    measured,
    of_a_target,
    parametrization,
    patterns_checked,
    profiled,
    projected,
    reported,
    similar,
    state_bounds,
    verified,
)
from tests.fuzzing.layers import (
    assigned,
    built,
    called,
    monitored,
    put_back,
    started,
    warm_start,
)

CONVERSION = {
    "horizon": given.horizon,
    "minimize_states": given.flag,
    "parametrization": lambda draw: draw.pick([None, None, *given.PARAMETRIZATIONS]),
}
HORIZON = {"horizon": given.horizon}
MEASURES = ("unitarity_error", "spectral_norm", "eigen_angles", "determinant_sign")

# How often each is drawn, in 1,000 calls: what is quick, often.
ROWS: list[tuple[float, Row]] = [
    *((70, constructor(name)) for name in list(CONSTRUCTED)[:4]),
    *((15, constructor(name)) for name in list(CONSTRUCTED)[4:]),
    *((40, from_config(name)) for name in list(CONSTRUCTED)[:4]),
    *((10, from_config(name)) for name in list(CONSTRUCTED)[4:]),
    *((20, round_trip(name)) for name in list(CONSTRUCTED)[:4]),
    (60, deserialized),
    (60, deserialized_layer),
    (30, parametrization),
    (20, projected),
    *((8, diagnosed(name)) for name in MEASURES),
    *((5, profiled(name)) for name in ("state_norm_profile", "gradient_norm_profile")),
    (8, patterns_checked),
    (40, measured),
    (30, of_a_target(ku.to_unitary, CONVERSION)),
    (20, of_a_target(ku.prune_inactive, HORIZON)),
    (20, of_a_target(ku.inactive_states, HORIZON)),
    (20, verified),
    *((15, found_scaling(name)) for name in ("find_scaling", "minimize_added_states")),
    (15, state_bounds),
    (20, similar),
    (20, linearized),
    (15, example),
    (1, lambda draw: Call("theory.sigmoid_example", ku.theory.sigmoid_example)),
    (20, monitored),
    (15, built),
    (15, called),
    (10, started),
    (10, assigned),
    (20, warm_start),
    (8, reported),
    *([(15, put_back)] if hasattr(ku, "project") else []),
]


def call_of(seed: int, index: int) -> Call:
    """The call that the seed and the index decide."""
    draw = Draw(seed, index)
    weights, rows = zip(*ROWS, strict=True)
    with warnings.catch_warnings(action="ignore"):
        call: Call = draw.weighted(rows, weights)(draw)
    return call

"""The fuzz and the certificate hunt in short: `make fuzz` runs them at length."""

import re
import time
import warnings

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.certificate_hunt import FALSE
from tests.fuzz import Tally
from tests.fuzzing import calls, engine
from tests.fuzzing.draws import Draw
from tests.fuzzing.engine import Call
from tests.fuzzing.worker import outcome_of
from tests.hunting import worker
from tests.test_docstrings import PUBLIC

# What is not called by the name it has here: an object that is returned, a base class,
# and modules' functions that go by their full names.
UNCALLED = {"Linearization", "UnitaryStateBounds", "Parametrization"}

# What is passed may warn by itself; the engine says which warnings count.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def all_frames():
    engine.show_all_frames()
    yield
    keras.config.enable_traceback_filtering()


def test_every_public_name_is_called():
    made = {row(Draw(0, i)).name for _, row in calls.ROWS for i in range(3)}
    called = " ".join(made)
    missing = [name.rpartition(".")[2] for name in PUBLIC]
    missing = [name for name in missing if name not in called]
    assert set(missing) == UNCALLED


@pytest.mark.once
def test_200_calls_raise_nothing_but_value_and_type_errors(capsys):
    tally = Tally()
    for index in range(200):
        tally.add(outcome_of(SEED, index))
    assert not tally.finds, capsys.readouterr().out
    found = tally.as_dict()
    assert found["calls"] == sum(found["outcomes"].values()) == 200
    # The premise: they get as far as to return, and are refused.
    assert min(found["outcomes"][kind] for kind in ("returned", "ValueError")) > 40


@pytest.mark.once
def test_a_seed_and_an_index_decide_a_call():
    indices = [3, 5, 9, 12]
    first, second = (
        # Without the addresses of objects.
        [re.sub(" at 0x[0-9a-f]+", "", str(calls.call_of(1, i))) for i in indices]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(indices)


def raising(error):
    def function():
        raise error

    return Call("raising", function)


@pytest.mark.parametrize("error", [ValueError("a"), TypeError("b")])
def test_two_errors_are_allowed(error):
    assert engine.run(raising(error)).is_allowed


def test_returning_is_allowed():
    outcome = engine.run(Call("returning", ku.UnitaryRNN, (2,)))
    assert (outcome.kind, outcome.is_allowed) == ("returned", True)


@pytest.mark.parametrize(
    ("kind", "initialize"),
    [
        ("KeyError", lambda: {}["a"]),
        ("OverflowError", lambda: float(10**400)),
        ("LinAlgError", lambda: np.linalg.inv(np.zeros((2, 2)))),
        ("RuntimeWarning", lambda: warnings.warn("a", RuntimeWarning, stacklevel=1)),
        ("ComplexWarning", lambda: np.array(1j).astype(float)),
        ("UnicodeDecodeError", lambda: b"\xff".decode()),
    ],
)
def test_what_is_raised_beneath_the_package_is_a_find(kind, initialize):
    cell = ku.UnitaryRNNCell(2, kernel_initializer=lambda *_, **__: initialize())
    outcome = engine.run(Call("build", cell.build, ((None, 2),)))
    assert (outcome.kind, outcome.is_allowed) == (kind, False)
    assert outcome.where.startswith("keras_urnn/layers/cell.py:")


def test_what_takes_too_long_is_a_find(monkeypatch):
    monkeypatch.setattr(engine, "LIMIT", 0.1)
    outcome = engine.run(Call("sleeping", time.sleep, (2.0,)))
    assert (outcome.kind, outcome.is_allowed) == ("too long", False)
    assert outcome.seconds < 1.0


def test_keras_reader_and_keras_before_the_package_are_counted_apart():
    config = {"class_name": "Constant", "config": {}}
    reads = Call("reading", ku.UnitaryRNNCell, (2,), {"kernel_initializer": config})
    assert engine.run(reads).kind == engine.KERAS_READER
    itself = []
    itself.append(itself)
    given = Call("giving", ku.UnitaryRNNCell, (2,), {"use_bias": itself})
    assert engine.run(given).kind == engine.KERAS_BEFORE


@pytest.mark.once
@pytest.mark.parametrize("kind", FALSE)
def test_a_dozen_pairs_get_no_false_certificate(kind):
    verdicts = [worker.outcome_of(kind, SEED, index) for index in range(6)]
    assert FALSE[kind] not in [found["verdict"] for found in verdicts], verdicts
    # The premise: something is found of them.
    assert {found["verdict"] for found in verdicts} & {"equivalent", "different"}


SEED = 0

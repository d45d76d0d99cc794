"""The progress bar of what takes long."""

import keras
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import progress_bar as bar
from tests.equivalence.layers import build


def a_model() -> keras.Sequential:
    layers = [ku.ContractiveRNN(2, return_sequences=True), ku.ContractiveRNN(3)]
    return keras.Sequential([keras.Input((4, 2), name="x"), *layers])


@pytest.mark.parametrize("make", [a_model, lambda: build(ku.ContractiveRNN(3))])
def test_a_long_call_shows_how_far_it_is(
    make: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = make()  # type: ignore[operator]
    monkeypatch.setattr(bar, "SECONDS", 0.0)
    converted = ku.to_unitary(target, input_bound=1.0)
    cells = 2 if isinstance(target, keras.Model) else 1
    assert f"{2 * cells}/{2 * cells}" in capsys.readouterr().out
    ku.verify_equivalence(target, converted, input_bound=1.0, steps=4)
    whole = 3 * cells + 2 * isinstance(target, keras.Model)
    shown = capsys.readouterr().out
    assert f"1/{whole}" in shown
    assert f"{whole}/{whole}" in shown


def test_a_short_call_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ku.to_unitary(build(ku.ContractiveRNN(3)), input_bound=1.0)
    assert capsys.readouterr().out == ""


def test_a_call_that_fails_leaves_no_bar_behind() -> None:
    with pytest.raises(ValueError, match="half-line"):
        ku.to_unitary(build(ku.ContractiveRNN(3, "tanh")), input_bound=1.0)
    assert bar._current.get() is None

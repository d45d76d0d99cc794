"""The synthetic task is the one of the paper."""

import numpy as np
import pytest
import synthetic_system as task
from files import RunError
from scipy import stats
from sklearn.metrics import r2_score

SHORT = task.Recipe(sequences=60)


@pytest.fixture(scope="module")
def data() -> task.Data:
    return task.draw_data(SHORT, 15.0, seed=0, realization=3)


def system(recipe: task.Recipe = SHORT, seed: int = 0) -> task.System:
    return task.draw_system(recipe, np.random.default_rng(seed))


def test_the_recurrent_matrix_is_slow_and_contractive() -> None:
    shrink = np.eye(4) - system().recurrent
    np.testing.assert_allclose(shrink, shrink.T, rtol=0, atol=1e-15)
    found = np.linalg.eigvalsh(shrink)  # of `ε AᵀA / ‖A‖²`
    assert found.min() > 0.0
    assert found.max() == pytest.approx(0.01)
    recipe = task.Recipe(epsilon=0.3)
    matrix = system(recipe).recurrent
    assert np.linalg.eigvalsh(matrix).min() == pytest.approx(0.7)


def test_the_states_are_those_of_the_formula() -> None:
    drawn = system()
    x = np.random.default_rng(1).standard_normal((1, 5, 2))
    h = np.zeros(4)
    for step, found in zip(x[0], task.hidden_states(drawn, x)[0], strict=True):
        z = drawn.recurrent @ h + drawn.inputs @ step + drawn.bias
        h = np.maximum(z, 0.0)
        np.testing.assert_allclose(found, h, rtol=1e-12)


def test_weights_and_inputs_are_standard_normal(
    data: task.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_adjusted_bias", lambda *_: np.zeros(4))
    drawn = [system(seed=seed) for seed in range(200)]
    for values in (
        np.stack([one.inputs for one in drawn]),
        np.stack([one.outputs for one in drawn]),
        data.x,
    ):
        assert stats.kstest(values.ravel(), "norm").pvalue > 0.05


@pytest.mark.parametrize("realization", range(5))
def test_each_unit_is_on_for_its_share_of_the_time(realization: int) -> None:
    found = task.draw_data(SHORT, 20.0, seed=0, realization=realization).on
    np.testing.assert_allclose(found, 0.6, rtol=0, atol=0.03)


def test_the_share_is_that_asked_for() -> None:
    drawn = system(task.Recipe(on=0.8))
    x = np.random.default_rng(1).standard_normal((100, 1000, 2))
    found = task.share_on(task.hidden_states(drawn, x))
    np.testing.assert_allclose(found, 0.8, rtol=0, atol=0.03)


@pytest.mark.parametrize("snr", [15.0, 20.0])
def test_the_noise_is_of_the_size_asked_for(snr: float) -> None:
    found = task.draw_data(SHORT, snr, seed=0, realization=0)
    assert found.snr == pytest.approx(snr, abs=0.1)


def test_realizations_differ_and_come_again(data: task.Data) -> None:
    again = task.draw_data(SHORT, 15.0, seed=0, realization=3)
    for one, other in zip(data[:2], again[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    for seed, realization in ((0, 2), (1, 3)):
        other = task.draw_data(SHORT, 15.0, seed, realization)
        assert not np.array_equal(data.x, other.x)


def test_only_the_noise_depends_on_its_size(data: task.Data) -> None:
    quiet = task.draw_data(SHORT, 300.0, seed=0, realization=3)
    np.testing.assert_array_equal(data.x, quiet.x)
    share = np.mean((data.y - quiet.y) ** 2) / np.mean(quiet.y**2)
    assert 10.0 * np.log10(1.0 / share) == pytest.approx(data.snr)


def test_the_best_guess_of_all_reaches_the_ceiling(data: task.Data) -> None:
    clean = task.draw_data(SHORT, 300.0, seed=0, realization=3).y
    found = task.r_squared(data.y, clean)["r2_about_zero"]
    assert task.ceiling(15.0) == pytest.approx(0.9693, abs=1e-4)
    assert found == pytest.approx(task.ceiling(15.0), abs=1e-3)


def test_both_r_squared(data: task.Data) -> None:
    guess = data.y + 0.5
    found = task.r_squared(data.y, guess)
    flat = [y.reshape(-1, 2) for y in (data.y, guess)]
    expected = r2_score(*flat, multioutput="variance_weighted")
    assert found["r2_centered"] == pytest.approx(expected)
    assert found["r2_about_zero"] == pytest.approx(1.0 - 0.25 / np.mean(data.y**2))
    assert found["r2_centered"] < found["r2_about_zero"]


def test_a_share_that_was_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "ON_TOLERANCE", 0.0)
    with pytest.raises(RunError, match=r"no bias turns each unit on for 60%"):
        system()

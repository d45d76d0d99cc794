"""The memory tasks: what they ask, the answers, and what no memory reaches."""

import math

import numpy as np
import pytest
import tasks

SIZE = 400


def drawn(name: str, delay: int = 30) -> tuple[tasks.Task, tasks.Array, tasks.Array]:
    task = tasks.make(name, delay)
    x, y = task.draw(np.random.default_rng(0), SIZE)
    assert x.shape == (SIZE, task.steps, task.features)
    assert x.dtype == np.float32
    return task, x, y


def test_copying_asks_for_the_symbols_after_the_delimiter() -> None:
    task, x, y = drawn("copying")
    assert task.steps == 30 + 20
    np.testing.assert_array_equal(x.sum(axis=-1), 1.0)
    symbols = x.argmax(axis=-1)
    assert set(symbols[:, :10].ravel()) == set(range(1, 9))
    assert np.all(symbols[:, 10:39] == 0)
    assert np.all(symbols[:, 39] == tasks.DELIMITER)
    assert np.all(symbols[:, 40:] == 0)
    np.testing.assert_array_equal(y[:, 40:], symbols[:, :10])
    assert np.all(y[:, :40] == 0)


@pytest.mark.parametrize(
    ("name", "operation"), [("adding", np.add), ("multiplication", np.multiply)]
)
def test_two_marked_numbers_are_added_or_multiplied(
    name: str, operation: np.ufunc
) -> None:
    _, x, y = drawn(name, 31)
    values, marks = x[..., 0], x[..., 1] == 1.0
    assert np.all((values >= 0.0) & (values < 1.0))
    assert np.all(marks[:, :15].sum(axis=1) == 1)
    assert np.all(marks[:, 15:].sum(axis=1) == 1)
    pairs = values[marks].reshape(SIZE, 2)
    np.testing.assert_array_equal(y[:, 0], operation(pairs[:, 0], pairs[:, 1]))
    assert marks[:, 30].any()  # the last one, too


def test_the_baselines_are_what_answers_without_memory_lose() -> None:
    task, _, y = drawn("copying")
    chances = np.eye(9)[0], np.full(9, 1.0 / 8.0)  # a blank; any symbol
    entropy = [-math.log(chances[t >= 40][y[0, t]]) for t in range(task.steps)]
    assert task.baseline == pytest.approx(np.mean(entropy))
    for name in ("adding", "multiplication"):
        task = tasks.make(name, 2)
        _, y = task.draw(np.random.default_rng(1), 100_000)
        # The variance of a sample of 100,000 is off by 1 % at most.
        assert task.baseline == pytest.approx(np.var(y), rel=0.01)
    assert tasks.make("permuted").baseline == pytest.approx(math.log(10))


def test_images_are_read_in_rows_or_permuted() -> None:
    rows, permuted = tasks.make("sequential"), tasks.make("permuted")
    (x, y), (shuffled, labels) = (
        task.draw(np.random.default_rng(0), 5) for task in (rows, permuted)
    )
    np.testing.assert_array_equal(y, labels)
    order = tasks.pixels.permutation(64)
    np.testing.assert_array_equal(x[:, order], shuffled)
    # The corners of a scan are empty, and its middle is not.
    assert np.all(x[:, 0] == 0.0)
    assert np.all(x.reshape(5, 8, 8)[:, 3:5].max(axis=(1, 2)) > 0.5)
    held, _ = rows.held_out(np.random.default_rng(0), 5)
    assert held.shape == x.shape


def test_other_names_and_delays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of .*Received: 'copy'"):
        tasks.make("copy")
    with pytest.raises(ValueError, match=r"`delay` must be at least 2\. Received: 1"):
        tasks.make("adding", 1)

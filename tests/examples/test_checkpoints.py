"""What is kept of each epoch: what survives, and what is refused."""

from pathlib import Path
from typing import Any

import checkpoints
import keras
import machine
import numpy as np
import pytest
from files import RunError

LOG = "epoch,accuracy,seconds,val_accuracy\n0,0.1,2.0,0.3\n1,0.2,3.0,0.5\n"


def test_each_piece_of_a_training_is_noted_once(tmp_path: Path) -> None:
    def began() -> list[int]:
        return [piece["epochs_before"] for piece in checkpoints.pieces(tmp_path)]

    assert began() == []
    for done in (0, 3, 3, 5):  # the second was killed before an epoch was done
        checkpoints.add_piece(tmp_path, done)
    assert began() == [0, 3, 5]
    checkpoints.add_piece(tmp_path, 0)  # from the first epoch
    assert began() == [0]
    (piece,) = checkpoints.pieces(tmp_path)
    assert piece["environment"] == machine.environment()


def test_summary_names_the_first_best_epoch(tmp_path: Path) -> None:
    (tmp_path / checkpoints.LOG).write_text(LOG)
    summary = checkpoints.summary(tmp_path)
    assert summary["best_epoch"] == 2
    assert summary["validation_accuracy"] == 0.5
    assert summary["seconds"] == 5.0
    assert [row["epoch"] for row in summary["history"]] == [1, 2]


def compiled_model() -> Any:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("rmsprop", "mse")
    return model


def state(model: Any) -> list[Any]:
    variables = [*model.weights, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_backup_restores_weights_optimizer_and_epoch(tmp_path: Path) -> None:
    x, y = np.ones((6, 2)), np.ones((6, 1))
    model = compiled_model()
    (tmp_path / checkpoints.LOG).write_text(LOG)
    backup = checkpoints.EpochBackup(tmp_path)
    model.fit(x, y, batch_size=2, epochs=2, callbacks=[backup], verbose=0)

    resumed = compiled_model()
    assert checkpoints.restore(resumed, tmp_path, steps_per_epoch=3) == 2
    for mine, theirs in zip(state(resumed), state(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(checkpoints.history(tmp_path)) == 2


THIRD = "2,0.2,3.0,{}\n"  # a row of the log


def saved(model: Any, path: Path) -> bool:
    other = compiled_model()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(path)
    weights = zip(other.get_weights(), model.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in weights)


def test_the_best_epoch_is_kept_beside_the_latest(tmp_path: Path) -> None:
    model = compiled_model()
    model.optimizer.build(model.trainable_variables)
    backup = checkpoints.EpochBackup(tmp_path)
    backup.set_model(model)
    log = tmp_path / checkpoints.LOG
    log.write_text(LOG)
    backup.on_epoch_end()
    assert saved(model, tmp_path / checkpoints.BEST)
    model.set_weights([weights + 1.0 for weights in model.get_weights()])
    log.write_text(LOG + THIRD.format(0.4))
    backup.on_epoch_end()
    assert saved(model, tmp_path / checkpoints.BACKUP)
    assert not saved(model, tmp_path / checkpoints.BEST)

    # As after a kill between the two of an epoch that was the best.
    model.optimizer.iterations.assign(3)
    model.save_weights(tmp_path / checkpoints.BACKUP)
    log.write_text(LOG + THIRD.format(0.6))
    assert checkpoints.restore(compiled_model(), tmp_path, steps_per_epoch=1) == 3
    assert saved(model, tmp_path / checkpoints.BEST)


def test_restore_drops_the_row_of_an_epoch_without_backup(tmp_path: Path) -> None:
    model = compiled_model()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(3)
    model.save_weights(tmp_path / checkpoints.BACKUP)
    (tmp_path / checkpoints.LOG).write_text(LOG)
    assert checkpoints.restore(compiled_model(), tmp_path, steps_per_epoch=3) == 1
    assert [row["epoch"] for row in checkpoints.history(tmp_path)] == [1]


def test_a_log_without_backup_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / checkpoints.LOG).write_text(LOG)
    assert checkpoints.restore(compiled_model(), tmp_path, steps_per_epoch=3) == 0
    assert "has the log of 2 epochs and no backup" in capsys.readouterr().out
    assert checkpoints.history(tmp_path) == []
    assert (tmp_path / "log.csv.old").read_text() == LOG


def test_a_backup_without_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / checkpoints.BACKUP).write_text("weights")
    with pytest.raises(RunError, match=r"not the log\.csv that belongs to it"):
        checkpoints.restore(None, tmp_path, steps_per_epoch=1)

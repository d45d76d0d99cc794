"""A file that is spoilt, or can't be written, ends a script in one sentence."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpoints
import experiments
import files
import keras
import permuted_mnist
import pytest
import runs
import synthetic
import trials

LOG = "epoch,accuracy,seconds,val_accuracy\n0,0.1,2.0,0.5\n1,0.2,3.0,0.3\n"
POINT = experiments.figure_4()[0]
TRIAL = experiments.one_realization()[0]


def model() -> Any:
    found = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    found.compile("rmsprop", "mse")
    found.optimizer.build(found.trainable_variables)
    return found


def save(folder: Path, name: str, steps: int) -> None:
    there = model()
    there.optimizer.iterations.assign(steps)
    there.save_weights(folder / name)


def restore(output: Path) -> Any:
    return checkpoints.restore(model(), output / "urnn-2", steps_per_epoch=3)


READERS: dict[str, Callable[[Path], Any]] = {
    "settings.json": runs.settings_of,
    "points.jsonl": lambda output: permuted_mnist.journal_of(output).rows(),
    "trials.jsonl": lambda output: synthetic.journal_of(output).rows(),
    "urnn-2/pieces.json": lambda output: checkpoints.pieces(output / "urnn-2"),
    "urnn-2/log.csv": restore,
    "urnn-2/backup.weights.h5": restore,
    "urnn-2/best.weights.h5": restore,
}
JOURNALS = ("points.jsonl", "trials.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the scripts read back, after two epochs of which the first is best."""
    output = tmp_path_factory.mktemp("whole")
    runs.claim(output, {"seed": 0})
    for name, row in zip(JOURNALS, (POINT, TRIAL), strict=True):
        (output / name).write_text(2 * f"{json.dumps(row)}\n")
    folder = output / "urnn-2"
    folder.mkdir()
    checkpoints.add_piece(folder, 0)
    (folder / checkpoints.LOG).write_text(LOG)
    save(folder, checkpoints.BEST, 3)
    save(folder, checkpoints.BACKUP, 6)
    for read in READERS.values():
        assert read(output)
    return output


def contents(output: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}


@pytest.fixture
def intact(whole: Path) -> Iterator[Path]:
    """The same for each test: it is put back as it was."""
    before = contents(whole)
    yield whole
    for path, content in before.items():
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
    assert contents(whole) == before, "something else was written"


def refusal(output: Path, name: str) -> str:
    """What a script ends with; nothing is written before."""
    before = contents(output)
    with pytest.raises(SystemExit) as end, files.one_sentence("script.py"):
        READERS[name](output)
    assert contents(output) == before
    said = str(end.value.code)
    assert said.startswith("script.py: ")
    assert str(output / name) in said
    assert "\n" not in said
    return said


SPOILT = {
    "empty": lambda _: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "binary": lambda content: b"\x89PNG\r\n\x1a\n\x00" + content[::-1],
    "not UTF-8": lambda content: content.replace(b"e", b"\xe9"),
    "no JSON": lambda _: b"x",
    "a list": lambda _: b"[1]",
    "a number": lambda _: b"1",
    "null": lambda _: b"null",
    "nested too deep": lambda _: b"[" * 100_000,
    "another object": lambda _: b'{"trial": {}, "pieces": [{}]}',
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", READERS)
def test_what_is_spoilt_is_named(intact: Path, name: str, how: str) -> None:
    if (name, how) == ("settings.json", "another object"):
        return  # settings are compared field by field, whichever they are
    content = (intact / name).read_bytes()
    if name in JOURNALS:  # the last line may be torn by a kill, no other one
        first, last = content.splitlines(keepends=True)
        spoilt = SPOILT[how](first).replace(b"\n", b"") + b"\n" + last
    else:
        spoilt = SPOILT[how](content)
    (intact / name).write_bytes(spoilt)
    said = refusal(intact, name)
    assert "spoilt" in said or "epoch" in said
    assert "Remove " in said


@pytest.mark.parametrize("name", READERS)
def test_a_directory_in_its_place(intact: Path, name: str) -> None:
    (intact / name).unlink()
    (intact / name).mkdir()
    assert "Is a directory. Remove what is in its place" in refusal(intact, name)


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_somebody_else(
    intact: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path, mode: str = "r", *_: Any, **__: Any) -> Any:
        # Whoever runs this may be root, whom no mode of a file stops.
        if path == intact / name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_path(path, mode, *_, **__)

    open_path = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "open", deny)
        with pytest.raises(SystemExit) as end, files.one_sentence("script.py"):
            READERS[name](intact)
    assert f"{intact / name} can't be read or written: Permission denied." in str(
        end.value.code
    )


def fields(shape: Any, content: Any) -> Iterator[tuple[Any, str, Any]]:
    """Every field that a shape asks for: where it is, its name, and a wrong value."""
    if isinstance(shape, list):
        yield from fields(shape[0], content[0])
    elif isinstance(shape, dict):
        for name, inner in shape.items():
            if name.removesuffix("?") in content:
                value = content[name.removesuffix("?")]
                yield content, name, 7 if isinstance(value, str | None) else "7"
                yield content, name, {} if isinstance(value, list) else [7]
                yield from fields(inner, value)


@pytest.mark.parametrize("name", [*JOURNALS, "urnn-2/pieces.json"])
def test_each_field_is_asked_for(intact: Path, name: str) -> None:
    shape: Any = {"points.jsonl": permuted_mnist.ROW, "trials.jsonl": synthetic.ROW}
    shape = shape.get(name, {"pieces": [checkpoints.PIECE]})
    text = (intact / name).read_text().splitlines()
    row = json.loads(text[0]) if name in JOURNALS else json.loads("".join(text))
    rest = text[1:] if name in JOURNALS else []
    tried = 0

    def refused(field: str) -> None:
        (intact / name).write_text("\n".join([json.dumps(row), *rest, ""]))
        assert f"'{field}'" in refusal(intact, name)

    for place, field, wrong in fields(shape, row):
        key = field.removesuffix("?")
        value = place[key]
        place[key] = wrong
        refused(key)
        if key == field:
            del place[key]
            refused(key)
        place[key] = value
        tried += 1
    assert tried >= 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best_epoch": 0}, "its best epoch is 0 of"),
        ({"best_epoch": 10**6}, "its best epoch is 1000000 of"),
        ({"validation_accuracies": []}, "validation accuracies of 0"),
        ({"confusion": [[1, 2], [3, 4]]}, "'confusion' must be a square"),
        ({"epochs": True}, "'epochs' must be int, not True"),
        ({"test_accuracy": float("nan")}, "NaN is no JSON"),
        ({"trial": {"curve": "gru", "units": 2}}, "'curve' must be one of"),
    ],
)
def test_points_that_no_run_gives(
    intact: Path, changes: dict[str, Any], message: str
) -> None:
    row = json.dumps({**POINT, **changes})
    (intact / "points.jsonl").write_text(f"{row}\n")
    assert message in refusal(intact, "points.jsonl")


HEADER, FIRST, SECOND = LOG.splitlines(keepends=True)


@pytest.mark.parametrize(
    "log",
    [
        HEADER.replace("epoch", "step") + FIRST + SECOND,
        HEADER.replace("val_accuracy", "val_acc") + FIRST + SECOND,
        HEADER.replace("accuracy,seconds", "seconds,seconds") + FIRST + SECOND,
        FIRST + SECOND,
        HEADER + FIRST + FIRST,  # an epoch twice
        HEADER + SECOND + FIRST,
        HEADER + FIRST + "2,0.2,3.0,0.3\n",  # one is missing
        HEADER + FIRST,  # the last is missing
        HEADER + FIRST + SECOND[:-2],
        HEADER + FIRST + "\n" + SECOND,
        HEADER + FIRST + "1,0.2,3.0\n",
        HEADER + FIRST + "1,0.2,3.0,0.3,0.4\n",
        HEADER + FIRST + "1,0.2,long,0.3\n",
        HEADER + FIRST + "1,0.2,3.0,nan\n",
        HEADER + FIRST + "1,0.2,3.0,\n",
        HEADER + FIRST + f'1,0.2,3.0,"{"3" * 200_000}"\n',  # more than csv reads
    ],
)
def test_logs_that_no_run_gives(intact: Path, log: str) -> None:
    (intact / "urnn-2" / checkpoints.LOG).write_text(log)
    said = refusal(intact, "urnn-2/log.csv")
    assert "Remove log.csv and backup.weights.h5 from " in said


def test_a_row_that_was_cut_short_is_of_no_epoch(intact: Path) -> None:
    log = intact / "urnn-2" / checkpoints.LOG
    log.write_text(LOG + "2,0.2,3.0,0.")
    assert len(checkpoints.history(log.parent)) == 2
    assert restore(intact) == 2
    assert log.read_text() == LOG


@pytest.mark.parametrize("name", [checkpoints.BACKUP, checkpoints.BEST])
@pytest.mark.parametrize("steps", [0, 4, 9, -3])
def test_weights_of_another_epoch(intact: Path, name: str, steps: int) -> None:
    save(intact / "urnn-2", name, steps)
    with pytest.raises(files.RunError, match=r"of the end of an epoch|epoch"):
        restore(intact)


def other_model(path: Path) -> None:
    wider = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])
    wider.compile("rmsprop", "mse")
    wider.optimizer.build(wider.trainable_variables)
    wider.save_weights(path)


def no_optimizer(path: Path) -> None:
    bare = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    bare.save_weights(path)


@pytest.mark.parametrize("name", [checkpoints.BACKUP, checkpoints.BEST])
@pytest.mark.parametrize("write", [other_model, no_optimizer])
def test_weights_of_another_model(
    intact: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(intact / "urnn-2" / name)
    assert "is spoilt (" in refusal(intact, f"urnn-2/{name}")


def test_the_best_weights_take_the_place_of_a_spoilt_backup(intact: Path) -> None:
    folder = intact / "urnn-2"
    best = (folder / checkpoints.BEST).read_bytes()
    (folder / checkpoints.BACKUP).write_bytes(best)
    assert restore(intact) == 1
    assert checkpoints.history(folder)[-1]["epoch"] == 1


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes three bytes of each file."""

    def write(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(os, "fsync", sync)


def log_an_epoch(output: Path) -> None:
    logs = {"accuracy": 0.3, "seconds": 1.0, "val_accuracy": 0.9}
    checkpoints.EpochLog(output / "urnn-2").on_epoch_end(2, logs)


def back_up(output: Path) -> None:
    backup = checkpoints.EpochBackup(output / "urnn-2")
    backup.set_model(model())
    backup.on_epoch_end()


WRITERS: dict[str, Callable[[Path], Any]] = {
    "urnn-2/log.csv": log_an_epoch,
    "urnn-2/backup.weights.h5": back_up,
    "urnn-2/pieces.json": lambda output: checkpoints.add_piece(output / "urnn-2", 2),
    "points.jsonl": lambda output: permuted_mnist.journal_of(output).add(POINT),
    "new/settings.json": lambda output: runs.claim(output / "new", {"seed": 0}),
    "new.jsonl": lambda output: trials.Journal(output / "new.jsonl").add(TRIAL),
    "result.json": lambda output: files.write_json(output / "result.json", POINT),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(intact: Path, name: str, request: pytest.FixtureRequest) -> None:
    before = contents(intact)
    request.getfixturevalue("full")
    with pytest.raises(files.RunError) as refused:
        WRITERS[name](intact)
    request.getfixturevalue("monkeypatch").undo()
    said = f"{intact / name} can't be read or written: {os.strerror(errno.ENOSPC)}. "
    assert str(refused.value).startswith(f"{said}Free space")
    after = contents(intact)
    for path in after.keys() - before.keys():
        assert path.read_bytes() == b""  # a lock, or a journal without a row
        path.unlink()
    assert {path: after[path] for path in before} == before

"""The pictures: drawn from a result alone, with what a reader needs on them."""

import errno
from pathlib import Path
from typing import Any

import plots
import pytest
from files import RunError
from matplotlib.figure import Figure


def result(*kinds: str) -> dict[str, Any]:
    spectrum = {"singular_values": [0.9, 0.4], "eigenvalues": [[0.5, 0.4], [0.5, -0.4]]}
    history = [
        {"epoch": 1, "accuracy": 0.2, "val_accuracy": 0.25},
        {"epoch": 2, "accuracy": 0.4, "val_accuracy": 0.35},
    ]
    training = {"history": history, "best_epoch": 2, "validation_accuracy": 0.35}
    return {
        "settings": {"dataset": "digits", "units": 2},
        "training": {kind: training for kind in kinds if kind != "converted"},
        "models": {kind: {"test_accuracy": 0.3456, **spectrum} for kind in kinds},
    }


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, for a look at what is on them."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "write", lambda figure, _: figures.append(figure))
    return figures


def test_every_panel_has_title_labels_and_legend(saved: list[Figure]) -> None:
    plots.demo(result("contractive", "converted", "unitary"), Path("a.png"))
    (figure,) = saved
    assert "converted 0.346" in figure.get_suptitle()
    for axes in figure.axes:
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    legends = [axes.get_legend() for axes in figure.axes]
    labels = [t.get_text() for legend in legends if legend for t in legend.get_texts()]
    for label in ("contractive", "unitary", "contractive, before", "converted, after"):
        assert label in labels


def test_one_model_alone_is_drawn(saved: list[Figure]) -> None:
    plots.demo(result("unitary"), Path("a.png"))
    _, middle, right = saved[0].axes
    legend = middle.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [plots.LABELS["unitary"]]
    assert len(right.lines) == 1


def test_picture_is_a_png(tmp_path: Path) -> None:
    plots.demo(result("contractive", "converted"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Figure, path: Path, **__: Any) -> None:
        path.write_text("half a picture")
        raise OSError(errno.ENOSPC, "disk full")

    old = tmp_path / "a.png"
    old.write_text("old")
    monkeypatch.setattr(Figure, "savefig", stop)
    with pytest.raises(RunError, match=r"a\.png can't be .*: disk full\. Free space"):
        plots.write(Figure(), old)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]

"""The story of the three theorems end to end, with tiny fits."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import theorems


def run(output: Path, *flags: str) -> dict[str, Any]:
    common = ["--restarts", "2", "--output", str(output)]
    theorems.main([*common, *flags])
    result: dict[str, Any] = json.loads((output / theorems.RESULT).read_text())
    return result


def test_whole_story(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(theorems, "LENGTH", 4)
    result = run(tmp_path, "--sizes", "2", "1", "--steps", "3")
    printed = capsys.readouterr().out

    # float32: a rounding or two at each of four steps.
    assert result["relu"]["relative_max"] <= 1e-6
    assert result["relu"]["unitary_states"] == 2
    assert 0.0 < result["relu"]["share_of_steps_on"] < 1.0
    for kind, fits in result["fits"].items():
        assert [fit["states"] for fit in fits] == [1, 2]
        for fit in fits:
            assert len(fit["rms"]) == len(fit["relative_max"]) == 2
            assert fit["best"] == np.argmin(fit["validation_rms"])
            assert kind == "contractive" or fit["unitarity_error"] < 1e-6
    for near in result["linearization"]:
        np.testing.assert_allclose(near["mean_ratio"], 0.5, rtol=0, atol=1e-12)
    for near in result["fits"]["unitary"][1]["linearization"]:
        # float32 weights: |det R| is 1 to some 1e-7.
        np.testing.assert_allclose(near["mean_ratio"], 1.0, rtol=0, atol=1e-5)
    tight = result["state_bounds"][: theorems.LARGEST_TIGHT]
    assert [row["lower"] for row in tight] == [2 * row["n"] for row in tight]

    assert result["environment"]["backend"] == keras.config.backend()
    assert (tmp_path / theorems.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert printed.count("the RMS error of the ") == 2
    assert str(tmp_path) not in (tmp_path / theorems.RESULT).read_text()


def test_restarts_are_trained_apart() -> None:
    train = theorems.draw(theorems.ku.theory.sigmoid_example(), 3 * 64, 0, 0)
    alone, beside = (
        theorems.outputs(theorems.fit("contractive", 1, restarts, train, 0), train.x)
        for restarts in (1, 2)
    )
    # The mean over branches halves each gradient, which moves Adam by 1e-7 / gradient.
    np.testing.assert_allclose(beside[..., :1], alone, rtol=0, atol=1e-4)
    assert np.abs(beside[..., 1:] - alone).max() > 1e-2


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([1.0, 0.4, 0.1], None),
        ([1.0, 0.4, 0.3, 0.3], 2),
        ([1.0, 2.0, 3.0], 1),
        ([1.0], None),
    ],
)
def test_levelling_off(errors: list[float], expected: int | None) -> None:
    rows = [
        {"states": states, "best": 0, "rms": [error]}
        for states, error in enumerate(errors, start=1)
    ]
    found = theorems.level(rows)
    assert found == {"levels_off": expected is not None, "from_states": expected}


@pytest.mark.parametrize("flags", [["--sizes", "0"], ["--restarts", "-1"]])
def test_bad_flag_is_refused(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        theorems.main(flags)
    assert stop.value.code == 2
    assert "must be above 0" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="--output"):
        theorems.main(["--output", str(tmp_path / "file")])

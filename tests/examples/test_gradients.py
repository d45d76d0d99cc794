"""The example on gradients by steps: what it writes, and what it shows."""

import json
from pathlib import Path

import gradients
import pytest


@pytest.mark.once
def test_a_unitary_system_keeps_a_gradient_that_others_lose(tmp_path: Path) -> None:
    options = ["--delay", "30", "--width", "8", "--sequences", "2"]
    gradients.main([*options, "--output", str(tmp_path), "--systems", "RNN", "expRNN"])
    norms = json.loads((tmp_path / "result.json").read_text())["norms"]
    assert [len(of_steps) for of_steps in norms.values()] == [50, 50]
    assert norms["RNN"][-1] == pytest.approx(1.0, abs=1e-5)
    assert norms["RNN"][0] < 0.1
    assert norms["expRNN"][0] == pytest.approx(1.0, abs=1e-4)
    assert (tmp_path / "gradients.png").stat().st_size > 0

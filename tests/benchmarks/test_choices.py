"""The table of what to set compares what it says it compares."""

from typing import Any

import performance
import pytest
from contestants import SHAPES


def row(
    name: str, jit: bool, ms: float, mebibytes: float = 1.0, first_s: float = 1.0
) -> dict[str, Any]:
    return {
        "contestant": name,
        "jit_compile": jit,
        "flush_denormals": False,
        "training": {"ms": ms, "mebibytes": mebibytes, "first_s": first_s},
    }


def run(backend: str, shape: str, *rows: dict[str, Any]) -> dict[str, Any]:
    about = {"backend": backend, "shape": SHAPES[shape]._asdict()}
    return {**about, "contestants": list(rows)}


RECORD = {
    "runs": [
        run(
            "tensorflow",
            "pmnist",
            row("UnitaryRNN", False, 8.0, 5.0),
            row("UnitaryRNN", True, 10.0, 50.0, 3.0),
            row(performance.CHECKPOINTS, True, 11.0, 5.0),
            row(performance.CHECKPOINTS, False, 12.0, 4.0),
        ),
        run("jax", "pmnist", row("UnitaryRNN", True, 2.0)),
        run("torch", "pmnist", row("UnitaryRNN", False, 16.0)),
    ],
    "growth": [
        {
            "backend": "jax",
            "points": [
                {"axis": "batch", "value": size, "jit_compile": True, "ms": ms}
                for size, ms in ((1, 2.0), (32, 4.0))
            ],
        }
    ],
}
WITHOUT_XLA, WITH_XLA = "1.50, memory 0.80", "1.10, memory 0.10"
FASTER = {
    "half_precision": {
        "contestants": [
            row("UnitaryRNN", True, 1.0),
            row("UnitaryRNN", False, 4.0),
            row(performance.HALF, True, 8.0),
            row(performance.HALF, False, 1.0),
        ]
    }
}


@pytest.mark.parametrize(
    ("start", "shape", "cell"),
    [
        ("`jit_compile", "pmnist", "1.25, memory 10.00, first step 3.00"),
        ("JAX, not", "pmnist", "0.25"),
        ("PyTorch, not", "pmnist", "2.00"),
        ("`checkpoint_every=56`, not `None`, on TensorFlow |", "pmnist", WITHOUT_XLA),
        ("`checkpoint_every=56`, not `None`, on TensorFlow, XLA", "pmnist", WITH_XLA),
        ("`checkpoint_every=56`, not `None`, on JAX", "pmnist", ""),
        ("`mixed", "wide", "0.25"),
        ("`mixed", "pmnist", ""),
        ("JAX, not", "small", ""),
    ],
)
def test_a_choice_is_divided_by_the_other(start: str, shape: str, cell: str) -> None:
    lines = performance.choices(RECORD, FASTER).splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {start}"))
    cells = [one.strip() for one in line.strip("|").split("|")]
    assert cells[1 + list(SHAPES).index(shape)] == cell


def test_a_batch_costs_each_of_its_sequences_a_part() -> None:
    lines = performance.batches(RECORD).splitlines()[2:]
    assert lines == ["| 1 |  |  | 16 |  |", "| 32 |  |  | 1 |  |"]

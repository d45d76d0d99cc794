"""The page on performance shows what was recorded, and nothing else."""

import re
from pathlib import Path
from typing import Any

import performance
import pytest
import recurrence
import targets
import timings
from contestants import SHAPES

RECORD = recurrence.load(recurrence.OUTPUT)
FASTER = recurrence.load(performance.FASTER)
PAGES = [page.read_text(encoding="utf-8") for page in performance.PAGES]
NOTHING = {"runs": [], "growth": []}


@pytest.mark.parametrize("page", PAGES, ids=["performance", "in detail"])
def test_a_page_has_the_tables_of_the_results(page: str) -> None:
    assert performance.fill(page, RECORD, FASTER) == page


def test_the_pages_have_every_table_once() -> None:
    shown = [name for _, name, _, _ in performance.BLOCK.findall("".join(PAGES))]
    assert sorted(shown) == sorted(performance.tables(RECORD, FASTER))


def test_no_measured_number_stands_outside_the_tables() -> None:
    text = performance.BLOCK.sub("", "".join(PAGES))
    assert not re.search(r"\d(\.\d+)? ?(ms|MiB|%|times)", text)


def test_the_first_page_describes_the_shapes_as_they_are() -> None:
    for shape in SHAPES.values():
        sizes = (shape.units, shape.batch, shape.steps, shape.features)
        line = f"| {shape.name} | {' | '.join(f'{size:,}' for size in sizes)} |"
        assert line in PAGES[0]


@pytest.mark.parametrize(
    "records", [(RECORD, FASTER), (NOTHING, NOTHING)], ids=["recorded", "nothing"]
)
def test_rows_of_a_table_have_the_columns_of_its_head(records: Any) -> None:
    for name, table in performance.tables(*records).items():
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1, name


def test_the_profile_counts_products_by_the_fastest_of_the_backend() -> None:
    shape = SHAPES["pmnist"]._asdict()
    rows = [
        timed("ContractiveRNN", False, 200.0, projection={"ms": 20.0}),
        timed("matrix product", False, 90.0),
        timed("matrix product", True, 40.0),
    ]
    run = {"backend": "tensorflow", "shape": shape, "contestants": rows}
    *_, row = timings.profile({"runs": [run]}).splitlines()
    parts = "200 | 120 (60.0%) | 20 (10.0%) | 60 (30.0%)"
    assert row == f"| TensorFlow | pmnist | ContractiveRNN | {parts} |"


def timed(name: str, jit: bool, ms: float, **others: object) -> dict[str, object]:
    mode = {"contestant": name, "jit_compile": jit, "flush_denormals": False}
    return {**mode, "training": {"ms": ms}, **others}


@pytest.mark.parametrize("record", [RECORD, NOTHING], ids=["recorded", "nothing"])
def test_pictures_have_titles_labels_and_are_pngs(
    record: dict[str, list[object]], tmp_path: Path
) -> None:
    performance.draw(record, tmp_path)
    for name in (performance.RATIOS, performance.GROWN):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"images/{name}" in "".join(PAGES)
    axes = performance.ratios(record).axes[0]
    assert axes.get_title()
    assert axes.get_ylabel()
    assert len(axes.get_xticklabels()) == len(targets.TARGETS)

"""What the README and the docs show: code that runs, numbers that were recorded."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import conversion
import keras
import parametrizations
import pytest
import scaling
import tables
import verification

import keras_urnn as ku
from keras_urnn.equivalence.ranges.activations import ACTIVATIONS

ROOT = Path(__file__).resolve().parent.parent
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES_WITH_CODE = [  # the README has a test of its own
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if PYTHON_BLOCK.search(page.read_text(encoding="utf-8"))
]

CHOOSING = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
THEORY = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
RESULTS = ROOT / "examples" / "results"
RECORDED = json.loads((RESULTS / "theorems.json").read_text(encoding="utf-8"))
MEASURED = {
    made.__name__: made.markdown(json.loads(made.OUTPUT.read_text(encoding="utf-8")))
    for made in (conversion, scaling, verification)
}
TABLES = {**tables.theorems(RECORDED), **MEASURED}


def code_of(page: Path) -> str:
    """Return the Python blocks of a page, which go on from each other."""
    return "\n".join(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")))


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.name)
def test_code_runs_as_printed(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code_of(page), page.name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.once
def test_readme_example_has_twelve_lines_and_reports_success(
    run_python: Callable[..., str],
) -> None:
    code = code_of(ROOT / "README.md")
    assert len(code.splitlines()) == 12
    checked = f"{code}\nassert report.equivalent"
    # On Keras' default backend, as a reader would run it. It prints, too.
    assert run_python(checked, KERAS_BACKEND="tensorflow")


def test_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("make demo") < readme.index("make test") < readme.index("##")


def test_the_page_on_choosing_has_the_table_of_the_classes() -> None:
    assert f"\n\n{tables.parametrizations()}\n\n" in CHOOSING
    assert CHOOSING.split("\n\n")[1].startswith("**If you're not sure, use")


@pytest.mark.parametrize("shown", parametrizations.SHOWN)
def test_the_page_on_choosing_has_what_a_step_costs(shown: Callable[..., str]) -> None:
    record = parametrizations.load(parametrizations.OUTPUT)
    assert f"\n\n{shown(record)}\n\n" in CHOOSING


def test_each_parametrization_has_its_entry_in_the_docs() -> None:
    page = (ROOT / "docs" / "api" / "parametrizations.md").read_text(encoding="utf-8")
    for kind in ku.parametrizations.NAMES.values():
        assert f"::: keras_urnn.parametrizations.{kind.__name__}\n" in page
        said = (kind.systems, kind.reaches, kind.parameters, kind.cost, kind.paper)
        assert all(said)
        assert re.fullmatch(r"\[[^]]+\]\(https://arxiv\.org/abs/[\d.]+\)", kind.paper)


@pytest.mark.parametrize("name", TABLES)
def test_the_theory_page_has_the_numbers_of_the_scripts(name: str) -> None:
    assert f"\n\n{TABLES[name]}\n\n" in THEORY


def test_it_says_where_the_errors_level_off_as_the_script_does() -> None:
    for line in tables.levels(RECORDED).splitlines():
        assert f"- {line}\n" in THEORY


def test_its_tables_have_no_other_measured_number() -> None:
    recorded = "\n".join(TABLES.values()).splitlines()
    shown = re.findall(r"^\|.*\d\.\d.*$", THEORY, re.MULTILINE)
    assert shown
    assert set(shown) <= set(recorded)


def test_it_lists_the_activations_that_are_constant_on_a_half_line() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| z ≤ (.+) \| (.+) \| (.+) \|$", THEORY, re.MULTILINE
    )
    slopes = {"1": 1.0, "1/6": 1.0 / 6.0, "1/2": 0.5, "3/2": 1.5}
    shown = {
        name: (float(edge), float(value), slopes[slope])
        for name, edge, value, slope in rows
    }
    assert shown == {
        keras.activations.serialize(activation): (flat.edge, flat.value, flat.slope)
        for activation, row in ACTIVATIONS.items()
        if (flat := row.half_line)
    }


def test_the_files_it_names_exist() -> None:
    named = re.findall(r"`((?:tests|examples|keras_urnn)/[\w/.]+)`", THEORY)
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).is_file(), path

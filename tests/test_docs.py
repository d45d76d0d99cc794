"""The code in the README and in the docs runs as printed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES_WITH_CODE = [
    page for page in PAGES if PYTHON_BLOCK.search(page.read_text(encoding="utf-8"))
]


def code_of(page: Path) -> str:
    """Return the Python blocks of a page, which go on from each other."""
    return "\n".join(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.name)
def test_code_runs_as_printed(page: Path, run_python: Callable[..., str]) -> None:
    assert run_python(code_of(page))


def test_readme_example_has_twelve_lines_and_reports_success(
    run_python: Callable[..., str],
) -> None:
    code = code_of(ROOT / "README.md")
    assert len(code.splitlines()) == 12
    assert run_python(f"{code}\nassert report.equivalent")


def test_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("make demo") < readme.index("make test") < readme.index("##")

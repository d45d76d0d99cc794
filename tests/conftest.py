"""What every test gets: only listed skips pass, and a fresh process on request."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import keras
import pytest

ROOT = Path(__file__).resolve().parent.parent
# The same examples each time: what fails here fails everywhere. No deadline: a first
# call compiles.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")

# What is tested in these folders and files hardly depends on the backend, but for what
# is marked `each_backend`.
RUN_ONCE = ("benchmarks", "equivalence", "examples", "theory", "test_layout.py")
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


def _allowed_skips() -> list[tuple[str, str]]:
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [(node_id, reason) for node_id, reason in rows]


def _is_allowed(node_id: str, reason: str) -> bool:
    return any(
        node_id.startswith(prefix) and reason.startswith(start)
        for prefix, start in _allowed_skips()
    )


def _refuse_unlisted_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # Expected failures arrive here too: pytest reports them as skipped.
    if report.outcome != "skipped":
        return
    reason = report.__dict__.pop("wasxfail", None)
    if reason is None:
        assert isinstance(report.longrepr, tuple), "file, line and reason of a skip"
        reason = report.longrepr[2].removeprefix("Skipped: ")
    if not _is_allowed(report.nodeid, reason):
        report.outcome = "failed"
        report.longrepr = f"not in {ALLOWED_SKIPS.name}: {report.nodeid} | {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    report = yield
    _refuse_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    report = yield
    _refuse_unlisted_skip(report)
    return report


@pytest.fixture(autouse=True, scope="session")
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    # JAX compiles the same small models again and again: most of the suite's time.
    if keras.config.backend() == "jax":
        import jax

        folder = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:  # What one worker compiles is all's.
            folder = folder.parent
        settings = {
            "jax_compilation_cache_dir": str(folder / "compiled"),
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in settings.items():
            jax.config.update(name, value)
            os.environ[name.upper()] = str(value)  # for the processes of `run_python`


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., str]:
    """Return `run(code, **environment)`: standard output of a fresh interpreter.

    It starts in an empty folder, under this run's backend unless told otherwise.
    """

    def run(code: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is run once, on the backends that compile, to the long run."""
    if keras.config.backend() != "torch":
        once = [item for item in items if _runs_once(item)]
        for item in [*once, *_of_the_other_layer(items)]:
            item.add_marker(pytest.mark.long)


def _of_the_other_layer(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Of each case of both layers one, in turns.

    The two share all that a backend runs, but for the projections, which training and
    the constraints' tests run for both.
    """
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.path.parent.name == "layers" and item.path.name != "test_training.py":
            case = re.sub(r"\b(unitary|contractive)\b", "layer", item.nodeid)
            cases.setdefault(case, []).append(item)
    pairs = (case for case in cases.values() if len(case) == 2)
    for turn, pair in enumerate(pairs):
        yield pair[turn % 2]


def _runs_once(item: pytest.Item) -> bool:
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    in_each = folder not in RUN_ONCE or item.get_closest_marker("each_backend")
    return bool(item.get_closest_marker("once")) or not in_each

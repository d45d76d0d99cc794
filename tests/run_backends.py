"""Run the suite on each backend, in a process of its own, and add up the outcomes.

    python -m tests.run_backends [--long] [--record] [--commit NAME] [backend ...]

The last line is the total, `N passed, N failed, N skipped`. The exit status is 0 only
where every backend ran at least one test and none failed. A backend that is not
installed ends pytest before its first test: that counts as a failure.

`--record` writes the seconds of each backend and its slowest tests into
`tests/results/slowest.json`. `--commit` runs the package and the tests of another
commit, of an earlier release say, with the libraries that are installed here.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.recording import ROOT, about, git, record

BACKENDS = ("tensorflow", "jax", "torch")
RESULTS = ROOT / "tests" / "results"
LONG_RESULTS = RESULTS / "long.json"
SLOWEST_RESULTS = RESULTS / "slowest.json"
SLOWEST = 50
PROCESSES = 2
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
# One thread for each of the processes: more would fight over the same cores.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


@dataclass(frozen=True)
class Outcome:
    """What one backend's run came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    slowest: dict[str, float] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """What is recorded of each run."""
        names = ("passed", "failed", "skipped", "seconds")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def main() -> int:
    arguments = parse_arguments()
    with checked_out(arguments.commit) as checkout:
        outcomes = {
            backend: run_backend(backend, arguments.long, checkout)
            for backend in arguments.backends
        }
        origin = about(checkout)
        if arguments.record:
            record_slowest(outcomes, checkout, origin)
    if arguments.long:
        found = {backend: one.counts() | origin for backend, one in outcomes.items()}
        record(LONG_RESULTS, "make test-long", found)
    print()
    for backend, outcome in outcomes.items():
        print(f"{backend}: {outcome}")
    total = add(list(outcomes.values()))
    print(total, flush=True)
    return int(total.failed > 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="run the long tests")
    parser.add_argument("--record", action="store_true", help="write slowest.json")
    parser.add_argument("--commit", help="run the tests of another commit")
    parser.add_argument("backends", nargs="*", help="all three unless named")
    arguments = parser.parse_args()
    arguments.backends = arguments.backends or list(BACKENDS)
    unknown = set(arguments.backends) - set(BACKENDS)
    if unknown:
        parser.error(f"unknown backends {sorted(unknown)}: choose from {BACKENDS}")
    return arguments


@contextmanager
def checked_out(commit: str | None) -> Iterator[Path]:
    """This folder, or one that holds another commit for the time being."""
    if commit is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        git("worktree", "add", "--detach", folder, commit)
        try:
            yield Path(folder)
        finally:
            git("worktree", "remove", "--force", folder)


def run_backend(backend: str, long: bool, checkout: Path) -> Outcome:
    print(f"== {backend}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        own = {"KERAS_BACKEND": backend, "PYTHONPATH": str(checkout)}
        start = time.monotonic()
        status = subprocess.run(
            command(report, long),
            cwd=checkout,
            env={**ENVIRONMENT, **os.environ, **own},
            check=False,
        ).returncode
        return read_outcome(report, status, time.monotonic() - start)


def command(report: Path, long: bool) -> list[str]:
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", str(PROCESSES)]
    # A few tests take a minute: whoever is done takes over what is left of the others.
    pytest += ["--dist", "worksteal"]
    return [*pytest, "-m", "long" if long else "not long", f"--junitxml={report}"]


def read_outcome(report: Path, status: int, seconds: float) -> Outcome:
    """Count from pytest's own report; a run without tests has failed."""
    if not report.exists():
        return Outcome(failed=1, seconds=seconds)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None, "pytest's report holds one test suite"
    tests, failures, errors, skipped = (
        int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    passed = tests - failed - skipped
    # Whatever else went wrong (no test at all, a crashed worker) is in the status.
    failed = max(failed, int(status != 0 or passed == 0))
    return Outcome(passed, failed, skipped, seconds, slowest_of(suite))


def slowest_of(suite: ElementTree.Element) -> dict[str, float]:
    """The seconds of the slowest tests, the slowest first."""
    times = {
        f"{case.attrib['classname']}::{case.attrib['name']}": float(case.attrib["time"])
        for case in suite.iter("testcase")
    }
    return dict(sorted(times.items(), key=lambda item: -item[1])[:SLOWEST])


def record_slowest(
    outcomes: dict[str, Outcome], checkout: Path, origin: dict[str, Any]
) -> None:
    """Write down how long each backend took, under the version of the package."""
    source = (checkout / "keras_urnn" / "__init__.py").read_text(encoding="utf-8")
    (version,) = VERSION.findall(source)
    found = {
        f"{version}, {backend}": one.counts() | origin | {"slowest": one.slowest}
        for backend, one in outcomes.items()
    }
    record(SLOWEST_RESULTS, "python -m tests.run_backends --record", found)


def add(outcomes: list[Outcome]) -> Outcome:
    return Outcome(
        passed=sum(one.passed for one in outcomes),
        failed=sum(one.failed for one in outcomes),
        skipped=sum(one.skipped for one in outcomes),
    )


if __name__ == "__main__":
    sys.exit(main())

"""Break the package one line at a time; each breakage must fail the tests named for it.

    python tests/mutants/run.py [word ...]

Runs the entries of `mutants.toml` whose file, line or reason holds one of the words;
all of them without. First the named tests run on the package as it stands: only tests
that pass there can show anything. The exit status is 0 where every mutant was caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = Path(__file__).with_name("mutants.toml")
COPIED = ("keras_urnn", "tests", "examples", "benchmarks", "pyproject.toml")
PROCESSES = 2
TIME_LIMIT = 300  # seconds: a mutant that hangs is caught, too
PASSED, FAILED = 0, 1  # pytest's exit statuses; the others mean that it could not run


@dataclass(frozen=True)
class Mutant:
    """One entry of `mutants.toml`."""

    file: str
    original: str
    replacement: str
    tests: list[str]
    why: str
    backend: str = "torch"  # the quickest: it compiles nothing

    def apply(self, copy: Path) -> None:
        """Replace the original text, which must be there exactly once."""
        path = copy / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.original) != 1:
            found = text.count(self.original)
            raise SystemExit(f"{self.file}: found {found} times: {self.original}")
        path.write_text(text.replace(self.original, self.replacement), encoding="utf-8")


def main(words: list[str]) -> int:
    mutants = [one for one in load() if matches(one, words)]
    # One copy at the start, from which all others are made: the run takes minutes,
    # and the work on the package may go on meanwhile.
    with project_copy(ROOT) as project:
        check_originals(project, mutants)
        check_baseline(project, mutants)
        with ThreadPoolExecutor(PROCESSES) as pool:
            verdicts = list(pool.map(partial(try_mutant, project), mutants))
    print(f"{verdicts.count('caught')} of {len(mutants)} mutants caught")
    return int(verdicts.count("caught") < len(mutants))


def load() -> list[Mutant]:
    entries = tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**entry) for entry in entries]


def matches(mutant: Mutant, words: list[str]) -> bool:
    text = f"{mutant.file} {mutant.original} {mutant.why}"
    return not words or any(word in text for word in words)


def check_originals(project: Path, mutants: list[Mutant]) -> None:
    """Find stale entries before anything slow starts."""
    for mutant in mutants:
        with project_copy(project) as copy:
            mutant.apply(copy)


def check_baseline(project: Path, mutants: list[Mutant]) -> None:
    """Run the named tests on the package as it stands: they must pass."""
    for backend in sorted({mutant.backend for mutant in mutants}):
        tests = {t for one in mutants if one.backend == backend for t in one.tests}
        print(f"== {backend}: the tests on the package as it stands", flush=True)
        arguments = ["-n", str(PROCESSES), *sorted(tests)]
        status, output = run_tests(project, arguments, backend, 10 * TIME_LIMIT)
        if status != PASSED:
            raise SystemExit(f"{output}\nthe tests fail without a mutant")


def try_mutant(project: Path, mutant: Mutant) -> str:
    with project_copy(project) as copy:
        mutant.apply(copy)
        try:
            status, output = run_tests(copy, mutant.tests, mutant.backend, TIME_LIMIT)
        except subprocess.TimeoutExpired:
            status, output = FAILED, ""
    verdict = {FAILED: "caught", PASSED: "SURVIVED"}.get(status, "NOT RUN")
    details = "" if status in (PASSED, FAILED) else f"\n{output}"
    print(f"{verdict}: {mutant.file}: {mutant.why}{details}", flush=True)
    return verdict


@contextmanager
def project_copy(source: Path) -> Iterator[Path]:
    """Yield a throw-away copy of what the tests need."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            if (source / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source / name, copy / name, ignore=ignored)
            else:
                shutil.copy(source / name, copy / name)
        yield copy


def run_tests(
    copy: Path, arguments: list[str], backend: str, seconds: float
) -> tuple[int, str]:
    """Return pytest's exit status and its output."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(copy),  # before the installed package, in children too
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest, *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout[-2000:] + done.stderr[-2000:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

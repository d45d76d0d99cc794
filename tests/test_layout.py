"""Imports in the package go strictly downwards, and only where they are allowed."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_urnn"
RANKS = {
    "_checks": 0,
    "_serialization": 0,
    "_backend": 0,
    "_numbers": 1,
    "linalg": 1,
    "initializers": 2,
    "constraints": 2,
    "activations": 2,
    "diagnostics": 2,
    "constrained": 3,
    "optimizers": 4,
    "recurrence": 3,
    "parametrizations": 3,
    "layers": 4,
    "equivalence": 5,
    "theory": 6,
    "callbacks": 6,
    "__init__": 7,
}
ROOMS = {
    "matrices": 0,
    "progress_bar": 0,
    "ranges": 1,
    "input_bound": 2,
    "refusals": 2,
    "plans": 3,
    "models": 4,
    "verification": 5,
    "conversion": 5,
    "inactive": 5,
    "pruning": 6,
    "__init__": 7,
}
OF_THEORY = {"matrices", "ranges", "input_bound"}
BACKENDS = {"tensorflow", "jax", "jaxlib", "torch"}
FILES = sorted(PACKAGE.rglob("*.py"))
EQUIVALENCE = PACKAGE / "equivalence"
OF_ONE_BACKEND = ("tensorflow_", "torch_", "cudnn_")  # how their files are named
ON_EACH_BACKEND = [
    path
    for path in sorted((PACKAGE / "_backend").glob("*.py"))
    if not path.name.startswith(OF_ONE_BACKEND)
]
IN_ROOMS = [path for path in FILES if path.is_relative_to(EQUIVALENCE)]
FOLDERS_OF_USERS = [ROOT / "examples", ROOT / "benchmarks"]
USERS = [path for folder in FOLDERS_OF_USERS for path in sorted(folder.glob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every imported name in full: `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def names(path: Path) -> list[str]:
    return list(imported(ast.parse(path.read_text(encoding="utf-8"))))


def module(path: Path) -> str:
    """Return the top-level module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported(path: Path) -> Iterator[str]:
    """Yield the rooms of `equivalence/` that a file imports from."""
    prefix = "keras_urnn.equivalence."
    for name in names(path):
        if name.startswith(prefix):
            yield name.removeprefix(prefix).split(".")[0]


def files_imported(path: Path) -> Iterator[Path]:
    """Yield where the modules that a file imports from may be: some don't exist."""
    for name in names(path):
        parts = name.split(".")
        yield ROOT.joinpath(*parts[:-1]).with_suffix(".py")
        yield path.with_name(f"{parts[0]}.py")  # of scripts, in one folder


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_found() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    own = module(path)
    for name in names(path):
        package, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if package == "keras_urnn" and other != own:
            assert RANKS[other] < RANKS[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", IN_ROOMS, ids=name_of)
def test_imports_between_the_rooms_of_equivalence_go_downwards(path: Path) -> None:
    own = path.relative_to(EQUIVALENCE).with_suffix("").parts[0]
    for other in rooms_imported(path):
        assert other == own or ROOMS[other] < ROOMS[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", [*IN_ROOMS, *USERS], ids=name_of)
def test_files_of_a_room_or_folder_do_not_import_each_other_in_circles(
    path: Path,
) -> None:
    reached, waiting = set(), [path]
    while waiting:
        for file in files_imported(waiting.pop()):
            if file in (*IN_ROOMS, *USERS) and file not in reached:
                reached.add(file)
                waiting.append(file)
    assert path not in reached


def test_matrices_know_no_keras() -> None:
    for path in (EQUIVALENCE / "matrices").glob("*.py"):
        assert not [name for name in names(path) if name.split(".")[0] == "keras"]


@pytest.mark.parametrize("path", sorted((PACKAGE / "theory").glob("*.py")), ids=name_of)
def test_theory_stands_on_matrices_ranges_and_bounds_alone(path: Path) -> None:
    assert set(rooms_imported(path)) <= OF_THEORY


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_public_keras(path: Path) -> None:
    assert not [name for name in names(path) if name.startswith("keras.src")]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_backends_only_in_backend(path: Path) -> None:
    backends = [name for name in names(path) if name.split(".")[0] in BACKENDS]
    assert module(path) == "_backend" or not backends


@pytest.mark.parametrize("path", ON_EACH_BACKEND, ids=name_of)
def test_backend_imports_lazily(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_import = ast.Module(
        [node for node in tree.body if not isinstance(node, ast.FunctionDef)], []
    )
    parts = {part for name in imported(at_import) for part in name.split(".")}
    assert not BACKENDS & parts
    assert not {part for part in parts if part.startswith(OF_ONE_BACKEND)}


@pytest.mark.parametrize("path", USERS, ids=name_of)
def test_users_import_the_package_only(path: Path) -> None:
    ours = {name for name in names(path) if name.split(".")[0] == "keras_urnn"}
    assert ours <= {"keras_urnn"}

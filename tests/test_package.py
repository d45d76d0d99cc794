"""The distribution: what the wheel holds, what an import pulls in, one version."""

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

import keras_urnn as ku

ROOT = Path(__file__).resolve().parent.parent
TRAIN = """
import sys
import keras
import numpy as np
import keras_urnn as ku

x = np.ones((4, 5, 2), "float32")
model = keras.Sequential([ku.ContractiveRNN(3), keras.layers.Dense(3)])
model.compile("adam", "mse")
model.fit(x, np.ones((4, 3)), verbose=0, callbacks=[ku.callbacks.UnitarityMonitor()])
model.predict(x, verbose=0)
"""
CONVERT_AND_SAVE = """
converted = ku.to_unitary(model, input_bound=1.0)
assert ku.verify_equivalence(model, converted, input_bound=1.0).equivalent
converted.save("converted.keras")
again = keras.models.load_model("converted.keras")
assert np.array_equal(again.predict(x, verbose=0), converted.predict(x, verbose=0))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*build, str(folder), str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    metadata = f"keras_urnn-{ku.__version__}.dist-info"
    assert {name.split("/")[0] for name in files} == {"keras_urnn", metadata}
    sources = {
        str(path.relative_to(ROOT)) for path in (ROOT / "keras_urnn").rglob("*.py")
    }
    packaged = {name for name in files if name.startswith("keras_urnn/")}
    assert packaged == sources | {"keras_urnn/py.typed"}


def test_citation_and_changelog_name_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {ku.__version__}\n" in citation
    assert f"\n## [{ku.__version__}] - " in changelog


def test_tested_versions_are_allowed_by_the_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for requirement in project["project"]["dependencies"]:
        name, bound = requirement.split(">=")
        assert _numbers(pins[name]) >= _numbers(bound)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_import_changes_no_setting_and_imports_the_active_backend_only(
    run_python: Callable[..., str],
) -> None:
    state = "print(keras.config.floatx(), keras.config.dtype_policy().name)\n"
    late = "keras_urnn.equivalence", "keras_urnn.theory"
    printed = run_python(
        f"import sys, keras\n{state}import keras_urnn as ku\n{state}"
        f"print([name for name in sys.modules if name.startswith({late})])\n{TRAIN}\n"
        "print('tensorflow' in sys.modules)\n"
        f"print(ku.theory and ku.to_unitary and set({late}) <= sys.modules.keys())"
    )
    before, after, early, imported, found = printed.splitlines()
    assert before == after
    # Two thirds of the package, and of the time that `import keras_urnn` would take.
    assert (early, found) == ("[]", "True")
    # Up to here: where TensorFlow is installed, Keras 3.15.1 imports it under every
    # backend as soon as it serializes an activation (`get_config`, saving, cloning).
    assert imported == str(keras.config.backend() == "tensorflow")


@pytest.mark.once
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_nothing_needs_tensorflow(backend: str, run_python: Callable[..., str]) -> None:
    not_installed = "import sys; sys.modules['tensorflow'] = None\n"
    run_python(not_installed + TRAIN + CONVERT_AND_SAVE, KERAS_BACKEND=backend)


def test_all_lists_the_public_names() -> None:
    assert sorted(ku.__all__) == sorted(set(ku.__all__))
    assert all(hasattr(ku, name) for name in ku.__all__)


def test_names_that_are_imported_late_are_listed_and_no_others() -> None:
    assert set(ku.__all__) <= set(dir(ku))
    with pytest.raises(AttributeError, match="'keras_urnn' has no attribute 'nothing'"):
        _ = ku.nothing

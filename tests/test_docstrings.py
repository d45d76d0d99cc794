"""Public docstrings: every argument, its true default, an example that runs."""

import ast
import inspect
import re
import textwrap
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku

MODULES = (
    ku.activations,
    ku.constraints,
    ku.parametrizations,
    ku.diagnostics,
    ku.initializers,
    ku.optimizers,
    ku.callbacks,
    ku.theory,
)
SECTIONS = r"Args|Call arguments|Returns|Raises|Example|Reference|Attributes|Yields"
DEFAULT = re.compile(r"Defaults?\s+to\s+`([^`]*)`")
SHAPE = re.compile(r"# shape (\([^)]*\))")


def public_objects() -> dict[str, Any]:
    """Return every public class and function under the name users write."""
    found = {f"ku.{name}": getattr(ku, name) for name in ku.__all__}
    for module in MODULES:
        for name, value in vars(module).items():
            ours = getattr(value, "__module__", "").startswith("keras_urnn")
            if ours and not name.startswith("_"):
                found[f"{module.__name__}.{name}"] = value
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }


PUBLIC = public_objects()
every_public = pytest.mark.parametrize("name", sorted(PUBLIC))


def arguments(value: Any) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a function, or of a class' `__init__`."""
    function = value.__init__ if inspect.isclass(value) else value
    parameters = inspect.signature(function).parameters
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in kinds
    }


def section(value: Any, title: str) -> str:
    """Return the body of one section of the docstring, dedented."""
    text = inspect.getdoc(value) or ""
    pattern = rf"^{title}:\n(.*?)(?=^(?:{SECTIONS}):$|\Z)"
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(match[1]) if match else ""


def documented(value: Any) -> dict[str, str]:
    """Return the text on each argument. One entry may name several: `a, b: ...`."""
    title = "Attributes" if hasattr(value, "__dataclass_fields__") else "Args"
    entries = re.split(r"^(?=\S)", section(value, title), flags=re.MULTILINE)
    texts = {}
    for entry in filter(None, entries):
        names, _, text = entry.partition(":")
        texts.update(dict.fromkeys(re.split(r",\s*", names), text))
    return texts


@every_public
def test_has_a_docstring_of_its_own(name: str) -> None:
    first, *_ = (PUBLIC[name].__doc__ or "").splitlines() or [""]
    assert first.endswith(".")


@every_public
def test_every_argument_is_documented(name: str) -> None:
    missing = arguments(PUBLIC[name]).keys() - documented(PUBLIC[name]).keys()
    assert not missing


@every_public
def test_documented_defaults_are_the_defaults(name: str) -> None:
    texts = documented(PUBLIC[name])
    for argument, parameter in arguments(PUBLIC[name]).items():
        stated = DEFAULT.search(texts[argument])
        if parameter.default is inspect.Parameter.empty:
            assert stated is None, f"{argument} has no default"
        else:
            assert stated is not None, f"{argument}: no default stated"
            assert ast.literal_eval(stated[1]) == parameter.default, argument


WITH_EXAMPLE = [name for name, value in PUBLIC.items() if section(value, "Example")]


def test_every_public_class_has_an_example() -> None:
    # Nobody makes an abstract class or a report: their factories have the example.
    made_by_users = {
        name
        for name, value in PUBLIC.items()
        if inspect.isclass(value)
        and not inspect.isabstract(value)
        and value is not ku.EquivalenceReport
    }
    assert made_by_users <= set(WITH_EXAMPLE)


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(WITH_EXAMPLE))
def test_example_runs_and_has_the_stated_shapes(name: str) -> None:
    code = re.search(
        r"```python\n(.*?)```", section(PUBLIC[name], "Example"), re.DOTALL
    )
    assert code is not None, "the example is a python block"
    source, scope = textwrap.dedent(code[1]), names_at_hand()
    for statement in ast.parse(source).body:
        result = run(statement, scope)
        stated = SHAPE.search(source.splitlines()[statement.end_lineno - 1])
        if stated is not None:
            assert tuple(result.shape) == ast.literal_eval(stated[1])


def names_at_hand() -> dict[str, Any]:
    """Return what an example may use without saying so: a model, its data, modules."""
    model = keras.Sequential([ku.UnitaryRNN(8), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    modules = {"keras": keras, "np": np, "keras_urnn": ku, "ku": ku}
    return {"model": model, "x": np.ones((4, 5, 3)), "y": np.ones((4, 1)), **modules}


def run(statement: ast.stmt, scope: dict[str, Any]) -> Any:
    """Run one statement; return the value it computes or assigns."""
    if isinstance(statement, ast.Expr):
        return eval(compile(ast.Expression(statement.value), "example", "eval"), scope)
    exec(compile(ast.Module([statement], []), "example", "exec"), scope)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    return scope[target.id] if isinstance(target, ast.Name) else None

"""The arguments of an `__init__`: which it takes, and what it was given."""

import inspect
from typing import Any


def argument_names(kind: type[Any]) -> list[str]:
    """The arguments that the `__init__` of a class names, in order."""
    parameters = inspect.signature(kind).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.kind not in kinds]


def given(scope: dict[str, Any]) -> dict[str, Any]:
    """All arguments of an `__init__` by name, those in its `**kwargs` among them.

    `scope` is its `locals()` before it has made a variable of its own: `self`, the
    arguments, and `__class__` where it calls `super()`.
    """
    others = ("self", "__class__", "kwargs")
    named = {name: value for name, value in scope.items() if name not in others}
    return {**named, **scope["kwargs"]}

"""The docstrings that are complete only once the package is imported, for the site."""

import inspect
from typing import Any

import griffe


class CompleteDocstrings(griffe.Extension):
    """Takes what `described` of `keras_urnn/layers/arguments.py` has completed.

    mkdocstrings reads the source without running it, and would show the line that
    stands there in the place of the arguments.
    """

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        decorators = [str(decorator.value) for decorator in cls.decorators]
        if cls.docstring and any(one.startswith("described(") for one in decorators):
            complete = inspect.getdoc(griffe.dynamic_import(cls.path))
            assert complete is not None
            cls.docstring.value = complete

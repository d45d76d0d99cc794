"""Whether two layers are copies of each other: the same code on the same numbers.

Only then are their outputs equal for all inputs. Equal weights are not enough: an
activation, a setting, or a method that a subclass overrides may differ.
"""

import warnings
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import keras
import numpy as np

# Names, and attributes that only training reads.
_IN_TRAINING = ("initializer", "regularizer", "constraint")
_ASIDE = {"name", "trainable", "seed", "rate"}
# The states of a stateful layer, and tables that are compared by their vocabulary.
_KEPT_ASIDE = {"states", "lookup_table", "token_counts", "input_vocabulary"}
_PLAIN = (int, float, complex, str, bytes, slice, range, set, np.generic)


def difference(one: Any, other: Any) -> str | None:
    """The first thing in which two layers, or operations, may not be the same.

    Args:
        one: built layer or operation.
        other: the one to compare with it.

    Returns:
        What differs, in words; `None` where both are the same code on the same
        numbers.
    """
    return _difference(one, other, set())


def same(one: Any, other: Any) -> bool:
    """Whether two values, functions or layers are known to be the same."""
    return _same(one, other, True, set())


def attributes(layer: Any) -> dict[str, Any]:
    """The attributes of a layer or operation that not every layer has."""
    # PyTorch's modules keep their parts apart from their other attributes.
    parts = ("_modules", "_parameters", "_buffers")
    found = dict(vars(layer))
    for part in parts:
        found |= found.pop(part, {})
    common = {*vars(keras.Layer(name="common")), *parts, "_torch_params"}
    return {
        key: value
        for key, value in found.items()
        if key not in common and not key.startswith("_self_")
    }


def is_known(kind: type[Any]) -> bool:
    """Whether a class is Keras' or ours: its config says what it computes."""
    return kind.__module__.split(".")[0] in ("keras", "keras_urnn")


def policy_of(layer: Any) -> tuple[Any, ...]:
    """The dtypes that a layer stores and computes in, and whether it casts inputs."""
    policy = layer.dtype_policy
    return policy.name, layer.compute_dtype, layer.variable_dtype, layer.autocast


def _difference(one: Any, other: Any, seen: set[tuple[int, int]]) -> str | None:
    if one is other or (id(one), id(other)) in seen:
        return None
    seen.add((id(one), id(other)))
    if type(one) is not type(other):
        return f"it is a {type(other).__name__}, not a {type(one).__name__}"
    if isinstance(one, keras.Layer):
        found = _of_two_layers(one, other, seen)
        if found:
            return found
    known = is_known(type(one)) and isinstance(one, keras.Layer)
    mine, others = (_compared(attributes(layer), known) for layer in (one, other))
    for name in sorted({*mine, *others}):
        # Keras sets some attributes late: one says that weights were loaded.
        ones, its = mine.get(name, False), others.get(name, False)
        if not _same(ones, its, not known, seen):
            return f"its `{name}` is not shown to be the original's"
    return None


def _of_two_layers(one: Any, other: Any, seen: set[tuple[int, int]]) -> str | None:
    if policy_of(one) != policy_of(other):
        return "its dtype policy is not the original's"
    if one.supports_masking != other.supports_masking:
        return "it treats masks otherwise"
    if not _same_arrays(one.weights, other.weights):
        return "its weights are not the original's"
    if not is_known(type(one)):
        return None  # all of its attributes are compared instead
    settings = [_settings(layer) for layer in (one, other)]
    for name in sorted(settings[0]):
        if not _same(settings[0][name], settings[1].get(name), False, seen):
            return f"its `{name}` is not the original's"
    if hasattr(one, "get_vocabulary"):
        words = [list(map(str, layer.get_vocabulary())) for layer in (one, other)]
        return None if words[0] == words[1] else "its vocabulary is another"
    return None


def _compared(found: Mapping[str, Any], known: bool) -> dict[str, Any]:
    """The attributes to compare: all of them where the class isn't known."""
    if not known:
        return dict(found)
    return {
        key: value
        for key, value in found.items()
        if not key.startswith("_") and key not in _KEPT_ASIDE and not _is_aside(key)
    }


def _is_aside(key: str) -> bool:
    return key in _ASIDE or key.endswith(_IN_TRAINING) or "dropout" in key


def _settings(layer: Any) -> Any:
    """The config of a layer; functions in it are compared as attributes, too."""
    with warnings.catch_warnings():
        # Keras advises against saving a lambda, and nothing is saved.
        warnings.simplefilter("ignore")
        return _stripped(layer.get_config())


def _stripped(config: Any) -> Any:
    """A config without names, and without what only training reads."""
    if isinstance(config, Mapping):
        kept = {key: value for key, value in config.items() if not _is_aside(str(key))}
        return {key: _stripped(value) for key, value in kept.items()}
    if isinstance(config, list | tuple):
        return [_stripped(value) for value in config]
    return config


def _same(one: Any, other: Any, strict: bool, seen: set[tuple[int, int]]) -> bool:
    """Compare two values; those of an unknown kind differ, unless Keras made both."""
    if one is other:
        return True
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return _same_functions(one, other, seen)
    both_listed = all(isinstance(value, list | tuple) for value in (one, other))
    if type(one) is not type(other) and (strict or not both_listed):
        return False
    if isinstance(one, keras.Operation):
        return _difference(one, other, seen) is None
    if isinstance(one, Mapping):
        return set(one) == set(other) and all(
            _same(one[key], other[key], strict, seen) for key in one
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(
            _same(a, b, strict, seen) for a, b in zip(one, other, strict=True)
        )
    if _is_array(one):
        return _same_arrays([one], [other])
    if isinstance(one, _PLAIN):
        return bool(one == other)
    return not strict and is_known(type(one))


def _same_functions(
    one: FunctionType, other: FunctionType, seen: set[tuple[int, int]]
) -> bool:
    """Whether two functions are the same code on the same values from outside it."""
    cells = [[cell.cell_contents for cell in f.__closure__ or ()] for f in (one, other)]
    return (
        one.__code__ == other.__code__
        and one.__globals__ is other.__globals__
        and _same(one.__defaults__, other.__defaults__, True, seen)
        and _same(one.__kwdefaults__, other.__kwdefaults__, True, seen)
        and _same(cells[0], cells[1], True, seen)
    )


def _is_array(value: Any) -> bool:
    tensor = isinstance(value, keras.Variable) or keras.ops.is_tensor(value)
    return isinstance(value, np.ndarray) or bool(tensor)


def _same_arrays(ones: Any, others: Any) -> bool:
    arrays = [[_as_array(x) for x in found] for found in (ones, others)]
    return len(arrays[0]) == len(arrays[1]) and all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in zip(*arrays, strict=True)
    )


def _as_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(keras.ops.convert_to_numpy(value))

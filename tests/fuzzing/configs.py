"""Configs as they are never written: with entries lost, added, or of another kind."""

from typing import Any

from tests.fuzzing.draws import Draw
from tests.fuzzing.nonsense import any_value


def spoilt_config(draw: Draw, config: dict[str, Any]) -> Any:
    """Spoil a config at none to three places, at any depth; now and then all of it."""
    if draw.chance(0.03):
        return any_value(draw)
    config = _copy(config)
    for _ in range(draw.weighted([0, 1, 2, 3], [1, 4, 1, 1])):
        _spoil(draw, config)
    return config


def _spoil(draw: Draw, config: dict[str, Any]) -> None:
    place = draw.pick(list(_dicts(config)))
    keys = list(place)
    kind = draw.below(6)
    if kind == 0 and keys:
        del place[draw.pick(keys)]
    elif kind == 1 or not keys:
        place[draw.pick(["extra", "units", "name", "config"])] = any_value(draw)
    elif kind == 2:
        place[draw.pick(keys)] = _copy(place[draw.pick(keys)])
    else:
        place[draw.pick(keys)] = any_value(draw)


def _dicts(value: Any, depth: int = 0) -> Any:
    """All dicts inside, the outermost first."""
    inside: list[Any] = []
    if isinstance(value, dict):
        yield value
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    # What was put in may hold itself.
    for one in inside if depth < 8 else []:
        yield from _dicts(one, depth + 1)


def _copy(value: Any, depth: int = 0) -> Any:
    """Copy the dicts and lists inside; what they hold can't always be copied."""
    if isinstance(value, dict) and depth < 8:
        return {key: _copy(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list) and depth < 8:
        return [_copy(one, depth + 1) for one in value]
    return value

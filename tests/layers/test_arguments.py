"""The arguments: the four signatures agree, and the docstrings say what they mean."""

import inspect
from typing import Any

import pytest

import keras_urnn as ku
from keras_urnn.layers import arguments, signatures
from tests.helpers import CELLS, LAYERS

pytestmark = pytest.mark.once  # signatures and docstrings know no backend

OF_THE_LOOP = {
    "activity_regularizer",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "checkpoint_every",
}
KINDS = (ku.UnitaryRNNCell, ku.UnitaryRNN, ku.ContractiveRNNCell, ku.ContractiveRNN)
TEXTS = (
    arguments.EVERY,
    arguments.UNITARY,
    arguments.CONTRACTIVE,
    arguments.OF_CELLS,
    arguments.OF_LAYERS,
)


def without(kind: Any, names: set[str]) -> list[inspect.Parameter]:
    """Return all arguments but these: each with kind, default and annotation."""
    parameters = inspect.signature(kind).parameters
    assert names <= parameters.keys()
    return [one for name, one in parameters.items() if name not in names]


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_takes_what_its_cell_takes_and_what_is_of_the_loop(name: str) -> None:
    assert without(LAYERS[name], OF_THE_LOOP) == without(CELLS[name], set())


@pytest.mark.parametrize("table", [CELLS, LAYERS], ids=["cells", "layers"])
def test_a_contractive_one_takes_what_a_unitary_one_takes_and_a_norm(
    table: dict[str, Any],
) -> None:
    unitary, contractive = table["unitary"], table["contractive"]
    assert without(contractive, {"max_norm"}) == without(unitary, set())


def test_each_line_on_an_argument_is_in_a_docstring() -> None:
    docstrings = "\n".join(str(kind.__doc__) for kind in KINDS)
    lines = [line for text in TEXTS for line in text.strip().splitlines()]
    assert len(lines) > 29
    assert [line for line in lines if line not in docstrings] == []
    assert arguments.PLACE not in docstrings


@pytest.mark.parametrize("kind", KINDS)
def test_each_argument_has_an_entry_and_the_rest_of_it_is_indented(
    kind: type[Any],
) -> None:
    section = str(kind.__doc__).split("Args:\n")[1].split("\n\n")[0]
    parameters = inspect.signature(kind).parameters.values()
    names = [str(one).partition(":")[0] for one in parameters]
    entries = [line for line in section.splitlines() if line[:5].rstrip() > " " * 4]
    assert [entry.strip().partition(":")[0] for entry in entries] == names
    rest = [line for line in section.splitlines() if line not in entries]
    assert all(line.startswith(" " * 8) and line[8] != " " for line in rest)


@pytest.mark.parametrize("kind", KINDS)
def test_docstrings_are_no_wider_than_the_code(kind: type[Any]) -> None:
    assert max(map(len, str(kind.__doc__).splitlines())) <= 84  # 88 when indented


def test_nothing_is_described_without_docstrings() -> None:
    class Kind:
        def __init__(self, units: int) -> None: ...

    assert arguments.described(arguments.EVERY)(Kind).__doc__ is None


def test_what_was_given_is_each_argument_by_name() -> None:
    class Base:
        def __init__(self, **found: Any) -> None:
            self.found = found

    class Kind(Base):
        def __init__(self, a: int, *, b: int = 2, **kwargs: Any) -> None:
            super().__init__(**signatures.given(locals()))

    assert Kind(1, c=3).found == {"a": 1, "b": 2, "c": 3}
    assert signatures.argument_names(Kind) == ["a", "b"]

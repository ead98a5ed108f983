"""The house is in order: what keeps the code easy to enter, and can be checked."""

import ast
from collections import Counter

import pytest

from tests.support import ROOT

MODULES = [path for room in ("models", "pipeline", "jobs") for path in sorted((ROOT / room).rglob("*.py"))]
ROOMS = sorted({path.parent for path in MODULES} - {ROOT / "models" / "zoo"})
MAX_LINES = 450


def trees():
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in MODULES]


def test_no_two_public_classes_have_one_name():
    names = Counter(
        node.name for _, tree in trees() for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_each_room_says_what_lives_in_it(room):
    assert len(ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "") > 40


def test_modules_stay_readable():
    assert [path for path, _ in trees() if len((ROOT / path).read_text().splitlines()) > MAX_LINES] == []


def test_each_module_says_what_it_is_about():
    assert [path for path, tree in trees() if ast.get_docstring(tree) is None and (ROOT / path).read_text().strip()] == []

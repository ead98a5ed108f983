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


CROSS_CUTTING = {"browser", "faults", "scale", "support"}


def test_tests_mirror_the_tree():
    rooms = {path.relative_to(ROOT).as_posix() for path in ROOMS} | {"models", "pipeline"}
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")} - {"."}
    assert sorted(folder for folder in folders if folder.split("/")[0] not in CROSS_CUTTING and folder not in rooms) == []


def test_no_test_imports_another_one_or_a_private_name():
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                private = [one.name for one in node.names if one.name.startswith("_") and not one.name.startswith("__")]
                ours = node.module.split(".")[0] in ("models", "pipeline", "jobs", "tests")
                if ours and (private or node.module.split(".")[-1].startswith("test_")):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.module} {', '.join(private)}")
    assert found == []


SAID_ELSEWHERE = {"override", "overload", "property", "cached_property", "setter"}


def decorators(node):
    bare = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
    return {getattr(one, "id", getattr(one, "attr", "")) for one in bare}


def public_functions(tree):
    """Functions and methods without an underscore in their path, and what else is said of them; a base says it of overrides."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            for one in methods:
                if one.name == "__init__":
                    yield f"{node.name}.__init__", one, ast.get_docstring(node) or ""
                elif not one.name.startswith("_") and decorators(one).isdisjoint(SAID_ELSEWHERE):
                    yield f"{node.name}.{one.name}", one, ""


def undocumented(node, also=""):
    """What of a function its docstring does not say."""
    text = f"{ast.get_docstring(node) or ''}\n{also}"
    args = node.args
    names = [one.arg for one in (*args.posonlyargs, *args.args, *args.kwonlyargs) if one.arg not in ("self", "cls")]
    names += [f"*{args.vararg.arg}"] if args.vararg else []
    names += [f"**{args.kwarg.arg}"] if args.kwarg else []
    described = text.partition("Args:\n")[2]
    found = [name for name in names if not name.strip("*").startswith("_") and f"    {name}: " not in described]
    gives = ast.unparse(node.returns) if node.returns and node.name != "__init__" else "None"
    said = ("Returns:\n" in text, "Yields:\n" in text, text.startswith(("Return ", "Yield ", "Whether ")))
    return found if gives in ("None", "Never", "NoReturn") or any(said) else [*found, "Returns"]


def test_public_functions_say_arguments_and_results():
    """But for commands, whose arguments are described by their options."""
    found = []
    for path, tree in trees():
        if not path.startswith("jobs/"):
            for name, node, also in public_functions(tree):
                if lacks := undocumented(node, also):
                    found.append(f"{path}:{node.lineno} {name}: {', '.join(lacks)}")
    assert found == []


def test_what_is_undocumented_is_seen():
    text = '"""Count.\n\n    Args:\n        a: One.\n        **d: More.\n    """'
    assert undocumented(ast.parse(f"def f(a, *b, c=1, **d) -> int:\n    {text}").body[0]) == ["c", "*b", "Returns"]

"""No module of the package needs itself, by whatever way it is imported.

import-linter (``pyproject.toml``) holds who may import whom. It says nothing of two modules of one room that import
each other, which Python bears as long as one of them waits until it is called.
"""

from __future__ import annotations

import ast
import itertools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from stackctl.cli.app import VERBS

PACKAGE = Path(__file__).parents[2] / "stackctl"


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(text: str, known: set[str]) -> set[str]:
    """Which of the known modules a source imports anywhere, in a function or for its types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from the package's name"
            assert node.module
            # `from package import name` means a module of that name where there is one, else what the package holds.
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in known else node.module)
    return found & known


def graph() -> dict[str, set[str]]:
    found = modules()
    needs = {name: imports(path.read_text(), set(found)) - {name} for name, path in found.items()}
    needs["stackctl.cli.app"] |= {f"stackctl.cli.{module}" for module, _, _ in VERBS.values()}  # by their names
    return needs


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        # graphlib lists a module before those that need it.
        pytest.fail("imports go round in a circle: " + " → ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import stackctl.errors", {"stackctl.errors"}),
        ("from stackctl import errors, __version__", {"stackctl", "stackctl.errors"}),
        ("def late():\n    from stackctl.errors import UsageError", {"stackctl.errors"}),
        ("if TYPE_CHECKING:\n    from stackctl.errors import UsageError", {"stackctl.errors"}),
        ("import yaml\nfrom pathlib import Path", set()),
    ],
)
def test_imports_are_found_wherever_they_stand(text: str, found: set[str]) -> None:
    assert imports(text, {"stackctl", "stackctl.errors"}) == found


def test_a_circle_is_told_in_the_order_of_its_imports() -> None:
    with pytest.raises(CycleError) as caught:
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()
    circle = list(reversed(caught.value.args[1]))
    assert all(b in {"a": "b", "b": "c", "c": "a"}[a] for a, b in itertools.pairwise(circle))

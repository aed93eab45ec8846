"""``${NAME}`` and ``${NAME:-default}`` in the plain settings of ``stackctl.yaml``.

Secrets are not interpolated here: their places (``auth``, ``headers``) keep the
reference, see :mod:`stackctl.config.secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stackctl.config.tree import Path, Tree
from stackctl.errors import Problem

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<op>:?[-?])(?P<default>(?:[^{}]|\{[^{}]*\})*))?\}"
    r"|\{(?P<file>(?:file|cmd):[^}]*)\}|(?P<bad>\{[^}]*\}?))"
)


def is_secret_place(path: Path) -> bool:
    """Whether the value at ``path`` is one that keeps its references."""
    return len(path) >= 3 and path[0] == "instances" and path[2] in ("auth", "headers")


def is_template(path: Path) -> bool:
    """Whether the value at ``path`` is a template of a consumer."""
    return len(path) >= 4 and path[0] == "consumers" and path[2] in ("env", "command", "entrypoint")


def names_in(text: str) -> set[str]:
    """The variables that ``text`` refers to."""
    return {match["name"] for match in _VARIABLE.finditer(text) if match["name"]}


def interpolate(tree: Tree, environment: Mapping[str, str], file: str) -> None:
    """Replace references in ``tree.data`` in place; what cannot be replaced becomes a problem of the tree."""
    tree.data = _walk(tree.data, (), tree, environment, file)


def _walk(value: Any, path: Path, tree: Tree, environment: Mapping[str, str], file: str) -> Any:
    if isinstance(value, dict):
        return {k: _walk(v, (*path, k), tree, environment, file) for k, v in value.items()}
    if isinstance(value, list):
        return [_walk(v, (*path, i), tree, environment, file) for i, v in enumerate(value)]
    if not isinstance(value, str) or "$" not in value or is_secret_place(path):
        return value

    if is_template(path) and names_in(value):
        # The value may be a secret, and the override is a file: the reference itself is written there.
        tree.references[path] = value

    return _VARIABLE.sub(lambda match: _replacement(match, path, tree, environment, file), value)


def _replacement(match: re.Match[str], path: Path, tree: Tree, environment: Mapping[str, str], file: str) -> str:
    """The value of one reference; where it has none, empty, with a problem added to the tree."""
    if match["escaped"]:
        return "$"

    def problem(message: str, hint: str = "") -> str:
        tree.problems.append(Problem(file, *tree.position(path), message, hint))
        return ""

    if match["file"]:
        return problem(f"${{{match['file']}}} is for secrets (auth, headers) only")
    if match["bad"]:
        return problem(
            f'"${match["bad"]}" is no reference', "write ${NAME} or ${NAME:-default}, and $$ for a dollar sign"
        )
    name, op, default = match["name"], match["op"] or "", match["default"] or ""
    found = environment.get(name)
    if found or (found is not None and not op.startswith(":")):
        return found
    if op.endswith("-"):
        return default
    if op.endswith("?") or found is None:
        reason = default or f"${{{name}}} is not set in the environment nor in an env_files entry"
        return problem(reason, f"export {name}=…, or write ${{{name}:-default}}")
    return ""

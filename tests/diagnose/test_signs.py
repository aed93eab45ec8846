"""Every sign is noted by somebody and read by somebody, and no text of a cause names a word that may be missing.

Part of ``make check``: it needs no engine and no observation, only the source.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import stackctl
from stackctl.diagnose.causes import table
from stackctl.diagnose.causes.model import Cause, either
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.words import ALWAYS, DERIVED, Words

PACKAGE = Path(stackctl.__file__).parent
SOURCES = [
    path
    for path in (*PACKAGE.glob("diagnose/**/*.py"), *PACKAGE.glob("commands/diagnosing/*.py"))
    if "vantage" not in path.parts and path.name != "sign.py"
]
ROWS = table()


class Use:
    """One mention of a sign: what it stands in, from the innermost expression out."""

    def __init__(self, path: Path, sign: Sign, around: tuple[ast.AST, ...]) -> None:
        self.where = f"{path.relative_to(PACKAGE)}:{around[0].lineno}"  # type: ignore[attr-defined]
        self.sign = sign
        self.around = around

    @property
    def is_read(self) -> bool:
        """Whether it is asked for: compared, or taken out of the marks."""
        return any(
            isinstance(n, ast.Compare)
            or (isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitAnd | ast.Sub))
            or (isinstance(n, ast.Call) and ast.unparse(n.func) == "board.seen.get")
            for n in self.around
        )

    @property
    def note(self) -> ast.Call | None:
        """The call of ``board.note`` whose first argument it is (or one branch of it)."""
        for call, inner in zip(self.around[1:], self.around, strict=False):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "note":
                return call if call.args[0] is inner else None
        return None


def _uses() -> Iterator[Use]:
    for path in SOURCES:
        if "causes" in path.parts:
            continue  # what these read is in the table itself
        stack: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(ast.parse(path.read_text()), ())]
        while stack:
            node, around = stack.pop()
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Sign":
                yield Use(path, Sign[node.attr], (node, *around))
            stack += [(child, (node, *around)) for child in ast.iter_child_nodes(node)]


USES = list(_uses())


def test_every_sign_is_noted() -> None:
    assert set(Sign) - {use.sign for use in USES if not use.is_read} == set()


def test_every_sign_is_read() -> None:
    of_causes = {s for row in ROWS for s in (*(s for n in row.needs for s in either(n)), *row.without, *row.evidence)}
    assert set(Sign) - of_causes - {use.sign for use in USES if use.is_read} == set()


def test_a_sign_is_noted_with_its_words() -> None:
    """With exactly these, wherever it is noted; one that is noted by way of a variable or a table has none."""
    wrong = []
    for use in USES:
        if use.is_read:
            continue
        given = {keyword.arg for keyword in use.note.keywords} if use.note else set()
        if given != set(use.sign.words):
            wrong.append(f"{use.where} {use.sign}: {sorted(map(str, given))}, declared {sorted(use.sign.words)}")
    assert wrong == []


def test_notes_by_way_of_a_variable_give_no_words() -> None:
    calls = [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note"
    ]
    direct = {id(use.note) for use in USES if use.note}
    positions = {(use.note.lineno, use.note.col_offset) for use in USES if use.note}
    assert direct
    assert [c.lineno for c in calls if c.keywords and (c.lineno, c.col_offset) not in positions] == []


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.id}:{n}" for n, row in enumerate(ROWS)])
def test_every_word_of_a_text_is_there(row: Cause) -> None:
    """Always, or with a sign that must hold; of several that may, with each."""
    there = set(ALWAYS[row.scope])
    for need in row.needs:
        there |= set.intersection(*(set(sign.words) for sign in either(need)))
    there |= {word for word, base in DERIVED.items() if base in there}
    assert fields_of(row) - there == set()


def fields_of(row: Cause) -> set[str]:
    """The words that the texts of a cause name."""
    texts = (row.summary, row.remedy, row.decide, *row.commands)
    return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_word_is_read() -> None:
    """By a text of a cause, or by the code that makes remedies and repairs."""
    known = set(Words.__annotations__)
    read = {field for row in ROWS for field in fields_of(row)} | set(DERIVED.values())
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            read |= set(_words_read(node))
    assert read - known == set()
    assert known - read == set()


def _words_read(node: ast.AST) -> Iterator[str]:
    """``words["x"]``, ``words.get("x")``, ``ground.word("x")``, and the tables that name one."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _named(node.value) == "words":
        key: ast.AST = node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        asked = node.func.attr in ("word", "tell") or (node.func.attr == "get" and _named(node.func.value) == "words")
        key = node.args[0] if asked else node
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_tells":
        key = node.args[0]
    else:
        return
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        yield key.value


def _named(node: ast.AST) -> str:
    """The last part of ``board.words``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""

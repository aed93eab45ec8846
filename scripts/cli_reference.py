#!/usr/bin/env python3
"""Write docs/cli.md, the reference of the command line, from the commands themselves. Run it with .venv/bin/python.

scripts/cli_reference.py           write it anew
scripts/cli_reference.py --check   say whether it is as the commands are, and end with 1 where it is not
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from stackctl.cli.app import OPTIONS, SECTIONS, VERBS, app
from stackctl.errors import StackctlError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """\
# The command line
Made by `scripts/cli_reference.py` from the commands themselves; `make check` fails where it is out of date. What users
and scripts may rely on beside it, files and JSON, is in [reference.md](reference.md).

`stackctl [OPTIONS] VERB [ARGS]`
"""


def page() -> str:
    """The whole text."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("stackctl", [], resilient_parsing=True)
    return "\n".join([HEAD, *_global_options(), *_exit_codes(), *_verbs(root, context)]) + "\n"


def _global_options() -> Iterator[str]:
    yield "## Options of every verb"
    yield "They work before and after the verb.\n"
    yield from _table("option", ((f"`{name}`", text) for name, text in OPTIONS))


def _exit_codes() -> Iterator[str]:
    codes = {kind.code: _first_line(kind) for kind in StackctlError.__subclasses__()}
    codes |= {0: "Done, or nothing to do.", 3: "A bug; a report to paste is written."}
    yield "## Exit codes"
    yield from _table("code", ((str(code), text) for code, text in sorted(codes.items())))


def _verbs(root: Any, context: Any) -> Iterator[str]:
    for section in SECTIONS:
        yield f"## {section}"
        for name in (name for name, (_, place, _) in VERBS.items() if place == section):
            yield from _command(root.get_command(context, name), f"stackctl {name}", context)


def _command(command: Any, path: str, parent: Any) -> Iterator[str]:
    """A verb; of one that has verbs of its own, each of these."""
    context = type(parent)(command, info_name=path, parent=None)
    yield f"### {path}"
    yield f"{command.help or ''}\n"
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _command(command.get_command(context, name), f"{path} {name}", context)
        return
    yield f"    {path} {' '.join(command.collect_usage_pieces(context))}\n"
    rows = [_row(parameter, context) for parameter in command.get_params(context)]
    if any(rows):
        yield from _table("argument or option", (row for row in rows if row))
    examples, _, _ = (command.epilog or "").partition("\n\n")
    for example in filter(None, (part.strip() for part in examples.partition("  ")[2].split("·"))):
        yield f"    $ {example}"
    if examples:
        yield ""


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """An argument or an option with its help; None for `--help` and what is hidden."""
    if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
        return None
    if parameter.param_type_name == "argument":
        return f"`{' '.join(parameter.get_usage_pieces(context))}`", parameter.help or ""
    record = parameter.get_help_record(context)
    return (f"`{record[0]}`", record[1]) if record else None


def _table(heading: str, rows: Any) -> Iterator[str]:
    yield f"| {heading} | |"
    yield "| --- | --- |"
    for cells in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def main() -> None:
    """Run from the command line."""
    text, there = page(), PAGE.read_text() if PAGE.exists() else ""
    if sys.argv[1:] == ["--check"]:
        changes = difflib.unified_diff(
            there.splitlines(), text.splitlines(), "docs/cli.md", "the commands", lineterm=""
        )
        print("\n".join(changes), end="\n" if there != text else "")
        sys.exit("docs/cli.md is out of date: make docs" if there != text else 0)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()

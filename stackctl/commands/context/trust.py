"""What ``stackctl.yaml`` would run, or read from outside of its directory: nothing of it before the user's yes.

Whoever looks at a foreign repository runs ``stackctl render`` or ``status`` in
it first. ``${cmd:…}`` is a program of that repository's choice, and
``${file:…}`` may name a key of the user's: both wait for ``stackctl trust``,
which holds for one text of the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from stackctl.commands.context.session import Session
from stackctl.config.interpolate import is_secret_place
from stackctl.config.tree import Path as TreePath
from stackctl.config.tree import Tree
from stackctl.errors import Untrusted

_REFERENCE = re.compile(r"\$\$|\$\{(?P<source>file|cmd):(?P<argument>[^}]+)\}")


def digest_of(data: bytes) -> str:
    """What a yes is given to: the very bytes of the file."""
    return hashlib.sha256(data).hexdigest()


def consent(session: Session, digest: str) -> Callable[[str, Path | None], None]:
    """Called before a reference is read; raises :class:`Untrusted` where that needs a yes which is not there.

    ``digest`` is that of the text in force. It is given the reference, and the path that it names; None for a command.
    """
    base = session.config_path.parent

    def ask(reference: str, path: Path | None) -> None:
        if path is not None and not session.trust.leads_outside(path, base):
            return
        if not session.trust.trusted(session.config_path, digest):
            verb = "run" if path is None else "read"
            raise Untrusted(
                f"{reference} is not {verb}: this text of {session.config_name} is not trusted yet",
                hint="stackctl trust   (shows what the file would run and read, and remembers your yes)",
            )

    return ask


def needs_trust(session: Session, tree: Tree) -> list[tuple[str, str]]:
    """Each reference of the file that waits for a yes, with its place."""
    base = session.config_path.parent
    found = []
    for path, text in texts(tree.data, ()):
        if not isinstance(text, str) or not is_secret_place(path):
            continue
        for match in _REFERENCE.finditer(text):
            argument = (match["argument"] or "").strip()
            outside = match["source"] == "file" and session.trust.leads_outside(file_of(base, argument), base)
            if match["source"] == "cmd" or outside:
                line, column = tree.position(path)
                found.append((f"{session.config_name}:{line}:{column}", match[0]))
    return found


def file_of(base: Path, argument: str) -> Path:
    """The path that ``${file:…}`` names: relative to ``stackctl.yaml``, ``~`` is the user's home."""
    try:
        return base / Path(argument).expanduser()
    except RuntimeError:  # the home of a user that is not there
        return base / argument


def texts(value: object, path: TreePath) -> Iterator[tuple[TreePath, object]]:
    """Every scalar below ``value`` with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    else:
        yield path, value

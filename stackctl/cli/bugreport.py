"""Reports a bug: writes what an issue needs to a file, secrets masked."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl import __version__

if TYPE_CHECKING:
    from stackctl.adapters.console import Console

CODE = 3


def report(error: BaseException, arguments: list[str], console: Console) -> int:
    """Write the report, say where it is, and return 3."""
    from stackctl.config.url import without_credentials  # noqa: PLC0415
    from stackctl.errors import StackctlError  # noqa: PLC0415

    command = " ".join(without_credentials(argument) for argument in arguments)
    text = "\n".join(
        [
            f"stackctl {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}",
            f"command: stackctl {command}",
            "",
            # Frames only: the values in them may be secrets.
            "".join(traceback.format_list(traceback.extract_tb(error.__traceback__))),
            f"{type(error).__name__}: {error}",
        ]
    )
    console.redactor.hide_named(os.environ.items())
    text = console.redactor.thorough(text)
    try:
        descriptor, name = tempfile.mkstemp(prefix="stackctl-bug-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")
        where = str(Path(name))
    except OSError:
        where = "(it could not be written)"
        sys.stderr.write(text + "\n")
    bug = StackctlError(
        f"a bug in stackctl: {type(error).__name__}: {error}",
        hint=f"please report it with the contents of {where}",
    )
    bug.code = CODE
    return console.error(bug)

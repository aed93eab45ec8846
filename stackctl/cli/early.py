"""What can begin before typer is loaded: Compose takes as long to read a project as the program takes to load."""

from __future__ import annotations

from stackctl.cli.globals import Settings
from stackctl.errors import StackctlError


def begin(settings: Settings, arguments: list[str]) -> None:
    """For ``init``: let Compose read the project at once. What is wrong here is said in its turn."""
    from stackctl.cli.wiring import session_of  # noqa: PLC0415
    from stackctl.commands.adopt import start  # noqa: PLC0415

    if {"-h", "--help"} & set(arguments):
        return
    try:
        here = session_of(settings)
        settings.begun = (here, start(here, files_in(arguments)))
    except StackctlError:
        return


def files_in(arguments: list[str]) -> list[str]:
    """The values of ``-f`` and ``--file``, in all the ways in which an option takes its value."""
    found: list[str] = []
    for index, word in enumerate(arguments):
        if word in ("-f", "--file"):
            found += arguments[index + 1 : index + 2]
        elif word.startswith("--file="):
            found.append(word.removeprefix("--file="))
        elif word.startswith("-f"):
            found.append(word.removeprefix("-f"))
    return found

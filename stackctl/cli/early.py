"""What can begin before typer is loaded: Compose takes as long to read a project as the program takes to load."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stackctl.cli.globals import Settings

if TYPE_CHECKING:
    from stackctl.outcome import Outcome


def early(settings: Settings, arguments: list[str]) -> Outcome | None:
    """What a command line comes to already, or None where the program is needed for it."""
    if arguments[:1] == ["up"]:
        return _still(settings, arguments[1:])
    if arguments[:1] == ["init"]:
        _begin(settings, arguments[1:])
    return None


def _still(settings: Settings, arguments: list[str]) -> Outcome | None:
    """For ``up``: the whole answer, where a seal of the last one holds."""
    plain = len(arguments) <= 1 and not any(word.startswith("-") for word in arguments)
    if not plain or settings.verbose or settings.context or "_STACKCTL_COMPLETE" in os.environ:
        return None
    # Behind a link, `..` is another directory than it looks.
    if ".." in f"{settings.directory}/{settings.config}".split("/"):
        return None
    try:
        config = os.path.abspath(os.path.join(os.path.expanduser(settings.directory), settings.config))
    except OSError:  # this directory was removed
        return None
    directory = os.path.join(os.path.dirname(config), ".stackctl")
    from stackctl.adapters.enginesocket import is_beside  # noqa: PLC0415
    from stackctl.nearby import SEAL  # noqa: PLC0415

    if not is_beside() or not os.path.exists(os.path.join(directory, SEAL)):
        return None
    from stackctl.adapters.nearby import NearbyEngine  # noqa: PLC0415
    from stackctl.commands.reconcile.seal import Asked, still  # noqa: PLC0415

    asked = Asked(config, settings.environment, arguments[0] if arguments else None, dict(os.environ))
    return still(asked, NearbyEngine(), directory)


def _begin(settings: Settings, arguments: list[str]) -> None:
    """For ``init``: let Compose read the project at once. What is wrong here is said in its turn."""
    from stackctl.cli.wiring import session_of  # noqa: PLC0415
    from stackctl.commands.adoption.reading import start  # noqa: PLC0415
    from stackctl.errors import StackctlError  # noqa: PLC0415

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

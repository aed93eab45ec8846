"""The one error boundary: turns every exception into a message and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from stackctl.cli.globals import FLAGS, VALUES, Settings, console_of, hoist
from stackctl.cli.signals import listen
from stackctl.errors import ExpectedFailure, Interrupted, StackctlError, UsageError


def run(arguments: list[str]) -> int:
    """Run one command line to its exit code."""
    try:
        settings, rest = hoist(arguments)
    except UsageError as error:
        return console_of(Settings(json="--json" in arguments)).error(error)
    signals = listen()
    try:
        return _app(settings, rest, signals)
    except KeyboardInterrupt:
        return console_of(settings).error(Interrupted("interrupted"))
    except StackctlError as error:
        return console_of(settings).error(error)
    except Exception as error:  # noqa: BLE001  (this is the boundary)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return console_of(settings).error(ExpectedFailure(f"the output cannot be written: {error.strerror}"))
        from stackctl.cli.bugreport import report  # noqa: PLC0415

        return report(error, arguments, console_of(settings))


def _app(settings: Settings, rest: list[str], signals: list[int]) -> int:
    """The verb's exit code; typer's exceptions are raised as our own."""
    import typer  # noqa: PLC0415  (0.1 s; wrong global options are answered without it)

    from stackctl.cli.app import app  # noqa: PLC0415

    if "_STACKCTL_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # noqa: PLC0415

        completion_init()
    try:
        result: Any = app(args=rest, prog_name="stackctl", standalone_mode=False, obj=settings)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.Exit as end:
        return int(end.exit_code)
    except typer.TyperException as error:
        if isinstance(error, StackctlError):
            raise
        raise _usage(error) from None
    if signals and result == Interrupted.code:  # typer turns an interrupt into a silent exit
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _usage(error: Any) -> UsageError:
    """Typer's complaint about the command line; suggests the nearest option, global ones included."""
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "stackctl"
    if type(error).__name__ == "NoArgsIsHelpError":
        verbs = ", ".join(context.command.list_commands(context))
        return UsageError(f"{path} does nothing by itself; it has: {verbs}", hint=f"{path} --help")
    name = getattr(error, "option_name", "")
    import difflib  # noqa: PLC0415  (needed for a mistake only)

    possible = getattr(error, "possibilities", None) or difflib.get_close_matches(name, [*FLAGS, *VALUES], n=1)
    if name and possible:
        return UsageError(f"{path} has no option {name}", hint=f"did you mean {' or '.join(sorted(possible))}?")
    return UsageError(error.format_message(), hint=f"{path} --help")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

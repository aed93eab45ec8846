"""``stackctl diagnose``."""

from __future__ import annotations

from functools import partial

import typer

from stackctl.cli.wiring import present, session

verb = typer.Typer(rich_markup_mode=None, add_completion=False)
_SERVICES = typer.Argument(None, metavar="SERVICE", help="Only these consumers")


@verb.command(
    epilog="Examples:  stackctl diagnose   ·   stackctl diagnose backend --fix   ·   stackctl diagnose --json"
)
def diagnose(
    ctx: typer.Context,
    services: list[str] = _SERVICES,
    profile: str = typer.Option("", "--profile", help="Judge this target too, as if it were applied"),
    deep: bool = typer.Option(False, "--deep", help="Load the model and stream one token as well"),
    fix: bool = typer.Option(False, "--fix", help="Apply the repairs that change only our override or our containers"),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask before a repair"),
    markdown: bool = typer.Option(False, "--markdown", help="Print a report to paste into an issue"),
    bundle: str = typer.Option(
        "", "--bundle", metavar="FILE", help="Write everything, secrets and addresses masked, to a .tar.gz"
    ),
    list_causes: bool = typer.Option(False, "--list-causes", help="List every cause that can be recognised"),
) -> None:
    """Find why a consumer cannot use its Ollama, name the cause, and repair it where possible."""
    from stackctl.commands.diagnosing import report as shown  # noqa: PLC0415

    if list_causes:
        present(ctx, shown.list_causes())
        return
    from stackctl.adapters.hostview import look  # noqa: PLC0415
    from stackctl.commands.diagnosing.diagnose import diagnose as command  # noqa: PLC0415

    work = session(ctx)

    run = partial(command, work, look, services or (), profile=profile or None, deep=deep)
    found = run()
    if fix:
        from stackctl.commands.diagnosing.repair import mend  # noqa: PLC0415

        present(ctx, mend(work, found, run, yes=yes))
        return
    if bundle:
        from stackctl.adapters.archive import write  # noqa: PLC0415

        write(bundle, shown.bundle(found, work.redactor))
    present(ctx, shown.markdown(found, work.redactor) if markdown else shown.outcome(found, bundle=bundle))

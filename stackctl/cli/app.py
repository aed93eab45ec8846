"""The command line: a table of verbs, each loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# name: (module under stackctl.cli, section, one line). Help is drawn from here, so that it loads no verb.
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "Start", "Adopt the Compose project that is here: find who uses Ollama, write stackctl.yaml"),
    "up": ("up", "Run", "Bring the stack up on its Ollama, and verify it from every consumer"),
    "switch": ("switch", "Run", "Point the running stack at another Ollama, verified or rolled back"),
    "rollback": ("rollback", "Run", "Back to the target before this one that was verified"),
    "down": ("passthrough", "Run", "Stop and remove the stack's containers and networks"),
    "status": ("status", "Look", "What runs, which Ollama each consumer really uses, and drift"),
    "diagnose": ("diagnose", "Look", "Find why a consumer cannot use its Ollama; repair it where possible"),
    "explain": ("explain", "Look", "What a cause is, what tells it apart, and its remedy"),
    "history": ("history", "Look", "What was switched when, by whom, and how it ended"),
    "render": ("render", "Look", "Print the override, or the merged project"),
    "logs": ("passthrough", "Compose", "Logs of the services, as `docker compose logs`"),
    "exec": ("passthrough", "Compose", "Run a command in a service, as `docker compose exec`"),
    "restart": ("passthrough", "Compose", "Restart services, as `docker compose restart`"),
    "ps": ("passthrough", "Compose", "List containers, as `docker compose ps`"),
    "compose": ("passthrough", "Compose", "Any Compose command with the right files: stackctl compose -- ARGS"),
    "instances": ("instances", "Ollama", "The Ollama servers in stackctl.yaml: list, add, edit, remove, test"),
    "models": ("models", "Ollama", "Models on all instances: list, pull, show, rm, sync, backup, restore, prune"),
    "chat": ("chat", "Ollama", "A test chat in the terminal, with figures"),
    "host-setup": ("host_setup", "Ollama", "What an Ollama server's host needs: unit, firewall, TLS proxy, tunnel"),
    "host-check": ("host_check", "Ollama", "Check the host of an Ollama server"),
    "provider": ("provider", "", "Answer Docker Compose as the provider of a service"),
    "trust": ("trust", "More", "Say yes to what this stackctl.yaml runs, or reads from elsewhere"),
    "schema": ("schema", "More", "JSON Schema of stackctl.yaml, for editors"),
    "detach": ("detach", "More", "Take stackctl's traces away; the project is as before"),
    "completion": ("completion", "More", "Print the completion script for your shell"),
}
SECTIONS = ("Start", "Run", "Look", "Compose", "Ollama", "More")
OPTIONS = [
    ("-C, --directory DIR", "Work in this directory"),
    ("--config FILE", "Configuration file (default: stackctl.yaml in that directory)"),
    ("--env ENV", "Environment of stackctl.yaml, such as dev or prod"),
    ("--context CONTEXT", "Docker context of the engine"),
    ("--json", "One JSON document on standard output, and nothing else there"),
    ("-q, --quiet", "Say only what is wrong"),
    ("-v, --verbose", "Say what is run"),
    ("--no-color", "No colour (also NO_COLOR)"),
    ("--version", "Print the version"),
    ("-h, --help", "This text; `stackctl VERB --help` for one verb"),
]
_EXAMPLES = [
    ("stackctl init", "adopt the Compose project in this directory"),
    ("stackctl up", "bring it up with Ollama beside it"),
    ("stackctl switch http://192.168.1.20:11434", "use the GPU box instead, or keep what works"),
    ("stackctl diagnose --fix", "find out why it does not answer, and mend it"),
]


class LazyGroup(TyperGroup):
    """Loads ``stackctl.cli.<module>`` when its verb is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The verbs that have a section in the help, in the order of the table."""
        return [name for name, (_, section, _) in VERBS.items() if section]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import the verb's module and build its command; None for an unknown verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"stackctl.cli.{VERBS[cmd_name][0]}")
        verb: typer.Typer = module.verbs[cmd_name] if hasattr(module, "verbs") else module.verb
        command = typer.main.get_command(verb)
        command.name = cmd_name
        also = "Also -C, --env, --json, -q, -v and --no-color: see stackctl --help"
        command.epilog = f"{command.epilog}\n\n{also}" if command.epilog else also
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click does; for a misspelt verb the error suggests the nearest one."""
        if args[:1] == ["compose"]:
            from stackctl.cli.provider import is_call  # noqa: PLC0415

            # Compose starts a provider as `stackctl compose …`, the verb that otherwise passes commands on to Compose.
            args = ["provider", *args[1:]] if is_call(args[1:]) else args
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415

            from stackctl.errors import UsageError  # noqa: PLC0415

            close = difflib.get_close_matches(args[0], VERBS, n=1, cutoff=0.5)
            raise UsageError(
                f'no verb "{args[0]}"', hint=f"did you mean `stackctl {close[0]}`?" if close else "stackctl --help"
            )
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: Any) -> str:  # noqa: ARG002
        """The overview, from the table of verbs; no verb is loaded for it."""
        from stackctl.cli.overview import overview  # noqa: PLC0415

        return overview(SECTIONS, VERBS, OPTIONS, _EXAMPLES)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)


@app.callback()
def root(ctx: typer.Context, version: bool = typer.Option(False, "--version", hidden=True)) -> None:
    """Point any Docker Compose stack at any Ollama, and prove that it got there."""
    from stackctl import __version__  # noqa: PLC0415

    if version:
        typer.echo(f"stackctl {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit

"""A target that needs credentials which nobody would send: refused before anything is touched."""

from __future__ import annotations

from stackctl.commands.context.project_loader import Stack
from stackctl.config.models import Consumer
from stackctl.config.rules import SECRET_HEADERS
from stackctl.config.target import Target
from stackctl.errors import UsageError


def refuse_uncarried(stack: Stack, target: Target) -> None:
    """Raise :class:`UsageError` with both ways out; the gateway adds credentials, and ``{token}`` carries a bearer."""
    config = stack.config
    if target.kind != "instance" or not target.instances or not config.told:
        return
    name = target.instances[0]
    instance = config.instances.get(name)
    if instance is None:
        return
    if opening := [h for h, value in instance.headers.items() if "${" in value or SECRET_HEADERS.search(h)]:
        raise UsageError(
            f'the instance "{name}" needs the header {opening[0]}, and no consumer sends it',
            hint="set `gateway: true`, so that the gateway adds it, or let the server in front of it take a token"
            " that a consumer carries as `{token}`",
            where=stack.locate(("instances", name, "headers", opening[0])),
        )
    if instance.auth is None:
        return
    if instance.auth.bearer is not None and any("{token}" in t for c in config.told.values() for t in _templates(c)):
        return
    kind = "bearer" if instance.auth.bearer is not None else "basic"
    ways = "set `gateway: true`, so that the gateway adds them"
    if kind == "bearer":
        ways += ', or give a consumer a variable that carries it, such as `OLLAMA_API_KEY: "{token}"`'
    else:
        ways += ", or let the server in front of it take a bearer token that a consumer carries as `{token}`"
    raise UsageError(
        f'the instance "{name}" needs credentials ({kind}), and no consumer carries them',
        hint=ways,
        where=stack.locate(("instances", name, "auth")),
    )


def _templates(consumer: Consumer) -> list[str]:
    return [*consumer.env.values(), *(consumer.command or ()), *(consumer.entrypoint or ())]

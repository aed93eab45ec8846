"""``provider: {type: stackctl}``: hand plain ``docker compose up`` the address of the active Ollama.

Compose (2.36 and later) calls ``stackctl compose --project-name=NAME up|down
[--OPTION=VALUE…] SERVICE`` and reads one JSON object a line: ``info``,
``error``, ``debug`` and ``setenv``, whose variables it gives to the dependents
under the service's own prefix (docker/compose: ``docs/extension.md``). Seen
with 2.40.3: any other type is an error, and ``compose metadata`` is asked first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.commands.context.project_loader import load
from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import read_state
from stackctl.config.models import StackConfig
from stackctl.config.target import Target, default_profile, passed_over, resolve
from stackctl.errors import StackctlError, UsageError
from stackctl.outcome import Outcome, Verbatim

METADATA: Mapping[str, Any] = {
    "description": "The address of the active Ollama, from stackctl.yaml",
    "up": {
        "parameters": [
            {
                "name": "profile",
                "description": "A profile of stackctl.yaml, or a URL; by default the one in force",
                "required": False,
                "type": "string",
                "default": "",
            },
            {
                "name": "directory",
                "description": "Where stackctl.yaml is; by default the directory of the call",
                "required": False,
                "type": "string",
                "default": "",
            },
        ]
    },
    "down": {"parameters": []},
}
KNOWN = ("profile", "directory")


@dataclass(frozen=True)
class Call:
    """One call by Compose."""

    verb: str
    service: str = ""
    project: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def parse_call(arguments: Sequence[str]) -> Call:
    """The words after ``stackctl compose``. Raises :class:`UsageError` for a call that is not of the protocol."""
    if list(arguments) == ["metadata"]:
        return Call("metadata")
    words: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        options[name] = value if equals else (rest.pop(0) if rest else "")
    if len(words) != 2:
        raise UsageError("not a call of Compose's provider protocol: " + " ".join(arguments))
    return Call(words[0], words[1], options.pop("project-name", ""), options)


def provider(session: Session, arguments: Sequence[str]) -> Outcome:
    """Answer one call. What is wrong is told to Compose in its own form, with exit code 1."""
    try:
        call = parse_call(arguments)
        if call.verb == "metadata":
            return _said([METADATA])
        if call.verb != "up":
            # Nothing was started for it, so `down` and `stop` have nothing to end.
            return _said([_line("info", f"{call.service}: nothing to {call.verb}; the Ollama is not Compose's")])
        return _said(_up(session, call))
    except StackctlError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return _said([_line("error", f"{error.message}{hint}")], code=1)


def _line(kind: str, message: str) -> dict[str, str]:
    return {"type": kind, "message": message}


def _said(lines: Sequence[Mapping[str, Any]], *, code: int = 0) -> Outcome:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return Outcome("stackctl.provider/1", {"lines": list(lines)}, [Verbatim(text)], code=code)


def _up(session: Session, call: Call) -> list[dict[str, str]]:
    unknown = sorted(set(call.options) - set(KNOWN))
    if unknown:
        raise UsageError(f"provider options of {call.service}: no `{unknown[0]}`", hint=f"known: {', '.join(KNOWN)}")
    session = _placed(session, call.options.get("directory", ""))
    state = read_state(session)
    config = load(session, environment=state.environment if state else None).config
    name = call.options.get("profile") or (state.profile if state else "") or default_profile(config, has_local=False)
    target = resolve(config, name, without=passed_over(config, name, state.url) if state else ())
    _check(config, target, call.service)
    lines = [_line("info", f"{call.service}: {name} at {target.url}")]
    if target.pins:
        pinned = ", ".join(f"{host}:{address}" for host, address in target.pins.items())
        lines.append(
            _line("info", f"{call.service}: dependents need extra_hosts: [{pinned}]; a provider cannot add it")
        )
    return lines + [_line("setenv", f"{key}={value}") for key, value in variables(target).items()]


def _placed(session: Session, directory: str) -> Session:
    """The session where ``stackctl.yaml`` is: as told, else here or in the nearest parent that has one."""
    if directory:
        return replace(session, directory=(session.directory / directory).absolute())
    for place in (session.directory, *session.directory.parents):
        if session.files.read(Path(place) / session.config_name, limit=0) is not None:
            return replace(session, directory=Path(place))
    return session


def variables(target: Target) -> dict[str, str]:
    """What dependents are told, without the service's prefix. ``HOST`` is ``host:port``, as ``OLLAMA_HOST`` is."""
    url = target.url
    found = {
        "URL": str(url),
        "BASE_URL": str(url),
        "V1_URL": f"{url}/v1",
        "HOST": url.address,
        "HOSTNAME": url.host,
        "PORT": str(url.port),
        "SCHEME": url.scheme,
    }
    return {**found, "MODEL": target.model} if target.model else found


def _check(config: StackConfig, target: Target, service: str) -> None:
    if target.kind == "gateway":
        raise UsageError(
            f"{target.name} goes by the gateway, which `stackctl up` runs and a provider does not",
            hint="stackctl up, or name one instance: options: {profile: NAME}",
        )
    if target.kind == "local" and config.local.service == service:
        raise UsageError(
            f"{target.name} is the Ollama container, and a provider runs no container",
            hint="give the container a service of its own and name it in `local: {service: …}`, or use `stackctl up`",
        )
    instance = config.instances.get(target.instances[0]) if target.instances else None
    if instance is not None and (instance.auth is not None or instance.headers):
        raise UsageError(
            f"{target.name} needs credentials, and a provider would have to hand them out in clear",
            hint="gateway: true, and `stackctl up`",
        )

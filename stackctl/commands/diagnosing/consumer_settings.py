"""Fetch what only the session knows of consumers' URLs: ``.env``, credentials, the target asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile.prepare import Prepared, pinned_addresses
from stackctl.commands.reconcile.request_settings import request_settings_of
from stackctl.config.target import Target, resolve
from stackctl.config.url import OllamaUrl
from stackctl.diagnose import url_text
from stackctl.diagnose.consumer_urls import url_settings
from stackctl.diagnose.remedies import server_port
from stackctl.diagnose.scene import UrlSetting
from stackctl.errors import StackctlError
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.findings import Findings
from stackctl.project.location import read_env_file


def settings_of_consumers(
    session: Session,
    stack: Stack | None,
    project: ComposeProject,
    containers: Sequence[Container],
    found: Findings,
    prepared: Prepared | None,
    *,
    servers: Sequence[str],
) -> list[UrlSetting]:
    """What every consumer is told, by its container or by the files; ``prepared`` is the target in force."""
    configured = stack.config if stack is not None else None
    settings = url_settings(
        project,
        containers,
        found,
        named={name: consumer.env for name, consumer in configured.consumers.items()} if configured else {},
        models=prepared.target.models if prepared else configured.models if configured else (),
        dotenv=_dotenv(session, project),
        servers=servers,
    )
    if stack is not None:
        settings += _unread(stack, project, {s.consumer for s in settings}, prepared.override.told if prepared else {})
    # What stands in a command or a file is asked as it stands there, without credentials of ours.
    return [one if one.place else _with_instance(session, stack, one) for one in settings]


def _unread(
    stack: Stack, project: ComposeProject, seen: Collection[str], told: Mapping[str, OllamaUrl]
) -> list[UrlSetting]:
    """Declared consumers of which nothing could be read: by what they would be told, else by the local server's name.

    Those that are fixed use the local server; those that are told nothing at
    all know it by its name, which the gateway takes over.
    """
    local = stack.config.local.service
    own = OllamaUrl("http", local, server_port(project.services.get(local)))
    out = []
    for name, consumer in stack.config.consumers.items():
        if name in seen or name not in project.services:
            continue
        url = own if consumer.fixed is not None else told.get(name, own)
        place = consumer.fixed or ("stackctl.yaml" if name in told else "its own settings")
        out.append(UrlSetting(name, "address", str(url), url, source="compose", place=place))
    return out


def _dotenv(session: Session, project: ComposeProject) -> dict[str, str]:
    data = session.files.read(Path(project.directory) / ".env")
    return read_env_file(data.decode("utf-8", "replace")) if data else {}


def _with_instance(session: Session, stack: Stack | None, setting: UrlSetting, *, carried: bool = False) -> UrlSetting:
    """What stackctl.yaml says of the instance that this URL is: its own paths, its CA for later, no way to get in.

    An app sends what its own variables hold, and trusts what its own runtime trusts; ``carried`` says that one of
    its variables would hold the token.
    """
    if stack is None or setting.url is None:
        return setting
    for name, instance in stack.config.instances.items():
        if (instance.url.host, instance.url.port) == (setting.url.host, setting.url.port):
            try:
                target = Target("instance", name, instance.url, instances=(name,))
                settings = request_settings_of(session, stack, target)
            except StackctlError:  # a secret that is not there: what it opens will say so
                return setting
            token = {k: v for k, v in settings.headers.items() if carried and k == "Authorization"}
            return replace(setting, headers=token or setting.headers, trust=settings.trust, paths=settings.paths)
    return setting


def would_be(session: Session, stack: Stack | None, prepared: Prepared) -> list[UrlSetting]:
    """What each consumer would be told if the target asked about were in force."""
    out = []
    pinned = pinned_addresses(session, prepared.target)
    for consumer, url in prepared.override.told.items():
        name = prepared.target.name
        named = stack is not None and name in stack.config.instances
        (read,) = url_text.read(consumer, "url", str(url), source="profile")
        one = replace(
            read,
            variable=f"instances.{name}.url" if named else "--profile",
            url=url,
            addresses=pinned.get(url.host, ()),
            models=prepared.target.models,
            place="stackctl.yaml" if named else "the URL given",
        )
        templates = stack.config.consumers[consumer].env.values() if stack else ()
        out.append(_with_instance(session, stack, one, carried=any("{token}" in t for t in templates)))
    return out


def behind_gateway(session: Session, stack: Stack, prepared: Prepared) -> list[UrlSetting]:
    """The servers behind the gateway, as it is told them: to be asked from where it stands."""
    if prepared.gateway is None:
        return []
    direct = stack.config.model_copy(update={"gateway": False})
    out = []
    for name in prepared.target.instances or (prepared.target.name,):
        target = resolve(direct, name)
        (read,) = url_text.read(prepared.gateway.part.name, "url", str(target.url), source="gateway")
        one = replace(
            read,
            variable=f"instances.{name}.url",
            url=target.url,
            addresses=pinned_addresses(session, target).get(target.url.host, ()),
            place="stackctl.yaml",
        )
        out.append(_with_instance(session, stack, one))
    return out

"""Fetch what only the session knows of consumers' URLs: ``.env``, credentials, the target asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stackctl.commands.context.project_loader import Stack
from stackctl.commands.context.session import Session
from stackctl.commands.reconcile.prepare import Prepared, pinned_addresses
from stackctl.commands.reconcile.request_settings import request_settings_of
from stackctl.config.target import Target
from stackctl.diagnose.consumer_urls import url_settings
from stackctl.diagnose.scene import UrlSetting
from stackctl.diagnose.sign import Sign
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
    found: Findings | None,
    prepared: Prepared | None,
    profile: str | None,
) -> list[UrlSetting]:
    """What every consumer is told, by its container or by the files; with ``--profile`` what it would be told too."""
    configured = stack.config if stack is not None else None
    settings = url_settings(
        project,
        containers,
        found,
        named={name: consumer.env for name, consumer in configured.consumers.items()} if configured else {},
        models=prepared.target.models if prepared else configured.models if configured else (),
        dotenv=_dotenv(session, project),
    )
    # What stands in a command or a file is asked as it stands there, without credentials of ours.
    settings = [one if one.place else _with_instance(session, stack, one) for one in settings]
    if profile and prepared is not None:
        settings += _would_be(session, stack, prepared)
    return settings


def _dotenv(session: Session, project: ComposeProject) -> dict[str, str]:
    data = session.files.read(Path(project.directory) / ".env")
    return read_env_file(data.decode("utf-8", "replace")) if data else {}


def _with_instance(session: Session, stack: Stack | None, setting: UrlSetting) -> UrlSetting:
    """Credentials, TLS and own paths of the instance that this URL is."""
    if stack is None or setting.url is None:
        return setting
    for name, instance in stack.config.instances.items():
        if (instance.url.host, instance.url.port) == (setting.url.host, setting.url.port):
            try:
                target = Target("instance", name, instance.url, instances=(name,))
                settings = request_settings_of(session, stack, target)
            except StackctlError:  # a secret that is not there: what it opens will say so
                return setting
            return replace(
                setting,
                headers=settings.headers or setting.headers,
                trust=settings.trust,
                server_name=settings.server_name,
                verify=settings.check_certificate,
                paths=settings.paths,
            )
    return setting


def _would_be(session: Session, stack: Stack | None, prepared: Prepared) -> list[UrlSetting]:
    """What each consumer would be told if the target asked about were in force."""
    out = []
    pinned = pinned_addresses(session, prepared.target)
    for consumer, url in prepared.override.told.items():
        name = prepared.target.name
        named = stack is not None and name in stack.config.instances
        one = UrlSetting(
            consumer,
            f"instances.{name}.url" if named else "--profile",
            str(url),
            url,
            source="profile",
            addresses=pinned.get(url.host, ()),
            models=prepared.target.models,
            marks=frozenset({Sign.CLIENT_NATIVE}),
            place="stackctl.yaml" if named else "the URL given",
        )
        out.append(_with_instance(session, stack, one))
    return out

"""How an instance wants to be asked: its credentials, its TLS, its own paths."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.commands.context.project_loader import Stack, secret_reader
from stackctl.commands.context.session import Session
from stackctl.config.models import Instance
from stackctl.config.target import Target


@dataclass(frozen=True)
class RequestSettings:
    """How an instance wants to be asked: headers with their secrets, TLS, own paths, models expected."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trust: str = field(default="", repr=False)
    server_name: str = ""
    check_certificate: bool = True
    paths: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()


def request_settings_of(session: Session, stack: Stack, target: Target) -> RequestSettings:
    """Read the secrets and files that asking ``target`` needs; raises :class:`WrongInput` where one is missing."""
    if target.kind != "instance" or not target.instances or target.instances[0] not in stack.config.instances:
        return RequestSettings(models=target.models)
    instance = stack.config.instances[target.instances[0]]
    return RequestSettings(
        headers=_headers(session, stack, instance),
        trust=trust_text(session, instance.tls.ca_file, session.config_path.parent),
        server_name=instance.tls.server_name or "",
        check_certificate=instance.tls.verify,
        paths={
            k: v
            for k, v in (("list_models", instance.endpoints.list_models), ("version", instance.endpoints.version))
            if v
        },
        models=target.models,
    )


def _headers(session: Session, stack: Stack, instance: Instance) -> dict[str, str]:
    resolve = secret_reader(session, stack)
    found = {name: resolve(text).reveal() for name, text in instance.headers.items()}
    session.hide([found[name] for name, text in instance.headers.items() if "${" in text])
    if instance.auth and instance.auth.bearer:
        token = resolve(str(instance.auth.bearer)).reveal()
        session.hide([token])
        found["Authorization"] = f"Bearer {token}"
    elif instance.auth and instance.auth.basic:
        password = resolve(str(instance.auth.basic.password)).reveal()
        session.hide([password])
        pair = base64.b64encode(f"{instance.auth.basic.user}:{password}".encode()).decode()
        session.hide([pair])
        found["Authorization"] = f"Basic {pair}"
    return found


def trust_text(session: Session, ca_file: str | None, base: Path) -> str:
    """PEM text of an instance's CA file, or empty."""
    data = session.files.read(base / ca_file) if ca_file else None
    return data.decode("utf-8", "replace") if data else ""

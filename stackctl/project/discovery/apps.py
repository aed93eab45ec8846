"""The table of well-known apps in ``apps.yaml``."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from stackctl.project.compose import Service
from stackctl.project.discovery import images

UNSET = ("client", "hint", "no")


@dataclass(frozen=True)
class App:
    """One entry of the table; the fields are explained at the top of ``apps.yaml``."""

    app: str
    images: tuple[str, ...]
    folders: tuple[str, ...] = ()
    role: str = "app"
    env: Mapping[str, str] = field(default_factory=dict)
    unset: str = "no"
    elsewhere: tuple[str, ...] = ()
    disabled: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    keeps: str = ""
    click: str = ""
    config: str = ""
    browser: bool = False

    def is_off(self, environment: Mapping[str, str | None]) -> bool:
        """Whether the service's own environment switches Ollama off."""
        return any((environment.get(k) or "").strip("'\" ").lower() == v.lower() for k, v in self.disabled.items())

    def is_used(self, environment: Mapping[str, str | None]) -> bool:
        """Whether what shows its use of Ollama is there, for an app that is otherwise none to ask it."""
        return not self.uses or any(word in (environment.get(k) or "").lower() for k, word in self.uses.items())

    def is_elsewhere(self, environment: Mapping[str, str | None]) -> bool:
        """Whether the service's own environment names another provider's endpoint."""
        return any((environment.get(name) or "").strip() for name in self.elsewhere)


@cache
def table() -> tuple[App, ...]:
    """Every entry, in file order. Raises ``ValueError`` for an entry that is not of the form."""
    text = files(__package__).joinpath("apps.yaml").read_text(encoding="utf-8")
    return tuple(entry(raw) for raw in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506


@cache
def _by_name() -> dict[str, list[tuple[App, str]]]:
    """The last part of an image's path to the entries that it may be of."""
    found: dict[str, list[tuple[App, str]]] = {}
    for app in table():
        for image in app.images:
            found.setdefault(image.rpartition("/")[2], []).append((app, image))
    return found


def entry(raw: Mapping[str, Any]) -> App:
    """One entry from its YAML form."""
    listed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    app = App(**listed)
    if app.unset not in UNSET or app.role not in ("app", "gateway"):
        raise ValueError(f"{app.app}: unset is one of {', '.join(UNSET)}, role is app or gateway")
    return app


def app_of(service: Service, base: str = "") -> App | None:
    """The entry that the service is an instance of, by its image, the ``base`` that it is built from, or its folder."""
    for reference in filter(None, (service.image, base)):
        path = images.repository(reference)
        for app, image in _by_name().get(path.rpartition("/")[2], ()):
            if path == image or path.endswith("/" + image):
                return app
    build = service.raw.get("build")
    if isinstance(build, Mapping):
        folder = posixpath.basename(str(build.get("context") or "").rstrip("/"))
        for app in table():
            if app.folders and (folder in app.folders or service.name in app.folders):
                return app
    return None

"""Consumers with nothing to see in the Compose files: known apps, and services that wait for Ollama."""

from __future__ import annotations

import posixpath
import re

from stackctl.project.compose import Service
from stackctl.project.discovery import images, names
from stackctl.project.discovery.address import HOST_NAMES, addresses
from stackctl.project.discovery.apps import App
from stackctl.project.discovery.envfile import EnvLine, is_example_of, parse_env
from stackctl.project.discovery.findings import Setting, Spot
from stackctl.project.discovery.landscape import Landscape
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.secrecy import redacted
from stackctl.project.discovery.source import Place, Source
from stackctl.project.discovery.variables import Variables, Verdict, judge

_COMMENTED = r"^\s*#"


class Unset:
    """Judges the services for which nothing else was found."""

    def __init__(self, source: Source, raw: RawProject, land: Landscape, variables: Variables) -> None:
        self.source, self.raw, self.land, self.variables = source, raw, land, variables

    def of(self, service: Service, app: App | None) -> list[Setting]:
        """What to say about a service that shows no address of an Ollama; empty where it does not use one."""
        if app is not None:
            return self._known(service, app)
        if images.is_infrastructure(service.image) or images.is_gateway(service.image):
            return []
        linked = [str(link).partition(":")[0] for link in service.raw.get("links") or []]
        needs = [
            name
            for name in [*service.depends_on, *linked]
            if name in self.land.servers and not self.land.servers[name].bundled
        ]
        if not needs or self._helps_only(service):
            return []
        commented = self._documented(service, None)
        if commented:
            return [commented]
        place = self.raw.key(service.name, "depends_on", "links")
        return [
            Setting(
                "none-visible",
                None,
                None,
                None,
                self._at(place),
                f"it waits for {needs[0]}, and nothing here tells it the address: look into its own settings",
                spots=(Spot(0, 0, "", f"service:{needs[0]}"),),
            )
        ]

    def _helps_only(self, service: Service) -> bool:
        """A service that somebody else waits on to end, or that is itself an Ollama's helper, is no consumer."""
        return images.is_ollama(service.image)

    def _known(self, service: Service, app: App) -> list[Setting]:
        if app.is_off(service.environment) or app.is_elsewhere(service.environment):
            return []
        if not app.is_used(service.environment):
            return []
        if app.config and any(str(v.get("source") or "").endswith(app.config) for v in service.volumes):
            return []  # it is told there, and what is there was read
        config = self._example_config(service, app)
        if config:
            return config
        if (set_already := self._set(service, app)) is not None:
            return [set_already]
        documented = self._documented(service, dict(app.env))
        if app.unset == "no" or (app.unset == "hint" and not documented and not self._hinted(service)):
            return []
        if documented is not None:
            return [documented]
        name = next(iter(app.env), None)
        place = self.raw.key(service.name, "image", "build")
        files = self.raw.env_files(service.name)
        if name is None:
            return [Setting("none-visible", None, None, None, self._at(place), self._reason(app))]
        return [
            Setting(
                "env_file" if files else "none-visible",
                name,
                None,
                app.env[name],
                self._at(files[-1].place if files else place),
                note=f"{app.app} reads {name}, which is not set",
            )
        ]

    def _set(self, service: Service, app: App) -> Setting | None:
        """A variable of the app that has a value which shows no Ollama: it is shown, and kept unless it is a path."""
        for name, template in app.env.items():
            value = (service.environment.get(name) or "").strip()
            if value:
                path = value.startswith("/")
                reason = "" if path else f"it is set to {redacted(value)}, which shows no Ollama: left as it is"
                return self.variables.setting(service, name, value, Verdict(template if path else None, reason=reason))
        return None

    def _reason(self, app: App) -> str:
        if app.browser:
            return "the user's browser calls Ollama, not the container: the published port of Ollama matters"
        if app.config:
            return f"{app.app} is told in {app.config}, which is not among the project's files"
        return (
            f"{app.app} is told in its own pages: {app.click}"
            if app.click
            else f"{app.app} is told in its own settings"
        )

    def _hinted(self, service: Service) -> bool:
        """Whether the project shows that Ollama is meant.

        By a server in it, one that is commented out, the host's name given to this service, or a network of that name.
        """
        if self.land.servers or any(host in HOST_NAMES for host in service.extra_hosts):
            return True
        if any(names.says_ollama(network) for network in service.raw.get("networks") or {}):
            return True
        return any(re.search(r"(?m)^\s*#.*\bollama/ollama\b", self.raw.texts.get(f, "")) for f in self.source.files)

    def _documented(self, service: Service, known: dict[str, str] | None) -> Setting | None:
        """A line that is commented out in the service's block, or one in the project's example of ``.env``.

        ``known`` are the variables of a known app; None for any other, whose variables must speak for themselves.
        """
        for layer in reversed(self.raw.layers.get(service.name, [])):
            text = self.raw.texts.get(layer.place.path, "")
            lines = text.splitlines()[layer.comments[0] : layer.comments[1]]
            for offset, line in enumerate(lines):
                if not re.match(_COMMENTED, line):
                    continue
                for entry in parse_env(line):
                    if self._is_ours(service, entry.name, entry.value, known):
                        place = Place(layer.place.path, layer.comments[0] + offset + 1)
                        return self._from_example(
                            entry.name, entry.value, known, place, "commented out in the Compose file"
                        )
        folder = posixpath.dirname(self.source.files[0]) if self.source.files else self.source.home
        for name in self.source.reader.names(folder):
            path = posixpath.join(folder, name)
            if is_example_of(name, posixpath.join(folder, ".env")):
                for entry in self.variables.lines(path):
                    if not entry.commented and entry.value and self._is_shown(service, entry, known):
                        return self._from_example(
                            entry.name,
                            entry.value,
                            known,
                            Place(path, entry.line),
                            f"shown in {self.source.shown(path)}",
                        )
        return None

    def _is_shown(self, service: Service, entry: EnvLine, known: dict[str, str] | None) -> bool:
        if known is not None:
            return entry.name in known
        named = names.says_ollama(entry.name) and names.is_address(entry.name)
        return named and judge(entry.name, entry.value, self.land, own=service.name) is not None

    def _is_ours(self, service: Service, name: str, value: str, known: dict[str, str] | None) -> bool:
        if known and name in known:
            return True
        points = {self.land.points_at(a, service.name) for a in addresses(value)}
        return names.is_address(name) and bool(points & {"ollama", "host", "external"})

    def _from_example(self, name: str, value: str, known: dict[str, str] | None, place: Place, note: str) -> Setting:
        found = addresses(value)
        template = (known or {}).get(name) or (found[0].template() if found else "{url}")
        return Setting("none-visible", name, None, template, self._at(place), note=note)

    def _example_config(self, service: Service, app: App) -> list[Setting]:
        """The example of a configuration file that lives outside the project, where it shows an Ollama."""
        if not app.config:
            return []
        folder = posixpath.dirname(self.source.files[0]) if self.source.files else self.source.home
        for where in (folder, posixpath.join(folder, "config"), posixpath.join(folder, service.name)):
            for name in sorted(self.source.reader.names(where), key=len):
                if not (name == app.config or is_example_of(name, app.config)):
                    continue
                path = posixpath.join(where, name)
                for number, line in enumerate((self.source.reader.text(path) or "").splitlines(), 1):
                    for address in addresses(line) if not re.match(_COMMENTED, line) else []:
                        at = self.land.points_at(address, service.name)
                        if at in ("ollama", "host", "external"):
                            return [
                                Setting(
                                    "config_file",
                                    self.source.shown(path),
                                    line[address.start : address.end],
                                    None,
                                    f"{self.source.shown(path)}:{number}",
                                    f"{app.app} reads {app.config} outside the project; change it there",
                                    "",
                                    at,
                                )
                            ]
        return []

    def _at(self, place: Place | None) -> str:
        return f"{self.source.shown(place.path)}:{place.line}" if place else ""

"""Variables that no container has yet: an environment file, or the example of one, shows that a service reads them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

from stackctl.project.compose import Service
from stackctl.project.discovery import images, names, programs
from stackctl.project.discovery.address import addresses
from stackctl.project.discovery.apps import App
from stackctl.project.discovery.envfile import EnvLine, is_example_of
from stackctl.project.discovery.findings import Setting
from stackctl.project.discovery.interpolation import expand
from stackctl.project.discovery.landscape import Landscape
from stackctl.project.discovery.raw import RawProject
from stackctl.project.discovery.source import Place, Source
from stackctl.project.discovery.variables import Variables, Verdict, judge

# They run the image of the app for its queue or its schema, and call no model.
_AUXILIARY = re.compile(r"(?i)(?:^|[-_])(?:beat|flower|migrat(?:e|ions?|or))(?:$|[-_])")


class Shown:
    """What environment files and their examples show, and for which of the services that load them."""

    def __init__(self, source: Source, raw: RawProject, land: Landscape, variables: Variables) -> None:
        self.source, self.raw, self.land, self.variables = source, raw, land, variables

    def documented(self, service: Service, files: list[str] | None = None) -> list[tuple[EnvLine, str, Verdict]]:
        """Variables that an env file of the service, or the example of one, shows and the container has not.

        A commented line counts where its value is an address of an Ollama, or its name says so.
        """
        paths = files if files is not None else [e.text or "" for e in self.raw.env_files(service.name)]
        found: dict[str, tuple[EnvLine, str, Verdict]] = {}
        for path in paths:
            for where in [path, *self.examples(path)]:
                for line in self.variables.lines(where):
                    if line.commented and not names.is_address(line.name):
                        continue  # prose: "# USE: http://…"
                    bare = names.says_ollama(line.name) and names.is_address(line.name)
                    if line.name in service.environment or (line.commented and not addresses(line.value, whole=bare)):
                        continue
                    verdict = judge(line.name, self._filled(line, where), self.land, own=service.name)
                    if verdict and verdict.note.startswith("its "):
                        continue
                    before = found.get(line.name)
                    # An example may show several ways; the project's own server is the likeliest of them.
                    if verdict and (before is None or (before[2].points_at != verdict.points_at == "ollama")):
                        found[line.name] = (line, where, verdict)
        return list(found.values())

    def _filled(self, line: EnvLine, path: str) -> str:
        """The value with what other lines of the same file give for its references."""
        if "$" not in line.value:
            return line.value
        given = {entry.name: entry.value for entry in self.variables.lines(path) if not entry.commented}
        return expand(expand(line.value, given), given)

    def examples(self, path: str) -> list[str]:
        """Example files beside an environment file."""
        folder = posixpath.dirname(path)
        return [posixpath.join(folder, n) for n in self.source.reader.names(folder) if is_example_of(n, path)]

    def from_files(
        self, found: dict[str, list[Setting]], apps: Mapping[str, App | None]
    ) -> Callable[[Service], list[Setting]]:
        """For services with an ``env_file``: what its example shows, where they are the ones that it is for."""
        candidates: dict[str, list[Setting]] = {}
        for service in self.source.project:
            if service.name in self.land.servers or images.is_infrastructure(service.image):
                continue
            shown = [
                self.variables.make("env_file", line.name, None, verdict, Place(where, line.line), "")
                for line, where, verdict in self.documented(service)
                if _reads(apps.get(service.name), service, line.name)
            ]
            if shown:
                candidates[service.name] = shown
        sharing = [self.source.project.services[name] for name in candidates]
        for service in sharing:
            if _AUXILIARY.search(service.name) and sum(_same_program(service, other) for other in sharing) > 1:
                del candidates[service.name]
        told = frozenset(name for name, settings in found.items() if settings)
        if len(candidates) > 1 and (named := self._named(candidates, {*told, *(n for n, a in apps.items() if a)})):
            return lambda service: named.get(service.name, [])
        return lambda service: candidates.get(service.name, []) if self._is_for(service, candidates, told) else []

    def _named(self, candidates: dict[str, list[Setting]], sure: set[str]) -> dict[str, list[Setting]]:
        """Of services that load one file, those whose own source names the variables; empty where no source is seen.

        Of those that are only an image, the ones in ``sure`` count, and those that wait for a server of the project.
        """
        wanted = frozenset(s.name or "" for settings in candidates.values() for s in settings)
        found: dict[str, list[Setting]] = {}
        in_source = False
        for name, settings in candidates.items():
            service = self.source.project.services[name]
            seen = programs.mentioned(service, wanted, self.source.reader, self.source.home)
            in_source = in_source or bool(seen)
            if seen is not None:
                kept = [s for s in settings if s.name in seen]
            else:
                kept = settings if name in sure or set(service.depends_on) & set(self.land.servers) else []
            if kept:
                found[name] = kept
        return found if in_source else {}

    def _is_for(self, service: Service, candidates: dict[str, list[Setting]], told: frozenset[str]) -> bool:
        """Of services that load one file, it is for those that need Ollama, else those that ask no other of them."""
        sharing = [self.source.project.services[name] for name in candidates]
        direct = [s.name for s in sharing if set(s.depends_on) & set(self.land.servers) or s.name in told]
        if direct:
            return service.name in direct
        return not any(
            name in candidates and edge.get("condition") != "service_completed_successfully"
            for name, edge in service.depends_on.items()
        )


def _same_program(one: Service, other: Service) -> bool:
    """Whether two services run the same image, or are built alike: what one reads, the other reads."""
    build = one.raw.get("build")
    return one.name == other.name or (
        (bool(one.image) and one.image == other.image) or (bool(build) and build == other.raw.get("build"))
    )


def _reads(app: App | None, service: Service, name: str) -> bool:
    """Whether a variable of a shared file is one for this app; of an image that is not known nobody can tell."""
    return app is None or app.role != "app" or not service.image or name in app.env

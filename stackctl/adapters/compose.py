"""Docker Compose, for one docker client and context.

It runs by :mod:`~stackctl.adapters.process`, because python-on-whales hands over neither an environment of Compose's
own (secrets travel there), nor its standard error line by line, nor a timeout; and it cannot ask for hashes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from stackctl.adapters import enginefail, plugin, process
from stackctl.adapters.enginefail import READ_TIMEOUT, compose_error
from stackctl.errors import EngineUnusable
from stackctl.ports import Completed, ComposeCall

OUTPUT_LIMIT = 64 << 20


class Compose:
    """``docker`` is the client with its context; ``say`` is told each command."""

    def __init__(self, docker: Sequence[str], context: str | None, say: Callable[[str], None]) -> None:
        self._docker, self._context, self._say = list(docker), context, say
        self.meanwhile: Callable[[], None] | None = None
        """Called once, while the next project is read."""

    def run(
        self,
        call: ComposeCall,
        arguments: Sequence[str],
        *,
        timeout: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run ``docker compose … ARGUMENTS`` to its end in the project's directory."""
        return self._run([*self._argv(call), *arguments], call.variables, str(call.directory), timeout, on_line)

    def attach(self, call: ComposeCall, arguments: Sequence[str]) -> Completed:
        """The same on our terminal."""
        argv = [*self._argv(call), *arguments]
        self._say(process.shown(argv[1:]))
        return enginefail.started(lambda: process.attach(argv, variables=call.variables, cwd=str(call.directory)))

    def version(self) -> str:
        """Its version; raises :class:`EngineUnusable` where it is absent or too old."""
        done = self._ask([*self._docker, "compose", "version", "--short"], {}, None)
        if done.code:
            raise EngineUnusable(f"Docker Compose does not run: {done.error_text.strip()}")
        enginefail.check_compose(done.text.strip())
        return done.text.strip().lstrip("v")

    def config(
        self,
        call: ComposeCall,
        *,
        all_profiles: bool = False,
        unchecked: bool = False,
        on_warnings: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """The resolved project; raises :class:`ComposeFileError` in Compose's words."""
        chosen = replace(call, profiles=("*",)) if all_profiles else call
        options = ["--no-consistency"] if unchecked else []
        done = self._read(chosen, [*options, "--format", "json"])
        (on_warnings or self._say)(done.error_text.strip())
        result: dict[str, Any] = json.loads(done.text)
        return result

    def hashes(self, call: ComposeCall) -> dict[str, str]:
        """Each active service and its hash; raises as :meth:`config` does."""
        done = self._read(call, ["--hash", "*"])
        return {name: digest for name, _, digest in (line.partition(" ") for line in done.text.splitlines()) if digest}

    def _read(self, call: ComposeCall, options: Sequence[str]) -> Completed:
        meanwhile, self.meanwhile = self.meanwhile, None
        done = self._ask([*self._argv(call), "config", *options], call.variables, str(call.directory), meanwhile)
        if done.code:
            raise compose_error(done)
        return done

    def _ask(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str],
        where: str | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Completed:
        """A question that needs no engine, by Compose's own program where that does the same."""
        if self._plugin is None:
            return self._run(argv, variables, where, READ_TIMEOUT, meanwhile=meanwhile)
        origin = {plugin.STARTED_BY: argv[0]}
        return self._run([self._plugin, *argv[1:]], {**variables, **origin}, where, READ_TIMEOUT, meanwhile=meanwhile)

    def _run(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str],
        where: str | None,
        timeout: float | None,
        on_line: Callable[[str], None] | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Completed:
        self._say(process.shown(argv[1:]))
        done = enginefail.started(
            lambda: process.run(
                argv,
                timeout=timeout,
                variables=variables,
                cwd=where,
                limit=OUTPUT_LIMIT,
                on_line=on_line,
                meanwhile=meanwhile,
            )
        )
        if done.code and (reason := enginefail.classify(done.error_text)):
            raise reason
        return done

    @cached_property
    def _plugin(self) -> str | None:
        return None if self._context else plugin.find(self._docker[0])

    def _argv(self, call: ComposeCall) -> list[str]:
        argv = [*self._docker, "compose"]
        if call.project:
            argv += ["--project-name", call.project]
        argv += ["--project-directory", str(call.directory)]
        for flag, values in (("--file", call.files), ("--env-file", call.env_files), ("--profile", call.profiles)):
            for value in values:
                argv += [flag, value]
        return argv

"""Reading a project that stackctl does not know yet: which files, what Compose makes of them, and their texts."""

from __future__ import annotations

import threading
from typing import Any

from stackctl.commands.adoption.given import Given
from stackctl.commands.adoption.running import containers_of, profiles_started
from stackctl.commands.context.compose_files import FileReader
from stackctl.commands.context.compose_reading import active_services, blame, whole_config
from stackctl.commands.context.session import Session
from stackctl.errors import ComposeFileError
from stackctl.ports import Container
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.source import Source


class Reading:
    """A project being resolved by Compose, while this process goes on with what does not need the answer.

    Once :meth:`source` has come back, ``containers`` are the project's, and ``started`` the profiles that they tell.
    """

    def __init__(self, session: Session, project: Given) -> None:
        self._session, self._call = session, project.call
        self.reader = FileReader(session.files)
        self.variables = project.variables
        self.files = project.call.files
        self.containers: list[Container] = []
        self.started: tuple[str, ...] = ()
        self._answer: dict[str, Any] | BaseException | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._session.engine.compose_version()
            self._answer = whole_config(self._session.engine, self._call)
        except BaseException as error:  # noqa: BLE001  (raised again where the answer is waited for)
            self._answer = error

    def source(self) -> Source:
        """The resolved project, and the way to its texts.

        Raises :class:`ComposeFileError` in Compose's own words where Compose refuses it,
        :class:`EngineUnusable` where there is no Compose, or one that `up` would refuse.
        """
        self._thread.join()
        if isinstance(self._answer, ComposeFileError):
            blame(self._session, self.files, self._answer)
        if not isinstance(self._answer, dict):
            raise self._answer or RuntimeError("Compose gave no answer")
        active = active_services(self._answer, self._call.profiles)
        self.containers = containers_of(self._session, str(self._answer.get("name") or ""))
        self.started = profiles_started(self._answer, active, self.containers)
        if self.started:
            active = active_services(self._answer, (*self._call.profiles, *self.started))
        project = ComposeProject.from_config(self._answer, directory=str(self._call.directory), active=active)
        home = str(self._session.directory)
        return Source(project, self.files, self.reader, home, self.variables, self._session.names.is_own)

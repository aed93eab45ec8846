"""Acting on containers, networks, volumes and images.

The only module that imports python-on-whales, and only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from stackctl.adapters.enginefail import classify, last_line, says_gone
from stackctl.errors import StepFailed

if TYPE_CHECKING:
    from python_on_whales import DockerClient


class Whales:
    """The client for one ``docker`` program and context; ``say`` is told what is done."""

    def __init__(self, program: str, context: str | None, say: Callable[[str], None]) -> None:
        self._program, self._context, self._say = program, context, say

    @cached_property
    def _client(self) -> DockerClient:
        from python_on_whales import DockerClient  # noqa: PLC0415  (0.2 s)

        return DockerClient(context=self._context, client_call=[self._program], client_type="docker")

    def load(self) -> None:
        """Import what :meth:`act` needs."""
        import python_on_whales  # noqa: F401, PLC0415  (0.2 s)

    def act(self, action: Callable[[DockerClient], object], doing: str) -> None:
        """Do it; what is gone already is fine. Raises ``EngineUnusable`` or :class:`StepFailed`."""
        from python_on_whales.exceptions import DockerException  # noqa: PLC0415  (0.2 s)

        self._say(f"# {doing}")
        try:
            action(self._client)
        except DockerException as error:
            # Its subclasses are guessed from words in stderr, so the words are judged here.
            text = error.stderr or ""
            if says_gone(text):
                return
            raise classify(text) or StepFailed(f"cannot {doing}: {last_line(text)}") from None

    def import_image(self, archive: bytes, reference: str, labels: Mapping[str, str]) -> None:
        """``docker import`` of a tar archive; raises as :meth:`act` does."""
        changes = [f"LABEL {key}={value}" for key, value in labels.items()]
        with NamedTemporaryFile(prefix="stackctl-", suffix=".tar") as file:  # it is imported from a file only
            file.write(archive)
            file.flush()
            self.act(lambda d: d.image.import_(file.name, reference, changes), f"import {reference}")

"""What ``host-setup`` and ``host-check`` need of the machine that they run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stackctl.ports import Completed


class ServerHost(Protocol):
    """Files, programs and identity of this machine; :class:`stackctl.adapters.host.SystemHost` is the real one."""

    def is_root(self) -> bool:
        """Whether this process may do everything."""

    def which(self, program: str) -> str | None:
        """Where a program is; None where it is not."""

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a program; code 127 where there is none of that name."""

    def exists(self, path: str) -> bool:
        """Whether there is such a path."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""

    def mode(self, path: str) -> int | None:
        """Permission bits of a file, or None."""

    def write(self, path: str, data: bytes, mode: int) -> None:
        """Write by rename, directories made where they are missing; raises ``StepFailed``."""

    def remove(self, path: str) -> None:
        """Remove a file or a tree, if it exists."""

    def remove_empty(self, directory: str) -> None:
        """Remove a directory if it is empty."""

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted; empty where there is none."""

    def addresses(self) -> list[str]:
        """This machine's own addresses."""

    def source_towards(self, host: str) -> str | None:
        """The address that this machine would use to reach ``host``; None where there is no way. Sends nothing."""

"""This machine as the host of an Ollama server: its files, programs and addresses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stackctl.adapters.process import run
from stackctl.errors import StepFailed
from stackctl.ports import Completed

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class SystemHost:
    """Files, programs and identity of this machine."""

    def is_root(self) -> bool:
        """Whether this process may do everything."""
        return os.geteuid() == 0

    def which(self, program: str) -> str | None:
        """Where a program is, the administrator's directories included; None where it is not."""
        return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a program in the C locale; code 127 where there is none of that name."""
        found = self.which(argv[0])
        if found is None:
            return Completed(127, b"", f"{argv[0]}: not found".encode())
        try:
            # Anything that would ask a question or page its output must not.
            quiet = {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", "DEBIAN_FRONTEND": "noninteractive"}
            return run([found, *argv[1:]], timeout=timeout, variables=quiet)
        except OSError as error:
            return Completed(126, b"", f"{argv[0]}: {error.strerror}".encode())

    def exists(self, path: str) -> bool:
        """Whether there is such a path."""
        return Path(path).exists()

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None where there is none or it may not be read."""
        try:
            return Path(path).read_bytes()
        except OSError:
            return None

    def mode(self, path: str) -> int | None:
        """Permission bits of a file, or None where there is none."""
        try:
            return Path(path).stat().st_mode & 0o7777
        except OSError:
            return None

    def write(self, path: str, data: bytes, mode: int) -> None:
        """Write a file by rename, its directories made where they are missing; raises ``StepFailed``."""
        target = Path(path)
        fresh = target.with_name(f".{target.name}.stackctl")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.chmod(mode)
            fresh.replace(target)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise StepFailed(f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {target.parent}") from None

    def remove(self, path: str) -> None:
        """Remove a file or a directory tree; nothing when it is gone."""
        target = Path(path)
        try:
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        except OSError as error:
            raise StepFailed(f"{path} cannot be removed: {error.strerror}", hint=f"rm {path}") from None

    def remove_empty(self, directory: str) -> None:
        """Remove a directory that holds nothing; one that holds something stays."""
        with contextlib.suppress(OSError):
            Path(directory).rmdir()

    def names(self, directory: str) -> list[str]:
        """Names of the files in a directory, sorted; empty where there is none or it may not be read."""
        try:
            return sorted(entry.name for entry in Path(directory).iterdir() if entry.is_file())
        except OSError:
            return []

    def interfaces(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Network interfaces, each with its addresses as ``ip`` has them; empty where there is no ``ip``."""
        try:
            entries = json.loads(self.run(["ip", "-json", "address"], timeout=10).text or "[]")
        except ValueError:
            return []
        return [(e.get("ifname", ""), [a for a in e.get("addr_info", []) if "local" in a]) for e in entries]

    def addresses(self) -> list[str]:
        """This machine's own addresses."""
        return [address["local"] for _, addresses in self.interfaces() for address in addresses]

    def source_towards(self, host: str) -> str | None:
        """The address that this machine would use to reach ``host``: connecting a datagram socket sends nothing."""
        try:
            found = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)
        except OSError:
            return None
        for family, kind, protocol, _, address in found:
            try:
                with socket.socket(family, kind, protocol) as probe:
                    probe.connect(address)
                    return str(probe.getsockname()[0]).partition("%")[0]
            except OSError:
                continue
        return None

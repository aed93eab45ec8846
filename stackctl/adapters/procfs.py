"""Listening sockets and processes of this machine, and which process holds which socket, from ``/proc``."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path

from stackctl.hostsetup.observed import HeldSocket, Process
from stackctl.sockets import Listening, parse_proc_net_tcp

# Only these variables of a process are read: others may hold secrets.
_VARIABLE = re.compile(r"^(?:OLLAMA|CUDA|HIP|ROCR|HSA|GGML|LLAMA_ARG)_|^HOME$")
_CONTAINER = re.compile(r"\b([0-9a-f]{64})\b")


def sockets() -> list[Listening]:
    """Listening TCP sockets of this network namespace."""
    found: list[Listening] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            found += parse_proc_net_tcp(Path(table).read_text(encoding="ascii"))
        except OSError:
            continue
    return found


def processes(*, containers: bool) -> dict[int, Process]:
    """Processes of this network namespace by their ID; with ``containers``, Ollamas in those of this machine too."""
    own, home = _link("/proc/self/ns/net"), _container(Path("/proc/self"))
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        process = _process(entry, home)
        if process is None:
            continue
        if _link(f"{entry}/ns/net") in (own, "") or (containers and process.container and process.serves_ollama):
            found[process.pid] = process
    return found


def _container(entry: Path) -> str:
    """The ID of the container that a process runs in, by its control group; empty outside of any."""
    try:
        match = _CONTAINER.search((entry / "cgroup").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return match[1] if match else ""


def _process(entry: Path, home: str) -> Process | None:
    """One process; where we run in a container ourselves (``home``), it does not count as a container."""
    try:
        argv = tuple(a.decode("utf-8", "replace") for a in (entry / "cmdline").read_bytes().split(b"\0")[:-1])
        name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
        uid = entry.stat().st_uid
    except OSError:
        return None
    executable, container = _link(f"{entry}/exe"), _container(entry)
    return Process(
        pid=int(entry.name),
        name=name,
        argv=argv,
        executable=executable.removesuffix(" (deleted)"),
        user=_user(uid),
        environment=_environment(entry),
        container="" if container == home else container,
        deleted=executable.endswith(" (deleted)"),
    )


def _environment(entry: Path) -> dict[str, str] | None:
    try:
        data = (entry / "environ").read_bytes()
    except OSError:
        return None
    pairs = (item.decode("utf-8", "replace").partition("=") for item in data.split(b"\0") if item)
    return {name: value for name, _, value in pairs if _VARIABLE.match(name)}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  (namespaces are links to no path)
    except OSError:
        return ""


def with_holders(listening: Iterable[Listening], running: dict[int, Process]) -> list[HeldSocket]:
    """Sockets with the process that holds each: by the file descriptors under /proc, root's to see."""
    wanted = {f"socket:[{socket.inode}]": socket for socket in listening}
    holders: dict[Listening, Process] = {}
    for pid, process in running.items():
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  (names alone are needed, and there are many)
        except OSError:
            continue
        for descriptor in descriptors:
            socket = wanted.get(_link(f"/proc/{pid}/fd/{descriptor}"))
            if socket is not None and (socket not in holders or pid < holders[socket].pid):
                holders[socket] = process
    return [HeldSocket(socket, holders.get(socket)) for socket in sorted(wanted.values())]

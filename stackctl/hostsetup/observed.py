"""What was read from a machine, as plain values, not judged. ``None`` means that it could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.hostsetup.units import UnitFile
from stackctl.sockets import Listening


@dataclass(frozen=True)
class Process:
    """A process. ``environment`` is None where it may not be read. ``container`` is the ID of the one it runs in."""

    pid: int
    name: str
    argv: tuple[str, ...] = ()
    executable: str = ""
    user: str = ""
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    container: str = ""
    deleted: bool = False
    """The program's file was replaced since it was started."""

    @property
    def serves_ollama(self) -> bool:
        """Whether this is ``ollama serve``, as a program or as a script of that name."""
        words = [word.rpartition("/")[2] for word in self.argv]
        verb = next((i for i, word in enumerate(words) if i and word in ("serve", "start")), 0)
        return any(word in ("ollama", "ollama_double") for word in words[:verb])


@dataclass(frozen=True)
class HeldSocket:
    """A listening socket and who holds it; ``process`` is None where that may not be seen."""

    socket: Listening
    process: Process | None = None


@dataclass(frozen=True)
class Device:
    """A network interface with its addresses, ``ADDRESS/LENGTH``."""

    name: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Firewall:
    """Output of the firewall programs; None where one is missing or may not be run."""

    ufw_enabled: bool | None = None
    firewalld_running: bool | None = None
    iptables: str | None = None
    ip6tables: str | None = None
    nft: str | None = None


@dataclass(frozen=True)
class Gpus:
    """GPUs that the machine has. ``pci`` are vendor IDs of display devices, such as ``0x10de``.

    ``nvidia_smi`` is ``(exit code, text)``; ``nodes`` are device files that are
    there, of those that matter; ``log`` are Ollama's own lines about GPUs.
    """

    pci: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    nvidia_smi: tuple[int, str] | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disk:
    """The file system that holds the models; sizes in bytes."""

    path: str
    total: int
    free: int


@dataclass(frozen=True)
class HostObserved:
    """Everything that ``host-check`` looked at.

    ``properties`` are those of ``systemctl show ollama.service``; ``files`` the
    unit and its drop-ins in the order of reading; ``journal`` the last lines of
    the unit's log. ``running_version`` is what the server says, ``greeting``
    the first bytes that it answers with.
    """

    port: int
    root: bool
    listeners: tuple[HeldSocket, ...] = ()
    processes: tuple[Process, ...] = ()
    devices: tuple[Device, ...] = ()
    v6_only: bool = False
    properties: Mapping[str, str] | None = None
    files: tuple[UnitFile, ...] = ()
    journal: str = ""
    snap: bool = False
    firewall: Firewall = Firewall()
    gpus: Gpus = Gpus()
    disk: Disk | None = None
    greeting: str | None = None
    running_version: str = ""
    installed_version: str = ""

    @property
    def on_port(self) -> tuple[HeldSocket, ...]:
        """Listeners on the port in question."""
        return tuple(listener for listener in self.listeners if listener.socket.port == self.port)

    @property
    def servers(self) -> tuple[Process, ...]:
        """Every Ollama server that runs, in containers too."""
        return tuple(process for process in self.processes if process.serves_ollama)

    @property
    def server(self) -> Process | None:
        """The Ollama that holds the port, or else the one outside containers."""
        for listener in self.on_port:
            if listener.process and listener.process.serves_ollama:
                return listener.process
        outside = [process for process in self.servers if not process.container]
        return outside[0] if outside else None

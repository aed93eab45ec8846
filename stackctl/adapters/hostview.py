"""Facts about the engine's host, where that is this machine: read, never changed.

They come from files of the kernel and from commands that list; what may not be read stays
unknown. Root sees more than a user: firewall rules, and processes of others.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TypeVar

from stackctl.adapters import procfs
from stackctl.adapters.clientsettings import client_settings
from stackctl.adapters.host import SystemHost
from stackctl.adapters.hostnames import SystemNames
from stackctl.adapters.ollamahost import unit_files
from stackctl.config.url import OllamaUrl, host_port
from stackctl.diagnose.scene import HostFacts, HostTry, ListeningSocket
from stackctl.diagnose.signs.board import STANDARD_PORT
from stackctl.hostsetup.observed import Process
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import OllamaError
from stackctl.ollama.server import Server

T = TypeVar("T")
PATIENCE = 4.5
"""Seconds for a name or a connection tried from the host."""
_OF_IPTABLES = r"table ip6? (?:nat|filter|mangle|raw|security) "
_BINARIES = ("/usr/local/bin/ollama", "/usr/bin/ollama", "/bin/ollama")
_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def look(names: Sequence[str], tries: Sequence[tuple[str, int]], servers: Sequence[tuple[str, int]] = ()) -> HostFacts:
    """Collect the facts in at most about 4.5 s.

    ``names`` are resolved and ``tries`` connected to from here; ``servers`` are asked for their models.
    """
    pool = ThreadPoolExecutor(max_workers=16)
    try:
        resolved = {n: pool.submit(_resolve, n) for n in names}
        tried = {t: pool.submit(_try, *t) for t in tries}
        rules = pool.submit(_rules)
        journal = pool.submit(_journal)
        running = procfs.processes(containers=False)
        listeners = tuple(
            ListeningSocket(held.socket.address, held.socket.port, held.process.name if held.process else "")
            for held in procfs.with_holders(procfs.sockets(), running)
        )
        own = [("127.0.0.1", STANDARD_PORT), *(("127.0.0.1", x.port) for x in listeners if "ollama" in x.process)]
        asked = list(dict.fromkeys([*own, *servers]))[:8]
        models = [pool.submit(_models, *server) for server in asked]
        files = unit_files(SystemHost(), None)
        unit = next((file.path for file in files if not file.drop_in), "")
        store = next((p for p in _STORES if Path(p).is_file()), "")
        out = HostFacts(
            known=True,
            listeners=listeners,
            addresses=_addresses(),
            rules=rules.result(),
            resolver=_text("/etc/resolv.conf"),
            ip_forward=_flag("/proc/sys/net/ipv4/ip_forward"),
            bindv6only=_flag("/proc/sys/net/ipv6/bindv6only"),
            names={n: _in_time(f, ()) for n, f in resolved.items()},
            tries={t: _in_time(f, HostTry("TIMEOUT", PATIENCE * 1000)) for t, f in tried.items()},
            neighbours=_neighbours(),
            unit={file.path: file.text for file in files} if unit else {},
            unit_time=_mtime(unit) if unit else None,
            binary_time=next((t for p in _BINARIES if (t := _mtime(p))), None),
            process_environment=_process_environment(running.values()),
            daemon=_daemon(running.values()),
            client_config=_json(str(client_settings() / "config.json")),
            kernel=os.uname().release,
            boot_time=_boot_time(),
            devices=tuple(
                str(p) for pattern in ("nvidia*", "kfd", "dri/render*") for p in sorted(Path("/dev").glob(pattern))
            ),
            snaps=tuple(p.name for p in Path("/snap").glob("*") if p.name in ("ollama", "docker")),
            journal=journal.result(),
            models={k: v for future in models for k, v in future.result().items()},
            egress_mtu=_egress_mtu(),
            trust=_text(store, 1 << 20),
            trust_path=store,
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return out


def _in_time(future: Future[T], otherwise: T) -> T:
    """The result, or ``otherwise`` where it takes too long: a resolver that hangs must not hold up the diagnosis."""
    try:
        return future.result(PATIENCE)
    except FutureTimeout:
        return otherwise


def _text(path: str, limit: int = 1 << 16) -> str:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def _flag(path: str) -> bool | None:
    text = _text(path).strip()
    return text == "1" if text else None


def _mtime(path: str) -> float | None:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return None


def _json(path: str) -> dict[str, object]:
    try:
        value = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _rules() -> str | None:
    if os.geteuid() != 0:
        return None
    found, native = _said("iptables-save"), _said("nft", "list", "ruleset")
    if found is None or not native:
        return native if found is None else found
    tables = re.findall(r"(?ms)^table [^{]+\{.*?^\}", native)
    return found + "".join(t + "\n" for t in tables if not re.match(_OF_IPTABLES, t))


def _journal() -> str:
    if not Path("/run/systemd/system").is_dir():
        return _text("/run/log/ollama.log")
    return _said("journalctl", "-u", "ollama", "-n", "80", "--no-pager", "-q") or ""


def _process_environment(running: Iterable[Process]) -> dict[str, str]:
    """Of the process called ``ollama`` in this network namespace, where it may be read."""
    found = next((p.environment for p in running if p.name == "ollama" and p.environment is not None), {})
    return {name: value for name, value in found.items() if name.startswith("OLLAMA_")}


def _said(*argv: str) -> str | None:
    """What a listing command printed, or None where it failed or is not there."""
    done = SystemHost().run(argv, timeout=3.0)
    return done.text[: 1 << 20] if done.code == 0 else None


def _addresses() -> tuple[str, ...]:
    """Local addresses: those that the kernel's tree marks ``host LOCAL``, and IPv6 ones."""
    found, last = [], ""
    for line in _text("/proc/net/fib_trie", 1 << 20).splitlines():
        if match := re.search(r"\|-- (\S+)", line):
            last = match[1]
        elif "host LOCAL" in line and last and not last.startswith("127."):
            found.append(last)
    for line in _text("/proc/net/if_inet6").splitlines():
        address = str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
        if address != "::1" and not address.startswith("fe80"):
            found.append(address)
    return tuple(dict.fromkeys(found))


def _neighbours() -> dict[str, str]:
    found = {}
    for line in (_said("ip", "neigh", "show") or "").splitlines():
        fields = line.split()
        if fields:
            found[fields[0]] = fields[-1]
    return found


def _resolve(name: str) -> tuple[str, ...]:
    return tuple(SystemNames().resolve(name))


def _try(address: str, port: int) -> HostTry:
    start = time.monotonic()
    error = ""
    try:
        with socket.create_connection((address, port), timeout=4.0):
            pass
    except TimeoutError:
        error = "TIMEOUT"
    except OSError as failure:
        error = errno.errorcode.get(failure.errno or 0, type(failure).__name__)
    return HostTry(error, (time.monotonic() - start) * 1000)


def _daemon(running: Iterable[Process]) -> dict[str, object]:
    """The daemon's configuration: the file that its command line names, and its flags."""
    path, flags = "/etc/docker/daemon.json", {}
    argv = next((process.argv for process in running if process.name == "dockerd"), ())
    for word, following in zip(argv, (*argv[1:], ""), strict=True):
        name, equals, value = word.partition("=")
        if name == "--config-file":
            path = value if equals else following
        if name == "--iptables" and value == "false":
            flags["iptables"] = False
    return {**_json(path), **flags}


def _boot_time() -> float | None:
    match = re.search(r"(?m)^btime (\d+)", _text("/proc/stat", 1 << 20))
    return float(match[1]) if match else None


def _egress_mtu() -> int | None:
    """MTU of the interface of the default route, else the smallest of the physical ones."""
    for line in _text("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[1] == "00000000":
            text = _text(f"/sys/class/net/{fields[0]}/mtu").strip()
            return int(text) if text.isdigit() else None
    return None


def _models(address: str, port: int) -> dict[str, tuple[str, ...]]:
    """Models of an Ollama of this machine, or of a container on it, where one answers within half a second."""
    at = host_port(address, port)
    try:
        with OllamaClient(Server(at, OllamaUrl("http", address, port), timeout=0.5)) as client:
            names = tuple(model.name for model in client.tags())
    except OllamaError:
        return {}
    return {at: names} if names else {}

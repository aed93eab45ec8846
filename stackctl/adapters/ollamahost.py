"""Collects what ``host-check`` judges about this machine. Judges nothing itself; what cannot be read is None."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from stackctl.adapters import procfs
from stackctl.adapters.host import SystemHost
from stackctl.config.url import host_port
from stackctl.hostsetup.observed import Device, Disk, Firewall, Gpus, HeldSocket, HostObserved, Process
from stackctl.hostsetup.units import UnitFile, environment_of
from stackctl.sockets import is_wildcard

UNIT = "ollama.service"
# In the order in which systemd looks (systemd.unit(5)).
UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NeedDaemonReload",
    "MainPID",
    "FragmentPath",
    "DropInPaths",
    "UnitFileState",
    "InvocationID",
    "User",
)
_GPU_LINE = re.compile(
    r"inference compute|no compatible GPUs|driver too old|GPU discovery|dropping (?:ROCm|integrated)"
)
_GPU_NODES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/kfd", "/dev/dri/renderD128")


def observe(port: int) -> HostObserved:
    """Everything that the checks need, for the Ollama on ``port``."""
    host = SystemHost()
    properties = _properties(host)
    files = unit_files(host, properties)
    processes = procfs.processes(containers=True)
    listeners = procfs.with_holders(procfs.sockets(), processes)
    held = [listener for listener in listeners if listener.socket.port == port]
    servers = [process for process in processes.values() if process.serves_ollama]
    journal = _journal(host, properties)
    base = _base_url(held)
    return HostObserved(
        port=port,
        root=host.is_root(),
        listeners=tuple(listeners),
        processes=tuple(servers),
        devices=_devices(host),
        v6_only=(host.read("/proc/sys/net/ipv6/bindv6only") or b"0").strip() == b"1",
        properties=properties,
        files=files,
        journal="\n".join(journal[-50:]),
        snap=host.exists("/snap/ollama"),
        firewall=_firewall(host),
        gpus=_gpus(host, journal),
        disk=_disk(servers, files),
        greeting=_get(base, "/") if base else None,
        running_version=_running_version(base) if base else "",
        installed_version=_installed_version(host),
    )


def observe_network(port: int) -> HostObserved:
    """Only what the firewall's answer depends on: devices and rules."""
    host = SystemHost()
    return HostObserved(port=port, root=host.is_root(), devices=_devices(host), firewall=_firewall(host))


def _properties(host: SystemHost) -> dict[str, str] | None:
    done = host.run(["systemctl", "show", UNIT, "--property", ",".join(PROPERTIES)], timeout=10)
    if done.code != 0:
        return None
    return dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)


def unit_files(host: SystemHost, properties: dict[str, str] | None) -> tuple[UnitFile, ...]:
    """The unit and its drop-ins, as systemd has read them or would find them now."""
    own = (properties or {}).get("FragmentPath") or ""
    own = own or next((f"{d}/{UNIT}" for d in UNIT_DIRECTORIES if host.exists(f"{d}/{UNIT}")), "")
    # systemd lists the drop-ins that it has read; one that was written since matters too.
    drop_ins = {path.rpartition("/")[2]: path for path in (properties or {}).get("DropInPaths", "").split()}
    for directory in UNIT_DIRECTORIES:
        for entry in sorted(Path(f"{directory}/{UNIT}.d").glob("*.conf")):
            drop_ins.setdefault(entry.name, str(entry))
    paths = [(own, False)] if own else []
    paths += [(drop_ins[name], True) for name in sorted(drop_ins)]
    found = []
    for path, drop_in in paths:
        data = host.read(path)
        if data is not None:
            found.append(UnitFile(path, data.decode("utf-8", "replace"), drop_in))
    return tuple(found)


def _devices(host: SystemHost) -> tuple[Device, ...]:
    return tuple(
        Device(name, tuple(f"{a['local']}/{a['prefixlen']}" for a in addresses))
        for name, addresses in host.interfaces()
    )


def _journal(host: SystemHost, properties: dict[str, str] | None) -> list[str]:
    if not properties:
        return []
    run = properties.get("InvocationID")
    which = [f"_SYSTEMD_INVOCATION_ID={run}"] if run else ["--unit", UNIT]
    done = host.run(["journalctl", *which, "--no-pager", "--output=cat", "--lines=4000"], timeout=15)
    return done.text.splitlines() if done.code == 0 else []


def _firewall(host: SystemHost) -> Firewall:
    conf = host.read("/etc/ufw/ufw.conf")
    state = host.run(["firewall-cmd", "--state"], timeout=15)
    return Firewall(
        ufw_enabled=None if conf is None or not host.which("ufw") else b"\nENABLED=yes" in b"\n" + conf,
        firewalld_running=None if state.code == 127 else state.text.strip() == "running",
        iptables=_said(host, "iptables-save", "-t", "filter"),
        ip6tables=_said(host, "ip6tables-save", "-t", "filter"),
        nft=_said(host, "nft", "--json", "list", "ruleset"),
    )


def _said(host: SystemHost, *argv: str) -> str | None:
    done = host.run(argv, timeout=15)
    return done.text if done.code == 0 else None


def _gpus(host: SystemHost, journal: Iterable[str]) -> Gpus:
    vendors = []
    for device in Path("/sys/bus/pci/devices").glob("*"):
        kind = (host.read(f"{device}/class") or b"").strip()
        if kind.startswith((b"0x03", b"0x1200")):
            vendors.append((host.read(f"{device}/vendor") or b"").strip().decode("ascii", "replace"))
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    smi = host.run(query, timeout=20) if host.which("nvidia-smi") else None
    return Gpus(
        pci=tuple(sorted(vendors)),
        nodes=tuple(node for node in _GPU_NODES if host.exists(node)),
        nvidia_smi=None if smi is None else (smi.code, smi.text + smi.error_text),
        log=tuple(line for line in journal if _GPU_LINE.search(line)),
    )


def _disk(servers: Iterable[Process], files: Iterable[UnitFile]) -> Disk | None:
    outside = [process for process in servers if not process.container and process.environment is not None]
    wanted = ""
    if outside:
        environment = outside[0].environment or {}
        wanted = environment.get("OLLAMA_MODELS") or f"{environment.get('HOME', '/root')}/.ollama/models"
    elif setting := environment_of(files).get("OLLAMA_MODELS"):
        wanted = setting.value
    path = Path(wanted or "/usr/share/ollama/.ollama/models")
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return Disk(wanted or str(path), usage.total, usage.free)


def _base_url(held: Iterable[HeldSocket]) -> str:
    for listener in held:
        address = listener.socket.address
        if is_wildcard(address):
            address = "127.0.0.1"
        return f"http://{host_port(address, listener.socket.port)}"
    return ""


def _get(base: str, path: str) -> str | None:
    """``HTTP STATUS FIRST-BYTES`` of an answer; None where there is no valid HTTP answer."""
    import httpx  # noqa: PLC0415

    try:
        # Proxy settings of the environment must not apply to this machine itself.
        with httpx.Client(trust_env=False, timeout=3.0) as client, client.stream("GET", base + path) as answer:
            start = next(answer.iter_bytes(2048), b"")
            return f"HTTP {answer.status_code} {start.decode('utf-8', 'replace')}"
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def _running_version(base: str) -> str:
    answer = _get(base, "/api/version") or ""
    match = re.search(r'"version"\s*:\s*"([^"]{1,64})"', answer)
    return match[1] if match and answer.startswith("HTTP 200") else ""


def _installed_version(host: SystemHost) -> str:
    if not host.which("ollama"):
        return ""
    done = host.run(["ollama", "--version"], timeout=10)
    said = done.text + done.error_text
    match = re.search(r"client version is (\S+)", said) or re.search(r"version is (\S+)", said)
    return match[1] if match else ""

"""Save what the judgement is given, and what it finds, while stackctl runs: the scenes of ``tests/diagnose/saved``.

As a program it stands in for ``python -m stackctl`` (with arguments) and for
the worker of ``tests/support/inprocess.py`` (without). A scene is written where
``FAULT_LAB_SCENE`` says, without what belongs to this machine.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stackctl.config.url import OllamaUrl
from stackctl.diagnose import judgement, x509
from stackctl.diagnose.answers import ProbeAnswers
from stackctl.diagnose.judgement import Judgement
from stackctl.diagnose.saved import SavedScene, to_json
from stackctl.diagnose.scene import Scene
from stackctl.ports import Container

_KEPT: dict[str, tuple[str, ...]] = {
    "": (
        "Id",
        "Name",
        "Created",
        "State",
        "RestartCount",
        "Image",
        "HostConfig",
        "Config",
        "NetworkSettings",
        "Mounts",
    ),
    "State": ("Status", "ExitCode", "OOMKilled", "Error", "StartedAt", "FinishedAt", "Health"),
    "HostConfig": (
        *("NetworkMode", "RestartPolicy", "ExtraHosts", "Memory", "PidsLimit"),
        *("DeviceRequests", "Devices", "Runtime"),
    ),
    "Config": ("Labels", "Env", "Image", "Hostname"),
    "NetworkSettings": ("Ports", "Networks"),
}
_LABELS = ("com.docker.compose.project", "com.docker.compose.service", "io.stackctl.role")
_NETWORK = ("Name", "Driver", "Internal", "IPAM", "Labels")
_UNREAD = ("/proc/net/ipv6_route", "/proc/sys/net/ipv4/ip_forward")
_ENDPOINT = ("IPAddress", "GlobalIPv6Address", "Gateway", "DNSNames", "Aliases")


def keep() -> None:
    """Let each judgement be saved where ``FAULT_LAB_SCENE`` says, if it says anything."""
    original = judgement.judge_scene

    def judge_and_save(scene: Scene, meant: Mapping[str, OllamaUrl]) -> Judgement:
        judged = original(scene, meant)
        if path := os.environ.get("FAULT_LAB_SCENE"):
            saved = SavedScene(_lean(scene), meant)
            _write(Path(path), saved, judged)
        return judged

    judgement.judge_scene = judge_and_save


def _write(path: Path, saved: SavedScene, judged: Judgement) -> None:
    """One scene and what is found in it; the lab's own directory is called ``/lab`` in it."""
    found = [{**f.as_json(), "fix": f.remedy.fix} for f in judged.findings]
    text = json.dumps({"input": to_json(saved), "findings": found}, ensure_ascii=False, separators=(",", ":"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(re.sub(re.escape(os.environ["HOME"]) + r"(?:/stack\d+)?", "/lab", text) + "\n")


def _lean(scene: Scene) -> Scene:
    """The scene without what no judgement reads: this machine's environment, certificates, hardware."""
    info, host = scene.info, scene.host
    if info is not None:
        kept = ("KernelVersion", "DefaultAddressPools", "DockerRootDir", "SecurityOptions")
        raw = {key: info.raw[key] for key in kept if info.raw.get(key)}
        raw["KernelVersion"] = "microsoft" if "microsoft" in str(raw.get("KernelVersion")).lower() else "linux"
        info = replace(info, raw=raw)
    issuers = _issuers(scene)
    return replace(
        scene,
        info=info,
        host=replace(host, trust=_matching(host.trust, issuers), kernel="", process_environment=_ollama(host)),
        containers=tuple(Container(_container(c.raw)) for c in scene.containers),
        others=tuple(Container(_container(c.raw)) for c in scene.others),
        networks=tuple({key: network[key] for key in _NETWORK if key in network} for network in scene.networks),
        seen=_looks(scene.seen),
        further=_looks(scene.further),
        servers=_looks(scene.servers),
        shell={name: scene.shell[name] for name in scene.dotenv if name in scene.shell},
    )


def _ollama(host: Any) -> dict[str, str]:
    return {k: v for k, v in host.process_environment.items() if k.startswith("OLLAMA_")}


def _looks(seen: Mapping[str, ProbeAnswers]) -> dict[str, ProbeAnswers]:
    """What probes saw, without the files that nothing reads and the names that this machine gives itself."""
    return {
        name: replace(one, files={path: _nameless(text) for path, text in one.files.items() if path not in _UNREAD})
        for name, one in seen.items()
    }


def _nameless(text: str) -> str:
    """A file without its lines ``127.0.0.1 NAME``, which only ``localhost`` keeps."""
    return re.sub(r"(?m)^127\.\S+[ \t]+(?!localhost)\S.*\n?", "", text)


def _container(raw: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: raw[key] for key in _KEPT[""] if key in raw}
    for part in ("State", "HostConfig", "Config", "NetworkSettings"):
        inner = out.get(part) or {}
        out[part] = {key: inner[key] for key in _KEPT[part] if inner.get(key) not in (None, "", [], {}, False, 0)}
    if out["HostConfig"].get("NetworkMode") == "host":
        out["Config"].pop("Hostname", None)
    out["Config"]["Labels"] = {k: v for k, v in (out["Config"].get("Labels") or {}).items() if k in _LABELS}
    networks = out["NetworkSettings"].get("Networks") or {}
    out["NetworkSettings"]["Networks"] = {
        name: {key: found[key] for key in _ENDPOINT if found.get(key)} for name, found in networks.items()
    }
    return out


def _issuers(scene: Scene) -> set[bytes]:
    """Raw names of the issuers of every certificate that a server showed."""
    looks = [*scene.seen.values(), *scene.further.values()]
    chains = [s.chain for seen in looks for aim in seen.aims.values() for s in aim.shaken]
    return {found.issuer_raw for chain in chains for der in chain if (found := x509.read(der)) is not None}


def _matching(pem: str, issuers: set[bytes]) -> str:
    """Those CA certificates of a store that issued something in the scene."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    found = [(block, x509.read(ssl.PEM_cert_to_DER_cert(block))) for block in blocks]
    return "\n".join(block for block, one in found if one is not None and one.subject_raw in issuers)


def main() -> None:
    """Run stackctl, or the worker that runs it, with every judgement saved."""
    keep()
    if sys.argv[1:]:
        from stackctl.cli.boundary import run  # noqa: PLC0415  (after the judgement was wrapped)

        sys.exit(run(sys.argv[1:]))
    from tests.support.inprocess import main as answer_jobs  # noqa: PLC0415

    answer_jobs()


if __name__ == "__main__":
    main()

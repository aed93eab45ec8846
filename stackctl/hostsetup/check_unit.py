"""The unit, its drop-ins, and the environment that the running server really has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackctl.hostsetup.findings import Finding, Result, result
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import HostObserved
from stackctl.hostsetup.ollama_host import parse_ollama_host
from stackctl.hostsetup.units import Assignment, environment_of, mistakes_in
from stackctl.redaction import REDACTED, by_place, is_secret_name

# What Ollama's installer itself puts there (ollama/ollama: scripts/install.sh).
_INSTALLERS = frozenset({"PATH", "HOME"})
_OURS = ("OLLAMA_", "CUDA_", "HIP_", "ROCR_", "HSA_", "GGML_", "LLAMA_ARG_")
_UNREAD = {
    "OLLAMA_NUM_CTX": "OLLAMA_CONTEXT_LENGTH",
    "OLLAMA_API_KEY": "a proxy that asks for a token (the server checks none)",
    "OLLAMA_BASE_URL": "OLLAMA_HOST",
    "OLLAMA_NUM_GPU": "the model's num_gpu option",
    "OLLAMA_NUM_THREADS": "the model's num_thread option",
}


def unit(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether settings stand where an update leaves them."""
    title = "Settings survive an update"
    if not seen.files:
        if seen.snap:
            return result("unit", title, "Ollama is a snap", _snap(seen))
        where = "systemd has no unit for Ollama" if seen.properties is not None else "no unit file of Ollama"
        return Result("unit", title, "skipped", where)
    own = [f for f in seen.files if not f.drop_in]
    drop_ins = [f.path for f in seen.files if f.drop_in]
    saw = ", ".join(f.path for f in seen.files)
    edits = [a for a in environment_of(own).values() if a.name not in _INSTALLERS and a.name.startswith(_OURS)]
    packaged = [a for a in edits if not a.path.startswith("/etc/")]
    edited = [a for a in edits if a.path.startswith("/etc/")]
    found = []
    if edited:
        found.append(_lost(edited, "Ollama's installer writes this file anew on every update"))
    if any(a.name == "OLLAMA_HOST" for a in packaged):
        found.append(_lost(packaged, "a package owns this file, and its update brings its own"))
    return result("unit", title, saw, *found, drop_ins=drop_ins)


def _lost(edits: Sequence[Assignment], why: str) -> Finding:
    names = ", ".join(a.name for a in edits)
    return Finding(
        "systemd-override-lost-on-update",
        "warning",
        f"{names} stands in the unit itself, and the next update takes it away",
        (*(f"{a.where}: {a.name}={_shown(a.name, a.value)}" for a in edits), why),
        "move it into a drop-in, which updates leave alone",
        ("sudo stackctl host-setup systemd --apply", "sudo systemctl edit ollama"),
    )


def _snap(seen: HostObserved) -> Finding:
    return Finding(
        "snap-ollama-env-ignored",
        "info",
        "Ollama is a snap: systemd drop-ins and exported variables do not reach it",
        ("/snap/ollama",),
        "set it through snap",
        (f"sudo snap set ollama host=0.0.0.0:{seen.port}", "sudo snap restart ollama"),
    )


def environment(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether the server that runs has the environment that its unit gives it."""
    title = "The environment is in force"
    findings = [_mistake(m.path, m.line, m.text, m.reason) for m in mistakes_in(seen.files)]
    if (seen.properties or {}).get("NeedDaemonReload") == "yes":
        findings.append(
            Finding(
                "systemd-env-not-applied",
                "warning",
                "unit files changed since systemd read them",
                ("NeedDaemonReload=yes",),
                "let systemd read them, and restart Ollama",
                ("sudo systemctl daemon-reload", "sudo systemctl restart ollama"),
            )
        )
    process = seen.server
    if process is None or process.environment is None:
        why = "no Ollama runs outside containers" if process is None else "only root reads a process's environment"
        return result("environment", title, why, *findings, unknown=process is not None and not findings)
    real = process.environment
    shown = {name: _shown(name, value) for name, value in sorted(real.items()) if name.startswith(_OURS)}
    if not process.container:
        findings += _differences(seen, real)
    findings += _surprises(real)
    saw = (
        ", ".join(f"{name}={value}" for name, value in shown.items())
        or "no OLLAMA_ variable: every default is in force"
    )
    return result("environment", title, saw, *findings, environment=shown)


def _differences(seen: HostObserved, real: Mapping[str, str]) -> list[Finding]:
    found = []
    for name, wanted in environment_of(seen.files).items():
        if not name.startswith(_OURS):
            continue
        value = real.get(name)
        if value == wanted.value:
            continue
        said = f"the running server has {f'{name}={_shown(name, value)}' if value is not None else f'no {name}'}"
        found.append(
            Finding(
                "systemd-env-not-applied",
                "error" if name == "OLLAMA_HOST" else "warning",
                f"{name} is set, but the running server does not have it",
                (f"{wanted.where}: {name}={_shown(name, wanted.value)}", said),
                "restart Ollama, so that it takes the value",
                ("sudo systemctl daemon-reload", "sudo systemctl restart ollama"),
            )
        )
    return found


def _surprises(real: Mapping[str, str]) -> list[Finding]:
    found = []
    host = parse_ollama_host(real.get("OLLAMA_HOST"))
    if host.surprise:
        found.append(
            Finding(
                "url-port-omitted-or-80" if host.port in (80, 443) else "systemd-env-not-applied",
                "warning",
                f"OLLAMA_HOST={real.get('OLLAMA_HOST')} does not mean what it looks like",
                (host.surprise,),
                "write it as ADDRESS:PORT",
                ("sudo stackctl host-setup systemd --bind 0.0.0.0 --port 11434 --apply",),
            )
        )
    for name, instead in _UNREAD.items():
        if real.get(name) is not None:
            found.append(
                Finding(
                    "deprecated-env-name",
                    "info",
                    f"the server does not read {name}",
                    (f"{name} is set",),
                    f"use {instead}",
                )
            )
    return found


def _mistake(path: str, line: int, text: str, reason: str) -> Finding:
    return Finding(
        "systemd-env-not-applied",
        "error" if "OLLAMA_HOST" in text else "warning",
        "systemd ignores a line of the unit",
        (f"{path}:{line}: {_hidden(text)}", reason),
        'write Environment="NAME=value" below [Service]',
        ("sudo systemctl edit ollama", "sudo systemctl restart ollama"),
    )


def _hidden(text: str) -> str:
    return by_place(text)


def _shown(name: str, value: str) -> str:
    return REDACTED if is_secret_name(name) else by_place(value)

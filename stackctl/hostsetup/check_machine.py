"""GPU, disk and version."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackctl.hostsetup.findings import Finding, Result, result
from stackctl.hostsetup.host_plan import Network
from stackctl.hostsetup.observed import HostObserved

_NVIDIA, _AMD = "0x10de", "0x1002"
DRIVER_NEEDED = 550  # of NVIDIA's, for any GPU (ollama/ollama: discover, "NVIDIA driver too old")
GIB = 1 << 30
DISK_ERROR, DISK_WARNING = GIB, 10 * GIB


def gpu(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether a GPU that the machine has is one that Ollama can use."""
    title, gpus = "The GPU is used", seen.gpus
    findings: list[Finding] = []
    names = _smi_names(gpus.nvidia_smi)
    if _NVIDIA in gpus.pci or names or gpus.nvidia_smi is not None:
        findings += _nvidia(seen, names)
    if _AMD in gpus.pci and "/dev/kfd" not in gpus.nodes:
        findings.append(
            Finding(
                "rocm-device-or-permission",
                "warning",
                "there is an AMD GPU, but no /dev/kfd",
                ("display device of vendor 0x1002", "/dev/kfd is missing"),
                "load the amdgpu driver with ROCm support",
                ("sudo modprobe amdgpu",),
            )
        )
    used = [line for line in gpus.log if "inference compute" in line]
    on_cpu = bool(used) and all("library=cpu" in line for line in used)
    if on_cpu and (names or _AMD in gpus.pci) and not findings:
        findings.append(
            Finding(
                "gpu-not-used" if names else "rocm-unsupported-gfx-or-driver",
                "warning",
                "this machine has a GPU, and Ollama computes on the CPU",
                (used[-1].strip(),),
                "restart Ollama, and read what its log says of the GPU",
                ("sudo systemctl restart ollama", "journalctl -u ollama | grep -iE 'gpu|inference compute|driver'"),
            )
        )
    there = "a GPU without a working driver" if _NVIDIA in gpus.pci else "an AMD GPU" if _AMD in gpus.pci else "no GPU"
    saw = ", ".join(names) or there
    if used:
        saw += "; Ollama computes on " + ("the CPU" if on_cpu else "the GPU")
    return result("gpu", title, saw, *findings, pci=list(gpus.pci), names=names)


def _smi_names(smi: tuple[int, str] | None) -> list[str]:
    if smi is None or smi[0] != 0:
        return []
    return [line.strip() for line in smi[1].splitlines() if line.strip()]


def _nvidia(seen: HostObserved, names: Sequence[str]) -> list[Finding]:
    smi, nodes = seen.gpus.nvidia_smi, seen.gpus.nodes
    said = smi[1].strip().splitlines()[-1:] if smi else []
    if smi is not None and "Driver/library version mismatch" in smi[1]:
        return [
            Finding(
                "nvml-driver-mismatch",
                "error",
                "the NVIDIA driver was updated, and the old kernel module still runs",
                tuple(said),
                "load the new module: reboot",
                ("sudo reboot",),
            )
        ]
    if smi is None or smi[0] != 0:
        return [
            Finding(
                "gpu-driver-missing",
                "warning",
                "there is an NVIDIA GPU, but its driver does not answer",
                (*said, "nvidia-smi is not installed" if smi is None else f"nvidia-smi ended with {smi[0]}"),
                f"install NVIDIA's driver, {DRIVER_NEEDED} or newer",
                ("nvidia-smi",),
            )
        ]
    found = []
    if "/dev/nvidia-uvm" not in nodes:
        found.append(
            Finding(
                "uvm-not-loaded",
                "warning",
                "/dev/nvidia-uvm is missing, and without it CUDA finds no GPU",
                ("/dev/nvidia-uvm does not exist",),
                "load the module",
                ("sudo nvidia-modprobe -u", "sudo systemctl restart ollama"),
            )
        )
    versions = [int(v) for v in re.findall(r",\s*(\d{3})\.\d+", " ".join(names))]
    if versions and min(versions) < DRIVER_NEEDED:
        found.append(
            Finding(
                "nvidia-driver-too-old",
                "warning",
                f"the NVIDIA driver {min(versions)} is older than {DRIVER_NEEDED}",
                tuple(names),
                "update the driver; until then Ollama computes on the CPU",
            )
        )
    return found


def disk(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether there is room for a model."""
    title = "There is room for models"
    if seen.disk is None:
        return result("disk", title, "the place of the models cannot be seen", unknown=True)
    free, total = seen.disk.free, seen.disk.total
    saw = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free at {seen.disk.path}"
    findings = []
    if free < DISK_WARNING:
        findings.append(
            Finding(
                "disk-full",
                "error" if free < DISK_ERROR else "warning",
                f"only {free / GIB:.1f} GiB are free for models",
                (saw,),
                "remove what no profile needs, or move the models to a bigger disk",
                ("stackctl models prune", 'sudo systemctl edit ollama  # Environment="OLLAMA_MODELS=/srv/ollama"'),
            )
        )
    return result("disk", title, saw, *findings, path=seen.disk.path, free=free, total=total)


def version(seen: HostObserved, _sources: Sequence[Network]) -> Result:
    """Whether the server that runs is the one that is installed."""
    title = "The running version is the installed one"
    running, installed = seen.running_version, seen.installed_version
    process = seen.server
    if not running:
        return result(
            "version", title, f"installed {installed or 'unknown'}, none answers", unknown=True, installed=installed
        )
    saw = f"{running} runs" + (f", {installed} is installed" if installed else "")
    findings = []
    replaced = process is not None and not process.container and process.deleted
    differs = bool(installed) and installed != running and process is not None and not process.container
    if replaced or differs:
        findings.append(
            Finding(
                "old-version-still-runs",
                "warning",
                "Ollama was updated, and the old one still runs",
                (saw, *(("its program file was replaced",) if replaced else ())),
                "restart it",
                ("sudo systemctl restart ollama",),
            )
        )
    return result("version", title, saw, *findings, running=running, installed=installed)

"""Which GPU the local server gets: decided by what the engine says, not by the client's machine."""

from __future__ import annotations

from stackctl.config.models import GpuDevice, StackConfig
from stackctl.errors import GpuUnavailable
from stackctl.ports import EngineInfo, HostNames
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Gpu
from stackctl.project.localollama import OFFICIAL, uses_gpu

KFD, DRI = "/dev/kfd", "/dev/dri/renderD128"


def choose(
    config: StackConfig, project: ComposeProject, info: EngineInfo, names: HostNames, where: str | None = None
) -> tuple[Gpu, list[str]]:
    """The decision, and warnings for the user.

    Raises :class:`GpuUnavailable` for an explicit GPU that the engine cannot give.
    """
    wanted = config.local.gpu
    if isinstance(wanted, GpuDevice):
        return _explicit(wanted.driver, wanted, info, names, where), []
    if wanted == "none":
        return Gpu("none"), []
    if wanted != "auto":
        return _explicit(wanted, GpuDevice(driver=wanted), info, names, where), []
    own = project.services.get(config.local.service)
    found = _detect(info, names)
    if own is not None and uses_gpu(own):
        if found.kind != "none":
            return Gpu("keep"), []
        said = f"the engine has no GPU to give: {own.name} runs on the CPU"
        return Gpu("none"), [f"{said} (its own GPU setting is left out; `gpu: none` silences this)"]
    if found.kind == "none":
        return found, ["no GPU on this engine: the local Ollama runs on the CPU (`gpu: none` silences this)"]
    return found, []


def others_with_gpu(config: StackConfig, project: ComposeProject) -> list[str]:
    """Ollama servers of the project beside the local one that ask for a GPU and would be started."""
    return [
        s.name
        for s in project
        if s.name != config.local.service and s.name in project.active and OFFICIAL.search(s.image) and uses_gpu(s)
    ]


def gives_gpu(info: EngineInfo, names: HostNames) -> bool:
    """Whether the engine has any GPU to give."""
    return _detect(info, names).kind != "none"


def _detect(info: EngineInfo, names: HostNames) -> Gpu:
    if "nvidia" in info.runtimes:
        return Gpu("nvidia", "all")
    if devices := _cdi_all(info):
        return Gpu("cdi", device_ids=devices)
    if info.local and not info.desktop and names.device_group(KFD) is not None:
        return _amd(names)
    return Gpu("none")


def _cdi_all(info: EngineInfo) -> tuple[str, ...]:
    """Every GPU by its CDI name: the device ``all`` of a vendor where there is one."""
    gpus = [d for d in info.cdi_devices if "/gpu=" in d]
    whole = [d for d in gpus if d.endswith("=all")]
    return (min(whole, key=lambda d: not d.startswith("nvidia")),) if whole else tuple(gpus)


def _amd(names: HostNames) -> Gpu:
    groups = {names.device_group(KFD), names.device_group(DRI)} - {None, 0}
    return Gpu("amd", groups=tuple(str(g) for g in sorted(g for g in groups if g is not None)))


def _explicit(driver: str, wanted: GpuDevice, info: EngineInfo, names: HostNames, where: str | None) -> Gpu:
    ids = tuple(wanted.device_ids or ())
    if driver == "nvidia":
        if "nvidia" not in info.runtimes:
            cdi = _cdi_all(info)
            hint = (
                f"the engine offers {cdi[0]} by CDI: write `gpu: cdi`"
                if cdi
                else "install the NVIDIA Container Toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker "
                "&& sudo systemctl restart docker"
            )
            raise GpuUnavailable(
                "gpu: nvidia is asked for, and this engine has no NVIDIA runtime", hint=hint, where=where
            )
        return Gpu("nvidia", None if ids else wanted.count or "all", ids)
    if driver == "cdi":
        named = tuple(i if "=" in i else f"nvidia.com/gpu={i}" for i in ids)
        missing = [i for i in named if i not in info.cdi_devices]
        devices = named or _cdi_all(info)
        if missing or not devices:
            what = f"the CDI device {missing[0]}" if missing else "gpu: cdi"
            known = ", ".join(info.cdi_devices) or "none"
            raise GpuUnavailable(
                f"{what} is asked for, and this engine knows no such device (known: {known})",
                hint="sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml   (then: docker info lists it)",
                where=where,
            )
        return Gpu("cdi", device_ids=devices)
    if info.local and names.device_group(KFD) is None:
        raise GpuUnavailable(
            f"gpu: amd is asked for, and this engine's host has no {KFD}",
            hint="install the amdgpu driver (ROCm); `ls -l /dev/kfd /dev/dri` shows the devices",
            where=where,
        )
    # The groups of this machine mean nothing to an engine elsewhere.
    return _amd(names) if info.local else Gpu("amd")

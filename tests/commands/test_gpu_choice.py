"""Which GPU the local server gets, by what an engine says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.commands.reconcile.gpu_choice import choose
from stackctl.config.models import StackConfig
from stackctl.errors import GpuUnavailable
from stackctl.ports import EngineInfo
from stackctl.project.compose import ComposeProject
from stackctl.project.facts import Gpu


class Names:
    """A host with these device files and their groups."""

    def __init__(self, **groups: int) -> None:
        self._groups = {"/dev/kfd": groups.get("kfd"), "/dev/dri/renderD128": groups.get("dri")}

    def device_group(self, path: str) -> int | None:
        return self._groups.get(path)

    def resolve(self, name: str) -> list[str]:
        raise AssertionError(name)

    def is_own(self, host: str) -> bool:
        return False


def engine(**changes: Any) -> EngineInfo:
    plain: dict[str, Any] = {
        "version": "28.5.2", "compose_version": "2.40.3", "local": True, "rootless": False, "desktop": False,
        "runtimes": ("runc",), "cdi_devices": (),
    }  # fmt: skip
    return EngineInfo(**{**plain, **changes})


NVIDIA = engine(runtimes=("nvidia", "runc"))
CDI = engine(cdi_devices=("nvidia.com/gpu=0", "nvidia.com/gpu=all", "vendor.example/fpga=0"))
TWO_VENDORS = engine(cdi_devices=("amd.com/gpu=all", "nvidia.com/gpu=all"))
NO_ALL = engine(cdi_devices=("nvidia.com/gpu=0", "nvidia.com/gpu=1"))
KFD = Names(kfd=993, dri=44)


def chosen(gpu: object, info: EngineInfo, names: Names | None = None, **service: Any) -> tuple[Gpu, list[str]]:
    services = {"ollama": {"image": "ollama/ollama", **service}} if service else {}
    config = StackConfig.model_validate({"version": 1, "local": {"gpu": gpu}})
    project = ComposeProject.from_config({"name": "p", "services": services}, directory="/p")
    return choose(config, project, info, names or Names(), "stackctl.yaml:1:1")


@pytest.mark.parametrize(
    ("info", "names", "gpu"),
    [
        (NVIDIA, KFD, Gpu("nvidia", "all")),
        (CDI, KFD, Gpu("cdi", device_ids=("nvidia.com/gpu=all",))),
        (TWO_VENDORS, Names(), Gpu("cdi", device_ids=("nvidia.com/gpu=all",))),
        (NO_ALL, Names(), Gpu("cdi", device_ids=("nvidia.com/gpu=0", "nvidia.com/gpu=1"))),
        (engine(), KFD, Gpu("amd", groups=("44", "993"))),
        (engine(), Names(kfd=0, dri=0), Gpu("amd")),
    ],
)
def test_auto_takes_what_there_is(info: EngineInfo, names: Names, gpu: Gpu) -> None:
    assert chosen("auto", info, names) == (gpu, [])


@pytest.mark.parametrize("info", [engine(), engine(local=False), engine(desktop=True)])
def test_auto_without_one_says_so_once(info: EngineInfo) -> None:
    """A device file of this machine is nothing to an engine elsewhere, nor to one in a virtual machine."""
    gpu, warnings = chosen("auto", info, Names() if info.local and not info.desktop else KFD)
    assert gpu == Gpu("none")
    assert len(warnings) == 1
    assert "runs on the CPU" in warnings[0]


RESERVED = {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "capabilities": ["gpu"]}]}}}}


def test_auto_keeps_what_the_project_says() -> None:
    assert chosen("auto", NVIDIA, **RESERVED) == (Gpu("keep"), [])
    gpu, warnings = chosen("auto", engine(), **RESERVED)
    assert gpu == Gpu("none")
    assert "its own GPU setting is left out" in warnings[0]


def test_none_asks_nothing() -> None:
    assert chosen("none", NVIDIA, **RESERVED) == (Gpu("none"), [])


@pytest.mark.parametrize(
    ("wanted", "info", "gpu"),
    [
        ("nvidia", NVIDIA, Gpu("nvidia", "all")),
        ({"driver": "nvidia", "count": 2}, NVIDIA, Gpu("nvidia", 2)),
        ({"driver": "nvidia", "device_ids": ["0"]}, NVIDIA, Gpu("nvidia", None, ("0",))),
        ("cdi", CDI, Gpu("cdi", device_ids=("nvidia.com/gpu=all",))),
        ({"driver": "cdi", "device_ids": ["0"]}, CDI, Gpu("cdi", device_ids=("nvidia.com/gpu=0",))),
        (
            {"driver": "cdi", "device_ids": ["vendor.example/fpga=0"]}, CDI,
            Gpu("cdi", device_ids=("vendor.example/fpga=0",)),
        ),
    ],
)  # fmt: skip
def test_an_explicit_one(wanted: object, info: EngineInfo, gpu: Gpu) -> None:
    assert chosen(wanted, info) == (gpu, [])


@pytest.mark.parametrize(
    ("wanted", "info", "says", "mends"),
    [
        ("nvidia", engine(), "no NVIDIA runtime", "nvidia-ctk runtime configure"),
        ("nvidia", CDI, "no NVIDIA runtime", "write `gpu: cdi`"),
        ("cdi", engine(), "known: none", "nvidia-ctk cdi generate"),
        ({"driver": "cdi", "device_ids": ["7"]}, CDI, "nvidia.com/gpu=7", "nvidia-ctk cdi generate"),
        ("amd", engine(), "no /dev/kfd", "amdgpu"),
    ],
)
def test_an_explicit_one_that_cannot_be_had(wanted: object, info: EngineInfo, says: str, mends: str) -> None:
    with pytest.raises(GpuUnavailable) as refused:
        chosen(wanted, info)
    assert says in refused.value.message
    assert mends in refused.value.hint
    assert refused.value.where == "stackctl.yaml:1:1"


def test_amd_here_and_elsewhere() -> None:
    assert chosen("amd", engine(), KFD) == (Gpu("amd", groups=("44", "993")), [])
    assert chosen("amd", engine(local=False), KFD) == (Gpu("amd"), [])

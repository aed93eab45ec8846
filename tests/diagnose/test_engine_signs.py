"""What ``docker info`` tells of the engine itself."""

from __future__ import annotations

from typing import Any

import pytest

from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs import engine
from stackctl.diagnose.signs.board import Board
from stackctl.ports import EngineInfo
from tests.diagnose.small_scenes import healthy


@pytest.mark.parametrize(
    ("raw", "sign"),
    [
        ({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}, Sign.ENGINE_SNAP),
        ({"SecurityOptions": ["name=seccomp,profile=builtin", "name=selinux"]}, Sign.ENGINE_SELINUX),
        ({"KernelVersion": "5.15.167.4-microsoft-standard-WSL2"}, Sign.ENGINE_WSL),
        ({"DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=cgroupns"], "KernelVersion": "6.8"}, None),
    ],
)
def test_what_confines_it(raw: dict[str, Any], sign: Sign | None) -> None:
    info = EngineInfo("29", "5", local=True, rootless=False, desktop=False, runtimes=(), cdi_devices=(), raw=raw)
    board = Board()
    engine.read(healthy("", info=info), board)
    assert board.on == ({sign} if sign else set())

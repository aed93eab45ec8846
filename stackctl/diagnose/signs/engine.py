"""Signs of the engine itself: where it runs, and what confines it."""

from __future__ import annotations

from stackctl.diagnose.scene import Scene
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board


def read(scene: Scene, board: Board) -> None:
    """What ``docker info`` says; nothing where it was not asked."""
    info = scene.info
    if info is None:
        return
    for holds, sign, said in (
        (info.rootless, Sign.ENGINE_ROOTLESS, "rootless"),
        (info.desktop, Sign.ENGINE_DESKTOP, "desktop"),
        (not info.local, Sign.ENGINE_REMOTE, "remote"),
    ):
        if holds:
            board.note(sign, f"docker info says so: {said}")
    kernel = str(info.raw.get("KernelVersion") or "")
    if "microsoft" in kernel.lower():
        board.note(Sign.ENGINE_WSL, f"the engine's kernel is {kernel}")
    root = str(info.raw.get("DockerRootDir") or "")
    if root.startswith("/var/snap/"):
        board.note(Sign.ENGINE_SNAP, f"the engine keeps its data in {root}, which is a snap's")
    if any("name=selinux" in str(option) for option in info.raw.get("SecurityOptions") or []):
        board.note(Sign.ENGINE_SELINUX, "the engine runs with SELinux")

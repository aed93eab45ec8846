"""What the short-lived containers that stackctl starts may do: nothing that their task does not need."""

from __future__ import annotations

from collections.abc import Sequence


def confined(*, capabilities: Sequence[str] = (), memory: str = "256m") -> list[str]:
    """Flags of ``docker run``: only these capabilities, and bounds that a hostile image or server meets.

    The root file system is read-only; ``/tmp`` is in memory, and counts towards the container's.
    """
    added = [word for name in capabilities for word in ("--cap-add", name)]
    return [
        *("--cap-drop", "ALL", *added, "--security-opt", "no-new-privileges"),
        *("--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=16m"),  # noqa: S108  (in the container)
        *("--pids-limit", "128", "--memory", memory),
    ]

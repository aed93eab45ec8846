"""What can be wrong in the life of a container, and the sign for it by whose container it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from stackctl.diagnose.sign import Sign

Role = Literal["target", "own", "server"]
"""The container that a URL means, the consumer's own, or that of an Ollama service looked at on its own."""


class Trouble(StrEnum):
    """One thing that can be wrong, whoever's container it is."""

    DOWN = "down"
    LOOPS = "loops"
    OOM = "oom"
    PORT_ENGINE = "port_engine"
    PORT_HOST = "port_host"
    GPU_DRIVER = "gpu_driver"
    NVML_MISMATCH = "nvml_mismatch"
    DRIVER_OLD = "driver_old"
    ROCM_DEVICE = "rocm_device"
    HOST_GATEWAY = "host_gateway"
    CHAINS_GONE = "chains_gone"
    MOUNT = "mount"


LIVES: dict[Role, dict[Trouble, Sign]] = {
    "target": {
        Trouble.DOWN: Sign.TARGET_DOWN,
        Trouble.LOOPS: Sign.TARGET_LOOPS,
        Trouble.OOM: Sign.TARGET_OOM,
        Trouble.PORT_ENGINE: Sign.TARGET_ERROR_PORT_ENGINE,
        Trouble.PORT_HOST: Sign.TARGET_ERROR_PORT_HOST,
        Trouble.GPU_DRIVER: Sign.TARGET_ERROR_GPU_DRIVER,
        Trouble.NVML_MISMATCH: Sign.TARGET_ERROR_NVML_MISMATCH,
        Trouble.DRIVER_OLD: Sign.TARGET_ERROR_DRIVER_OLD,
        Trouble.ROCM_DEVICE: Sign.TARGET_ERROR_ROCM_DEVICE,
        Trouble.HOST_GATEWAY: Sign.TARGET_ERROR_HOST_GATEWAY,
        Trouble.CHAINS_GONE: Sign.TARGET_ERROR_CHAINS_GONE,
        Trouble.MOUNT: Sign.TARGET_ERROR_MOUNT,
    },
    "own": {
        Trouble.DOWN: Sign.OWN_DOWN,
        Trouble.LOOPS: Sign.OWN_LOOPS,
        Trouble.OOM: Sign.OWN_OOM,
        Trouble.PORT_ENGINE: Sign.OWN_ERROR_PORT_ENGINE,
        Trouble.PORT_HOST: Sign.OWN_ERROR_PORT_HOST,
        Trouble.GPU_DRIVER: Sign.OWN_ERROR_GPU_DRIVER,
        Trouble.NVML_MISMATCH: Sign.OWN_ERROR_NVML_MISMATCH,
        Trouble.DRIVER_OLD: Sign.OWN_ERROR_DRIVER_OLD,
        Trouble.ROCM_DEVICE: Sign.OWN_ERROR_ROCM_DEVICE,
        Trouble.HOST_GATEWAY: Sign.OWN_ERROR_HOST_GATEWAY,
        Trouble.CHAINS_GONE: Sign.OWN_ERROR_CHAINS_GONE,
        Trouble.MOUNT: Sign.OWN_ERROR_MOUNT,
    },
    "server": {
        Trouble.DOWN: Sign.SERVER_DOWN,
        Trouble.LOOPS: Sign.SERVER_LOOPS,
        Trouble.OOM: Sign.SERVER_OOM,
        Trouble.PORT_ENGINE: Sign.SERVER_ERROR_PORT_ENGINE,
        Trouble.PORT_HOST: Sign.SERVER_ERROR_PORT_HOST,
        Trouble.GPU_DRIVER: Sign.SERVER_ERROR_GPU_DRIVER,
        Trouble.NVML_MISMATCH: Sign.SERVER_ERROR_NVML_MISMATCH,
        Trouble.DRIVER_OLD: Sign.SERVER_ERROR_DRIVER_OLD,
        Trouble.ROCM_DEVICE: Sign.SERVER_ERROR_ROCM_DEVICE,
        Trouble.HOST_GATEWAY: Sign.SERVER_ERROR_HOST_GATEWAY,
        Trouble.CHAINS_GONE: Sign.SERVER_ERROR_CHAINS_GONE,
        Trouble.MOUNT: Sign.SERVER_ERROR_MOUNT,
    },
}

"""Causes in GPU, memory, disk and processes. Most are seen in the server's log, whatever consumer asks."""

from stackctl.diagnose.causes.model import Cause

_RESERVE = ("deploy: {{resources: {{reservations: {{devices: [{{driver: nvidia, count: all, capabilities: [gpu]}}]}}}}}}",)

ROWS = (
    Cause(
        "gpu-not-requested", "resources", ("gpu.not_requested",),
        "the engine has a GPU, and {service} does not ask for it: it runs on the CPU",
        "Reserve it.", _RESERVE, severity="warning", scope="server", fix="gpu-reserve",
    ),
    Cause(
        "gpu-lost-after-daemon-reload", "resources", ("gpu.requested", "log.nvml_unknown"),
        "{service} has lost its GPU: systemd took its devices away on a daemon-reload",
        "Restart it now; let Docker manage cgroups itself, or use CDI.",
        ("{compose} restart {service}", '# daemon.json: "exec-opts": ["native.cgroupdriver=cgroupfs"]'), scope="server", severity="warning",
        fix="restart-server",
    ),
    Cause("nvml-driver-mismatch", "resources", ("log.nvml_mismatch|server.error.nvml_mismatch",),
          "the NVIDIA driver was updated, and the old kernel module is still loaded", "Load the new module.",
          ("sudo reboot",), scope="server", severity="warning"),
    Cause("nvidia-driver-too-old", "resources", ("log.driver_old|server.error.driver_old",),
          "the NVIDIA driver is too old for this image", "Update it, or take an older image.", ("nvidia-smi",), scope="server", severity="warning"),
    Cause("uvm-not-loaded", "resources", ("log.uvm|gpu.no_uvm", "log.uvm"), "nvidia_uvm is missing or stuck", "Load it again.",
          ("sudo nvidia-modprobe -u", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"), scope="server", severity="warning"),
    Cause("rocm-device-or-permission", "resources", ("log.kfd",), "{service} may not open the AMD devices", "Pass them, with their group.",
          ("devices: [/dev/kfd, /dev/dri]", 'group_add: ["<gid of render>", video]'), scope="server", severity="warning"),
    Cause("rocm-unsupported-gfx-or-driver", "resources", ("log.rocm",), "ROCm does not take this card or driver", "Use the rocm image.",
          ("image: ollama/ollama:rocm", "environment: {{HSA_OVERRIDE_GFX_VERSION: 10.3.0}}"), scope="server", severity="warning"),
    Cause("insufficient-system-memory", "resources", ("log.memory",), "a model needs more memory than {service} has",
          "Take a smaller one, or a smaller context.", ("environment: {{OLLAMA_CONTEXT_LENGTH: '4096'}}",), scope="server", severity="warning"),
    Cause("vram-oom", "resources", ("log.vram",), "the GPU's memory ran out", "Load less at once.",
          ("environment: {{OLLAMA_MAX_LOADED_MODELS: '1', OLLAMA_NUM_PARALLEL: '1'}}",), scope="server", severity="warning", fix="less-vram"),
    Cause("container-oom-killed", "resources", ("log.runner_killed",), "a runner of {service} was killed for want of memory",
          "Raise the limit, or take a smaller model.", ("docker stats --no-stream {target_container}",), scope="server", severity="warning"),
    Cause("disk-full", "resources", ("log.disk|store.full",), "the disk of {service} is full", "Make room, or move the volume.",
          ("docker system df",), scope="server"),
    Cause("cpu-illegal-instruction", "resources", ("log.illegal",), "the CPU lacks an instruction that the runner needs",
          "Give the virtual machine the host's CPU type.", ("grep -o avx /proc/cpuinfo | head -1",), scope="server"),
    Cause("thread-or-pids-limit", "resources", ("log.threads",), "{service} may start no more processes or threads",
          "Raise pids_limit.", ("pids_limit: -1",), scope="server", severity="warning", fix="pids"),
    Cause("thread-or-pids-limit", "life", ("pids.full",), "{consumer} is at its limit of processes",
          "Raise pids_limit.", ("services:", "  {consumer}:", "    pids_limit: -1"), fix="pids"),
    Cause("thread-or-pids-limit", "advice", ("log.threads",), "{consumer} cannot start more threads",
          "Raise pids_limit.", ("services:", "  {consumer}:", "    pids_limit: -1"), severity="warning", fix="pids"),
)

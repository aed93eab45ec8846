"""What the server logs while it looks for GPUs, and the two figures that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_double import log
from ollama_double.runners.scheduler import gpu_share

if TYPE_CHECKING:
    from ollama_double.app import App


def _hidden(app: App) -> bool:
    return gpu_share(app.faults.gpu) == 0 or app.settings.hidden_gpus or app.settings.library == "cpu"


def total_vram(app: App) -> str:
    """Return the memory of all GPUs as the log shows it."""
    return "0 B" if _hidden(app) else "24.0 GiB"


def default_context(app: App) -> int:
    """Return the context length that so much memory gives."""
    return 4096 if _hidden(app) else 32768


def discover(app: App) -> None:
    """Log the search and what it found."""
    log.line("INFO", "runner.go:60", "discovering available GPUs...")
    if _hidden(app):
        found = {"id": "cpu", "library": "cpu", "compute": "", "name": "cpu", "description": "cpu", "libdirs": "ollama",
                 "driver": "", "pci_id": "", "type": "", "total": "8.0 GiB", "available": "6.0 GiB"}  # fmt: skip
        log.line("INFO", "types.go:50", "inference compute", **found)
        return
    found = {"id": "0", "filter_id": "", "library": "CUDA", "compute": "8.6", "name": "CUDA0",
             "description": "NVIDIA test double", "libdirs": "ollama,cuda_v13", "driver": "13.0",
             "pci_id": "0000:01:00.0", "type": "discrete", "total": "24.0 GiB", "available": "23.2 GiB"}  # fmt: skip
    log.line("INFO", "types.go:32", "inference compute", **found)

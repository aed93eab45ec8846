"""Where the truth of the corpus is held to be wrong, or cannot be seen in it: the lines that show it.

Each entry: project, what ``meta.json`` says, what the files say, and where.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dispute:
    project: str
    truth: tuple[str, str, str | None]
    lines: str


DISPUTED = [
    Dispute(
        "adesalme__ollama-multinstance",
        ("nginx", "config_file", "nginx.conf.template"),
        "docker-compose-ollama.yml:7 mounts ./nginx.conf; no line names nginx.conf.template, which is not there. "
        "The gateway is found, with config_file nginx.conf.",
    ),
    Dispute(
        "derBerliner1983__self-hosted-llm-stack",
        ("dashboard", "hardcoded", "OLLAMA_INTERNAL_URL"),
        "docker-compose.rocm.yml mounts ./dashboard (`- ./dashboard:/app:ro`); dashboard/app.py, which holds it, is "
        "not in the corpus. Mounted programs are searched where they are there.",
    ),
    Dispute(
        "NTaylor71__Jellyfin.Ollama.Chat",
        ("api", "env_file", "OLLAMA_EMBED_BASE_URL"),
        "docker-compose.dev.yml mounts ./.env into six services alike (`- ./.env:/app/.env:ro`); no line says that "
        "api reads this variable from it and nlp-service, llm-service and worker do not.",
    ),
]

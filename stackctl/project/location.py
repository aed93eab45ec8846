"""Which Compose files a directory means, by Compose's own rules.

Source: compose-spec's ``cli`` package (``DefaultFileNames``,
``DefaultOverrideFileNames``): the first base name found here or in a parent,
then the override beside it; ``COMPOSE_FILE`` before all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from stackctl.project.discovery.envfile import parse_env
from stackctl.project.discovery.interpolation import expand

BASES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


def default_files(directory: Path, variables: Mapping[str, str], is_file: Callable[[Path], bool]) -> list[Path]:
    """The files that plain ``docker compose`` would take in ``directory``; empty where there are none."""
    if named := variables.get("COMPOSE_FILE"):
        separator = variables.get("COMPOSE_PATH_SEPARATOR") or ":"
        return [directory / part for part in named.split(separator) if part]
    for place in (directory, *directory.parents):
        base = next((place / name for name in BASES if is_file(place / name)), None)
        if base is not None:
            override = next((place / name for name in OVERRIDES if is_file(place / name)), None)
            return [base, override] if override else [base]
    return []


def env_files_of_shell(here: Path, variables: Mapping[str, str]) -> list[Path]:
    """The env files that ``COMPOSE_ENV_FILES`` names, which Compose reads in place of ``.env``."""
    return [here / part for part in variables.get("COMPOSE_ENV_FILES", "").split(",") if part]


def name_written(text: str, variables: Mapping[str, str]) -> str:
    """The project's name as a Compose file says it at its top level; empty where it says none."""
    match = re.search(r"(?m)^(?:name|\"name\"|'name')[ \t]*:[ \t]+(\"[^\"\n]*\"|'[^'\n]*'|[^#\s][^#\n]*)", text)
    return expand(match[1].strip().strip("\"'"), variables) if match else ""


def name_from(directory: str) -> str:
    """The project's name that Compose makes of a directory's (compose-go: ``loader.NormalizeProjectName``)."""
    return re.sub(r"[^a-z0-9_-]", "", directory.lower()).lstrip("_-")


def read_env_file(text: str) -> dict[str, str]:
    """Variables of an env file, quotes and comments understood, without interpolation.

    Only used to find what stackctl itself needs (``COMPOSE_FILE``, secrets);
    Compose reads the file on its own.
    """
    return {line.name: line.value for line in parse_env(text, exact=True) if not line.commented}

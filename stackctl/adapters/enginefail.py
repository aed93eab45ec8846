"""Turns error output of the Docker client and Compose into our errors, each with the command that helps.

Texts are those of Docker CLI 20.10 to 28 and of Compose 2; seen on real engines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from stackctl.errors import ComposeFileError, EngineUnusable
from stackctl.ports import Completed

READ_TIMEOUT = 60.0
"""Seconds that Compose may take to read a project."""
OLDEST_COMPOSE = (2, 24, 4)

_ABSENT = re.compile(r"Cannot connect to the Docker daemon|error during connect|Is the docker daemon running")
_DENIED = re.compile(r"permission denied while trying to connect|dial unix .*: connect: permission denied")
_NO_COMPOSE = re.compile(
    r"'compose' is not a docker command|unknown command: docker compose|unknown shorthand flag: 'p' in -p"
    r"|unknown flag: --(?:project-name|project-directory|file|env-file|profile)\b"
)
_NO_CONTEXT = re.compile(r'context "([^"]*)": context not found|context "([^"]*)" does not exist')


def classify(stderr: str) -> EngineUnusable | None:
    """The error where ``stderr`` says that engine or Compose cannot be used at all; None for any other failure."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else ""
    if _DENIED.search(stderr):
        return EngineUnusable(
            "no permission on the Docker socket",
            hint="sudo usermod -aG docker $USER && newgrp docker   (or run stackctl with sudo)",
        )
    if match := _NO_CONTEXT.search(stderr):
        return EngineUnusable(f'no Docker context "{match[1] or match[2]}"', hint="docker context ls")
    if _NO_COMPOSE.search(stderr):
        return EngineUnusable(
            "Docker has no Compose plugin (version 2.24.4 or later is needed)",
            hint="install the package docker-compose-plugin (Docker's repository), "
            "or docker-compose (Debian 13 and later)",
        )
    if _ABSENT.search(stderr):
        where = os.environ.get("DOCKER_HOST")
        return EngineUnusable(
            f"no Docker engine answers{f' at {where}' if where else ''}: {last}",
            hint="sudo systemctl start docker   (in a checkout of stackctl: make setup)",
        )
    return None


def no_client() -> EngineUnusable:
    """No ``docker`` on PATH."""
    return EngineUnusable(
        "the command `docker` is not installed",
        hint="install Docker Engine with Compose (https://docs.docker.com/engine/install/)",
    )


def started(start: Callable[[], Completed]) -> Completed:
    """What ``start`` returns; raises :class:`EngineUnusable` where the client cannot be run."""
    try:
        return start()
    except FileNotFoundError as error:
        raise no_client() from error
    except OSError as error:
        raise EngineUnusable(f"the command `docker` cannot be run ({error.strerror})") from error


def check_compose(version: str) -> None:
    """Raise :class:`EngineUnusable` where Compose is older than ``!override`` in override files (2.24.4)."""
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        # A development build without a number is newer than any release.
        return
    if tuple(int(n) for n in numbers.groups()) < OLDEST_COMPOSE:
        raise EngineUnusable(
            f"Docker Compose {numbers[0]} is too old: 2.24.4 or later is needed (`!override` in override files)",
            hint="upgrade the package docker-compose-plugin, or put a newer plugin at "
            "~/.docker/cli-plugins/docker-compose",
        )


def compose_error(done: Completed) -> ComposeFileError:
    """Compose's own reason and, where it names one, its place."""
    if done.timed_out:
        return ComposeFileError(f"docker compose config gave no answer within {READ_TIMEOUT:.0f} s")
    lines = [line for line in done.error_text.strip().splitlines() if "level=warning" not in line]
    text = "\n".join(lines) or f"docker compose ended with code {done.code}"
    place = re.search(r"(?:parsing |validating |in )?((?:/|\./)[^\s:]+\.ya?ml)(?::? *(?:yaml: )?line (\d+))?", text)
    where = place[1] + (f":{place[2]}" if place[2] else "") if place else None
    return ComposeFileError(f"Compose cannot read this project: {text}", where=where)


def says_gone(stderr: str) -> bool:
    """Whether the container, network, volume or image to act on does not exist (any more)."""
    lower = stderr.lower()
    return "no such" in lower or "not found" in lower or ("removal of container" in lower and "in progress" in lower)


def last_line(stderr: str) -> str:
    """The line that says what is wrong."""
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"

"""Talking to the gateway's container: argv to run inside it (``docker exec -i``), and how to read the answers.

The caller runs them, for instance through ``stackctl.ports.Engine.exec``:

==================  =======================================================  =========================
``APPLY``           standard input: :func:`apply_input`; argument: digest    exit codes below
``STATE``           prints what :func:`stackctl.gateway.state.parse` reads   0, or the gateway is down
``RUNNING``         prints the configuration in force, for undoing           0
``SECRET_DIGESTS``  prints what :func:`stale_secrets` reads                  0
``requests_argv``   prints how many requests are under way at a server       0
==================  =======================================================  =========================
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping

from stackctl.config.secrets import Secret
from stackctl.errors import StepFailed
from stackctl.gateway import scripts
from stackctl.gateway.credentials import GatewaySecret, setting
from stackctl.gateway.names import CONFIGURATION_MARK, IMAGE_HOME, IMAGE_PUBLIC, SECRET_PREFIX
from stackctl.ports import Completed

APPLY_TIMEOUT = 30.0
REFUSED = 3
"""Exit code of :func:`apply_argv` where HAProxy refuses the configuration; any other one is a failed reload."""

STATE = ("sh", "-c", scripts.STATE)
RUNNING = ("sh", "-c", scripts.RUNNING)
SECRET_DIGESTS = ("sh", "-c", scripts.SECRET_DIGESTS)


def apply_argv(digest: str) -> tuple[str, ...]:
    """Load the configuration on standard input, and return once a worker runs it.

    The same configuration again loads it anew, which is how a changed secret
    takes effect. Running streams finish on the workers that they are on.
    """
    return ("sh", "-c", scripts.APPLY, "apply", digest)


def requests_argv(addresses: Iterable[str], port: int) -> tuple[str, ...]:
    """Print how many requests the gateway's workers, former ones too, have under way at a server.

    ``addresses`` are the server's on the gateway's networks. The gateway opens a
    connection for each request and keeps none, so the established ones are counted;
    of a server that is still in its configuration, a health check may be one of them.
    """
    kernel = [f"{_kernel_form(a)}:{port:04X}:01" for a in addresses]
    return ("sh", "-c", scripts.REQUESTS, "requests", *kernel)


def _kernel_form(address: str) -> str:
    """An address as ``/proc/net/tcp`` and ``tcp6`` show it: words of four bytes, each little-endian."""
    ip = ipaddress.ip_address(address)
    words = [ip.packed[i : i + 4] for i in range(0, len(ip.packed), 4)]
    return "".join(f"{int.from_bytes(word, 'little'):08X}" for word in words)


def check_applied(result: Completed) -> None:
    """Raise :class:`StepFailed` where :func:`apply_argv` failed; the gateway then runs what it ran before."""
    if result.code == 0:
        return
    if result.timed_out:
        raise StepFailed("the gateway did not take its configuration in time", hint="docker logs of the gateway")
    alerts = re.findall(r"\[ALERT\][^:]*: (.*)", result.error_text)
    reason = "; ".join(alerts) or result.error_text.strip() or f"exit code {result.code}"
    what = "HAProxy refuses the gateway's configuration" if result.code == REFUSED else "the gateway was not reloaded"
    raise StepFailed(f"{what}: {reason}")


def secret_names(text: str) -> set[str]:
    """Names of the secrets that a configuration uses."""
    return set(re.findall(rf"var\(proc\.({SECRET_PREFIX}\w+)\)", text))


def stale_secrets(output: str, values: Mapping[GatewaySecret, Secret]) -> list[GatewaySecret]:
    """The secrets whose value in the container differs; ``output`` is what ``SECRET_DIGESTS`` printed."""
    present = secret_digests(output)
    wanted = {s: hashlib.sha256(setting(s, value).encode()).hexdigest() for s, value in values.items()}
    return [s for s, digest in wanted.items() if present.get(s.name) != digest]


def secret_digests(output: str) -> dict[str, str]:
    """The secrets that the running configuration uses, by name, as ``SECRET_DIGESTS`` printed them."""
    return {name: digest for digest, name in (line.split() for line in output.splitlines() if line.strip())}


def apply_input(text: str, values: Mapping[GatewaySecret, Secret]) -> bytes:
    """What ``APPLY`` reads: the secrets' values, and the configuration.

    A secret that the configuration uses and that is not among ``values`` keeps
    the value that it has in the container.
    """
    settings = "".join(setting(s, value) for s, value in sorted(values.items(), key=lambda item: item[0].name))
    return f"global\n{settings}{CONFIGURATION_MARK}\n{text}".encode()


def image(wanted: str | None, present: Iterable[str], running: str | None = None) -> str:
    """The image to use: the user's, else the one that runs, else the first of ours that the engine has.

    Where it has neither, the public one, for Compose to pull.
    """
    have = set(present)
    ours = (IMAGE_PUBLIC, IMAGE_HOME)
    if wanted:
        return wanted
    if running in ours:
        return running
    return next((i for i in ours if i in have), IMAGE_PUBLIC)

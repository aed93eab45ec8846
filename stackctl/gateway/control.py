"""Talking to the gateway's container: argv to run inside it (``docker exec -i``), and how to read the answers.

The caller runs them, for instance through ``stackctl.ports.Engine.exec``:

==================  =======================================================  =========================
``APPLY``           standard input: ``Rendered.text``; argument: its digest  exit codes below
``STATE``           prints what :func:`stackctl.gateway.state.parse` reads   0, or the gateway is down
``RUNNING``         prints the configuration in force, for undoing           0
``SECRET_DIGESTS``  prints what :func:`stale_secrets` reads                  0
``requests_argv``   prints how many requests are under way at a server       0
``STORE_SECRETS``   standard input: :func:`secrets_archive`; as user ``0``   0
==================  =======================================================  =========================
"""

from __future__ import annotations

import hashlib
import io
import ipaddress
import re
import tarfile
from collections.abc import Iterable, Mapping

from stackctl.config.secrets import Secret
from stackctl.errors import StepFailed
from stackctl.gateway import scripts
from stackctl.gateway.credentials import GatewaySecret
from stackctl.gateway.names import IMAGE_HOME, IMAGE_PUBLIC
from stackctl.ports import Completed

APPLY_TIMEOUT = 30.0
REFUSED, NOT_ARRIVED = 3, 4

STATE = ("sh", "-c", scripts.STATE)
RUNNING = ("sh", "-c", scripts.RUNNING)
SECRET_DIGESTS = ("sh", "-c", scripts.SECRET_DIGESTS)
STORE_SECRETS = ("sh", "-c", scripts.STORE_SECRETS)


def apply_argv(digest: str) -> tuple[str, ...]:
    """Take the configuration on standard input into force, and return when a worker runs it.

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


def stale_secrets(output: str, values: Mapping[GatewaySecret, Secret]) -> list[GatewaySecret]:
    """Those whose value in the container is not ``values``; ``output`` is what ``SECRET_DIGESTS`` printed."""
    present = {name: digest for digest, name in (line.split() for line in output.splitlines() if line.strip())}
    wanted = {s: hashlib.sha256(value.reveal().encode()).hexdigest() for s, value in values.items()}
    return [s for s, digest in wanted.items() if present.get(s.name) != digest]


def secrets_archive(values: Mapping[GatewaySecret, Secret]) -> bytes:
    """A tar archive for ``STORE_SECRETS``: what Compose itself would copy in if the container were made now."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for secret, value in sorted(values.items(), key=lambda item: item[0].name):
            data = value.reveal().encode()
            entry = tarfile.TarInfo(secret.name)
            entry.size, entry.mode = len(data), 0o444
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def compose_variables(values: Mapping[GatewaySecret, Secret]) -> dict[str, str]:
    """What the Compose process needs in its environment to make the gateway's container."""
    return {secret.variable: value.reveal() for secret, value in values.items()}


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

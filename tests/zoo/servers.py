"""The servers outside of the projects: on this machine, below a path, with a token, behind TLS, of another project."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.double import Double, double
from tests.support.netlab import bridge_address
from tests.support.project import MODEL, OLLAMA, docker

SERVER = "zoo.local/ollama/ollama:0.33.0"
"""The double under a name by which a person, and stackctl, know an Ollama."""
TOKEN = "zoo-token"
TLS_NAME = "gpu.zoo.test"
_CA = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True)
class Servers:
    """Where they are. ``network`` is the neighbour's; ``ca`` is the private CA's certificate."""

    doubles: dict[str, Double]
    network: str
    ca: Path

    def instance(self, target: str) -> dict[str, Any]:
        """The instance of ``stackctl.yaml`` that stands for a target."""
        if target == "neighbour":
            return {"url": f"http://{self.network}:11434"}
        port = self.doubles[target].port
        if target == "tls":
            address, tls = bridge_address(), {"ca_file": "certs/ca.pem"}
            return {"url": f"https://{TLS_NAME}:{port}", "address": address, "tls": tls}
        url = f"http://{bridge_address()}:{port}"
        if target == "token":
            return {"url": url, "auth": {"bearer": "${ZOO_TOKEN}"}}
        return {"url": f"{url}/llm" if target == "prefix" else url}


def named(name: str) -> dict[str, str]:
    """What a double's environment says, so that its answers name it."""
    return {
        "OLLAMA_DOUBLE_NAME": f"zoo-{name}",
        "OLLAMA_DOUBLE_VERSION": f"0.33.0-zoo-{name}",
        "OLLAMA_DOUBLE_MODELS": MODEL,
    }


def certificates(room: Path) -> tuple[Path, Path, Path]:
    """A private CA, and the certificate and key of a server that it signed."""
    room.mkdir(parents=True)
    ca, ca_key, cert, key = (room / n for n in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
    for argv in (
        [*_CA, "-subj", "/CN=zoo", "-keyout", ca_key, "-out", ca],
        [*_CA, "-subj", f"/CN={TLS_NAME}", "-addext", f"subjectAltName=DNS:{TLS_NAME}", "-addext",
         "basicConstraints=critical,CA:FALSE", "-CA", ca, "-CAkey", ca_key, "-keyout", key, "-out", cert],
    ):  # fmt: skip
        subprocess.run(["openssl", "req", *argv], check=True, capture_output=True)
    return ca, cert, key


@contextlib.contextmanager
def servers(room: Path) -> Iterator[Servers]:
    """Start all of them; they are gone afterwards."""
    docker("tag", OLLAMA, SERVER)
    ca, cert, key = certificates(room / "certs")
    kinds: dict[str, dict[str, Any]] = {
        "host": {},
        "prefix": {"faults": {"prefix": "/llm"}},
        "token": {"faults": {"bearer": TOKEN}},
        "tls": {"tls": (cert, key)},
    }
    network = f"sct-zoo-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        doubles = {
            kind: stack.enter_context(
                double(room / kind, host=bridge_address(), models=[MODEL], env=named(kind), admin=False, **settings)
            )
            for kind, settings in kinds.items()
        }
        docker("network", "create", network)
        stack.callback(docker, "network", "rm", network, check=False)
        stack.callback(docker, "rm", "--force", "--volumes", network, check=False)
        told = [f"--env={k}={v}" for k, v in named("neighbour").items()]
        docker(
            "run", "--detach", f"--name={network}", f"--network={network}", "--label=io.stackctl.test=1", *told, SERVER
        )
        yield Servers(doubles, network, ca)

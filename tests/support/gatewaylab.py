"""A stack with a gateway and several upstreams on the real engine, for tests and for the bench.

Everything is labelled and named at random, and is removed by :meth:`Lab.close`.
The lab drives the pure room ``stackctl.gateway`` by hand, with the docker client.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackctl.config.models import StackConfig
from stackctl.config.secrets import Secret
from stackctl.config.target import resolve
from stackctl.gateway import control, state
from stackctl.gateway.credentials import GatewaySecret, gateway_secrets
from stackctl.gateway.haproxy import Rendered, render
from stackctl.gateway.service import fragment
from stackctl.gateway.upstream import group
from stackctl.ports import Completed

UPSTREAM = (Path(__file__).parent / "gateway_upstream.py").read_text()
IMAGE = os.environ.get("STACKCTL_TEST_GATEWAY_IMAGE", "stackctl.local/gateway:dev")
PYTHON = "stackctl.local/python:base"


class Lab:
    """One Compose project: ``stackctl-gateway``, a network of consumers, upstreams added with :meth:`upstream`."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        variables: Mapping[str, str] | None = None,
        image: str = IMAGE,
    ) -> None:
        self.project = f"sct-gateway-{secrets.token_hex(4)}"
        self.directory = directory
        self.variables = dict(variables or {})
        self.image = image
        self.network = f"{self.project}_stackctl-inner"
        self.extra: list[str] = []
        self.configure(config)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Another stackctl.yaml."""
        self.config = StackConfig.model_validate({"version": 1, "gateway": True, **config})

    # -- the stack -------------------------------------------------------

    def start(self) -> None:
        """Bring the gateway up and wait until it is healthy. It has no configuration yet."""
        part = fragment(project=self.project, image=self.image, networks={"front": ["ollama", "stackctl-gateway"]})
        service = {**part.service, "labels": {**part.service["labels"], "io.stackctl.test": "1"}}
        top = {section: {k: dict(v) for k, v in entries.items()} for section, entries in part.top.items()}
        for entry in (*top["networks"].values(), *top["volumes"].values()):
            entry["labels"] = {**entry["labels"], "io.stackctl.test": "1"}
        top["networks"]["front"] = {"labels": {"io.stackctl.test": "1"}}
        (self.directory / "compose.yaml").write_text(json.dumps({"services": {"stackctl-gateway": service}, **top}))
        self.compose("up", "-d", "--wait")

    def compose(self, *arguments: str) -> str:
        return docker("compose", "-p", self.project, "-f", str(self.directory / "compose.yaml"), *arguments)

    @property
    def gateway(self) -> str:
        return f"{self.project}-stackctl-gateway-1"

    @property
    def url(self) -> str:
        networks = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", self.gateway))
        return f"http://{networks[f'{self.project}_front']['IPAddress']}:11434"

    def upstream(self, name: str, *, alias: str | None = None, **environment: str) -> str:
        """Start an upstream under ``name`` on the gateway's own network; its address from this host."""
        container = f"{self.project}-{name}"
        if container not in self.extra:
            self.extra.append(container)
        flags = [part for key in environment for part in ("-e", key)]
        docker(
            "run",
            "-d",
            "--name",
            container,
            "--network",
            self.network,
            "--network-alias",
            alias or name,
            "--label",
            "io.stackctl.test=1",
            "--stop-timeout",
            "0",
            "-e",
            "NAME",
            *flags,
            PYTHON,
            "python3",
            "-c",
            UPSTREAM,
            environment={**os.environ, "NAME": name, **environment},
        )
        return self.address(name)

    def address(self, name: str) -> str:
        field = f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}'
        return docker("inspect", "-f", field, f"{self.project}-{name}")

    def ask(self, name: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask an upstream itself, from this host."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address(name)}:11434{path}", data=data)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def control(self, name: str, settings: Mapping[str, Any]) -> None:
        """Change how an upstream behaves: ``health_delay``, ``health_status``, ``listen``, ``finish`` (streams)."""
        self.ask(name, "/control", settings)

    def restart(self, name: str) -> None:
        """Restart an upstream, with its settings as they were first, and wait until it answers."""
        docker("restart", "-t", "0", self.container(name))
        eventually(lambda: self.ask(name, "/seen"))

    def state_of(self, name: str) -> str:
        return docker("inspect", "-f", "{{.State.Status}}", self.container(name))

    def values(self) -> dict[GatewaySecret, Secret]:
        """The gateway's secrets, from ``variables``: by the name of the variable, the path of the file."""
        return {s: Secret(self.variables[s.reference.argument]) for s in gateway_secrets(self.config)}

    def container(self, name: str) -> str:
        return f"{self.project}-{name}"

    def close(self) -> None:
        """Remove everything that this lab made."""
        subprocess.run(["docker", "rm", "-f", "-v", self.gateway, *self.extra], capture_output=True, check=False)
        for kind in ("network", "volume"):
            found = docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={self.project}").split()
            for item in found:
                subprocess.run(["docker", kind, "rm", item], capture_output=True, check=False)

    # -- the gateway -----------------------------------------------------

    def render(self, profile: str, **options: Any) -> Rendered:
        return render(group(self.config, resolve(self.config, profile), **options))

    def exec(self, argv: Sequence[str], *, stdin: bytes = b"") -> Completed:
        command = ["docker", "exec", "-i", self.gateway, *argv]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)
        return Completed(done.returncode, done.stdout, done.stderr)

    def apply(self, text: str, digest: str) -> Completed:
        """Send a configuration with the secrets that it uses."""
        used = control.secret_names(text)
        given = control.apply_input(text, {s: value for s, value in self.values().items() if s.name in used})
        return self.exec(control.apply_argv(digest), stdin=given)

    def switch(self, profile: str, **options: Any) -> Rendered:
        """Put the configuration of a profile into force."""
        rendered = self.render(profile, **options)
        control.check_applied(self.apply(rendered.text, rendered.digest))
        return rendered

    def state(self) -> state.GatewayState:
        return state.parse(self.exec(control.STATE).text)

    def stale(self) -> list[str]:
        """The secrets that the running configuration has not as they are now."""
        output = self.exec(control.SECRET_DIGESTS).text
        known = control.secret_digests(output)
        values = {s: value for s, value in self.values().items() if s.name in known}
        return [s.reference.argument for s in control.stale_secrets(output, values)]


def docker(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    if done.returncode:
        raise AssertionError(f"docker {' '.join(arguments[:4])}: {done.stderr.strip()}")
    return done.stdout.strip()


def eventually(condition: Callable[[], Any], *, seconds: float = 15, every: float = 0.05) -> Any:
    """Wait until the condition holds; its value. An exception of the last try is raised."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := condition():
                return value
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


def certificate(
    name: str, *, names: str = "DNS:localhost", signed_by: tuple[str, str] | None = None
) -> tuple[str, str]:
    """A certificate and its key as PEM text: of an authority, or of a server signed by one."""
    with tempfile.TemporaryDirectory() as directory:
        paths = {part: str(Path(directory) / part) for part in ("cert", "key", "ca-cert", "ca-key")}
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-keyout",
            paths["key"],
            "-out",
            paths["cert"],
        ]
        if signed_by:
            Path(paths["ca-cert"]).write_text(signed_by[0])
            Path(paths["ca-key"]).write_text(signed_by[1])
            command += [
                "-CA",
                paths["ca-cert"],
                "-CAkey",
                paths["ca-key"],
                "-addext",
                f"subjectAltName={names}",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ]
        subprocess.run(command, check=True, capture_output=True)
        return Path(paths["cert"]).read_text(), Path(paths["key"]).read_text()

"""Addresses of a diagnosis that leaves the machine, and what of a scene is secret."""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackctl.diagnose.scene import Scene
from stackctl.redaction import REDACTED, is_secret_name

_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])(?:[0-9A-Fa-f]{1,4}:){2,7}[0-9A-Fa-f:]{1,39}(?![0-9A-Fa-f:])")
_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
_KEEP = ("127.", "0.0.0.0", "255.255.255.255")  # noqa: S104
_SHOWN_VARIABLES = re.compile(r"OLLAMA|OPENAI.*(?:URL|BASE)|PROXY|_HOST$|_URL$", re.IGNORECASE)


class AddressMask:
    """Masks the addresses of texts. The same address gets the same stand-in throughout."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The text without addresses of this machine and its networks; loopback stays."""
        text = _MAC.sub("xx:xx:xx:xx:xx:xx", text)
        text = _IPV4.sub(self._address, text)
        return _IPV6.sub(self._address, text)

    def _address(self, match: re.Match[str]) -> str:
        found = match[0]
        try:
            ip = ipaddress.ip_address(found)
        except ValueError:
            return found
        if found.startswith(_KEEP) or ip.is_loopback or ip.is_unspecified:
            return found
        kind = "docker-or-lan" if ip.is_private else "public"
        return self._addresses.setdefault(found, f"<{kind}-{len(self._addresses) + 1}>")


def plain(value: str) -> str:
    """Without control characters but the newline: what a server said must not steer a terminal."""
    return "".join(c if c == "\n" or (c.isprintable() or c == " ") else "�" for c in value)


def named_values(scene: Scene) -> Iterator[tuple[str, str]]:
    """Every variable and header of the containers, files and the shell; the redactor judges their names."""
    yield from scene.shell.items()
    yield from scene.dotenv.items()
    for container in scene.everything:
        yield from container.environment.items()
    for service in scene.project:
        yield from ((k, v or "") for k, v in service.environment.items())
    for setting in scene.settings:
        yield from ((k, v.rpartition(" ")[2]) for k, v in setting.headers.items())
        if setting.userinfo:
            yield "password", setting.userinfo.partition(":")[2] or setting.userinfo


def container(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A container's inspection with only the names of its variables, except those that speak of addresses."""
    out = copy.deepcopy(dict(raw))
    config = out.get("Config") or {}
    config["Env"] = [_variable(*entry.partition("=")[::2]) for entry in config.get("Env") or []]
    return out


def _variable(name: str, value: str) -> str:
    return f"{name}={value if _SHOWN_VARIABLES.search(name) and not is_secret_name(name) else REDACTED}"

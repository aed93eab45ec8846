"""Take secrets and addresses out of what leaves the machine. The same address is the same mask throughout."""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from stackctl.diagnose.scene import Scene

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|API_?KEY|PRIVATE_?KEY|CREDENTIAL|AUTH|COOKIE|SESSION|_KEY$|DSN$|DATABASE_URL", re.IGNORECASE
)
_PAIRS = re.compile(
    r"(?P<key>\"?[A-Za-z_][A-Za-z0-9_.-]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|APIKEY|PRIVATE_?KEY|CREDENTIALS?|COOKIE)[A-Za-z0-9_]*\"?)"
    r"(?P<sep>\s*[=:]\s*\"?)(?P<value>[^\s\"',}]{3,})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_USERINFO = re.compile(r"(//)[^/@\s\"']+@")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])(?:[0-9A-Fa-f]{1,4}:){2,7}[0-9A-Fa-f:]{1,39}(?![0-9A-Fa-f:])")
_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
_KEEP = ("127.", "0.0.0.0", "255.255.255.255")  # noqa: S104


class Masker:
    """Masks texts; addresses get the same stand-in each time."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        self._hidden = sorted({h for h in hidden if len(h) >= 4}, key=len, reverse=True)
        self._addresses: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The text without secrets and addresses."""
        for value in self._hidden:
            text = text.replace(value, "********")
        text = _BEARER.sub(lambda m: f"{m[1]} ********", text)
        text = _USERINFO.sub(r"\1********@", text)
        text = _PAIRS.sub(lambda m: f"{m['key']}{m['sep']}********", text)
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


def text(value: str, hidden: Iterable[str] = ()) -> str:
    """Mask one text."""
    return Masker(hidden)(value)


def secrets_of(scene: Scene | None) -> list[str]:
    """Values of variables whose names say that they are secret, in containers, files and the shell."""
    if scene is None:
        return []
    pairs: list[tuple[str, str]] = [*scene.shell.items(), *scene.dotenv.items()]
    for container in scene.everything:
        pairs += container.environment.items()
    for service in scene.project:
        pairs += [(k, v or "") for k, v in service.environment.items()]
    found = [value for name, value in pairs if _SECRET_NAME.search(name) and len(value) >= 6]
    for setting in scene.settings:
        if setting.userinfo:
            found += [setting.userinfo, *setting.userinfo.split(":")]
        found += [v.rpartition(" ")[2] for k, v in setting.headers.items() if k.lower() == "authorization"]
    return found


def container(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A container's inspection with only the names of its variables, except those that speak of addresses."""
    out = copy.deepcopy(dict(raw))
    config = out.get("Config") or {}
    kept = re.compile(r"OLLAMA|OPENAI.*(?:URL|BASE)|PROXY|_HOST$|_URL$", re.IGNORECASE)
    config["Env"] = [
        e
        if kept.search(e.partition("=")[0]) and not _SECRET_NAME.search(e.partition("=")[0])
        else f"{e.partition('=')[0]}=********"
        for e in config.get("Env") or []
    ]
    return out

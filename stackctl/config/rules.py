"""Rules of ``stackctl.yaml`` that need two places at once.

They read the plain tree, not the models, so that they are reported in the same
go as a wrong type elsewhere in the file.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from stackctl.config.tree import Path, Tree
from stackctl.errors import Problem
from stackctl.redaction import SHAPED

PLACEHOLDERS = ("url", "scheme", "host", "port", "model", "token")
SECRET_HEADERS = re.compile(r"authorization|token|secret|password|api[-_]?key|cookie", re.IGNORECASE)
# One word in braces: JSON and a shell's `${NAME}` look different, and are kept as they are.
_PLACEHOLDER = re.compile(r"(?<!\$)\{(\w*)\}")


def check_rules(tree: Tree, file: str) -> list[Problem]:
    """Every broken rule, with its place."""
    return [
        Problem(file, *tree.position(path, key=on_key), message, hint)
        for path, on_key, message, hint in _all(tree.data)
    ]


_Found = tuple[Path, bool, str, str]


def _section(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return {str(k): v for k, v in data.items()} if isinstance(data, dict) else {}


def _all(data: dict[str, Any]) -> Iterator[_Found]:
    yield from _environments(data)
    yield from _consumers(data)
    yield from _instances(data)
    yield from _profiles(data)
    yield from _default(data)
    yield from _local(data)
    yield from _own_server(data)


def _suggest(name: object, known: list[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else (f"known: {', '.join(known)}" if known else "")


def _environments(data: dict[str, Any]) -> Iterator[_Found]:
    default, known = data.get("default_environment"), list(_section(data, "environments"))
    if isinstance(default, str) and default not in known:
        yield ("default_environment",), False, f'no environment "{default}" is defined', _suggest(default, known)


def _consumers(data: dict[str, Any]) -> Iterator[_Found]:
    for name, consumer in _section(data, "consumers").items():
        path: Path = ("consumers", name)
        for place, template in _templates(consumer):
            for word in _PLACEHOLDER.findall(template):
                if word not in PLACEHOLDERS:
                    yield (
                        (*path, *place),
                        False,
                        f"{{{word}}} is no placeholder",
                        _suggest(word, [f"{{{p}}}" for p in PLACEHOLDERS])
                        if word
                        else "known: {" + "}, {".join(PLACEHOLDERS) + "}",
                    )
            if SECRET_HEADERS.search(str(place[-1])) and _is_literal_secret(template):
                variable = re.sub("[^A-Z0-9]+", "_", f"{name}_{place[-1]}".upper())
                yield (
                    (*path, *place),
                    False,
                    f'a literal secret in the variable "{place[-1]}" is refused',
                    f"{place[-1]}: ${{{variable}}}",
                )
        if isinstance(consumer, dict) and "fixed" in consumer:
            for key in ("env", "command", "entrypoint"):
                if key in consumer:
                    yield (
                        (*path, key),
                        True,
                        f'"{name}" cannot be told its Ollama by `{key}` and be `fixed` too',
                        f"take out `fixed`, or take out `{key}`",
                    )
        verify = consumer.get("verify") if isinstance(consumer, dict) else None
        if isinstance(verify, dict) and ("http" in verify) == ("exec" in verify):
            yield (*path, "verify"), False, "verify takes one of `http` and `exec`", ""


def _is_literal_secret(template: str) -> bool:
    """Whether it has the shape of a secret; apps without one are often given a word such as ``ollama`` or ``none``."""
    return "{" not in template and bool(re.search(r"\d", template)) and bool(re.search(SHAPED, template))


def _templates(consumer: Any) -> Iterator[tuple[Path, str]]:
    """Every template of a consumer, and where it stands below it."""
    for variable, template in _section(consumer, "env").items():
        if isinstance(template, str):
            yield ("env", variable), template
    for key in ("command", "entrypoint"):
        words = consumer.get(key) if isinstance(consumer, dict) else None
        for index, template in enumerate(words if isinstance(words, list) else []):
            if isinstance(template, str):
                yield (key, index), template


def _instances(data: dict[str, Any]) -> Iterator[_Found]:
    for name, instance in _section(data, "instances").items():
        path: Path = ("instances", name)
        if name == "local":
            yield path, True, 'an instance cannot be named "local": that is the Ollama container', "choose another name"
        if not isinstance(instance, dict):
            continue
        address = instance.get("address")
        if isinstance(address, str) and address != "host-gateway" and re.fullmatch(r"[0-9A-Fa-f:.]+", address):
            try:
                ipaddress.ip_address(address)
            except ValueError:
                yield (*path, "address"), False, f'"{address}" is not an IP address', "address: 192.168.1.100"
        yield from _credentials(path, instance.get("auth"))
        for header, value in _section(instance, "headers").items():
            if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
                yield (
                    (*path, "headers", header),
                    False,
                    f'the header "{header}" holds a line end or a control character',
                    "",
                )
            if isinstance(value, str) and SECRET_HEADERS.search(header) and not re.search(r"\$\{[^}]+\}", value):
                yield (
                    (*path, "headers", header),
                    False,
                    f'a literal secret in the header "{header}" is refused',
                    f"{header}: ${{{re.sub('[^A-Z0-9]+', '_', f'{name}_{header}'.upper())}}}",
                )


def _credentials(path: Path, auth: Any) -> Iterator[_Found]:
    if not isinstance(auth, dict):
        return
    if ("bearer" in auth) == ("basic" in auth) and set(auth) <= {"bearer", "basic"}:
        yield (*path, "auth"), False, "auth takes one of `bearer` and `basic`", ""
    user = _section(auth, "basic").get("user")
    if isinstance(user, str) and re.search(r"[\x00-\x1f\x7f:]", user):
        message = "the user of basic authentication holds a line end, a control character or a colon"
        yield (*path, "auth", "basic", "user"), False, message, ""


def _profiles(data: dict[str, Any]) -> Iterator[_Found]:
    instances = list(_section(data, "instances"))
    for name, profile in _section(data, "profiles").items():
        path: Path = ("profiles", name)
        if name == "local" or name in instances:
            yield path, True, f'"{name}" is a profile already', "choose another name"
        if not isinstance(profile, dict):
            continue
        use = profile.get("use")
        for index, member in enumerate(use if isinstance(use, list) else []):
            if isinstance(member, str) and member != "local" and member not in instances:
                yield (
                    (*path, "use", index),
                    False,
                    f'no instance "{member}" is defined',
                    _suggest(member, [*instances, "local"]),
                )
            elif isinstance(use, list) and member in use[:index]:
                yield (*path, "use", index), False, f'"{member}" is listed twice', ""
        fallback = profile.get("fallback")
        if isinstance(fallback, str) and fallback != "local" and fallback not in instances:
            yield (
                (*path, "fallback"),
                False,
                f'no instance "{fallback}" is defined',
                _suggest(fallback, [*instances, "local"]),
            )


def _default(data: dict[str, Any]) -> Iterator[_Found]:
    default = data.get("default")
    known = ["local", *_section(data, "instances"), *_section(data, "profiles")]
    if isinstance(default, str) and default and default not in known:
        yield ("default",), False, f'no profile "{default}" is defined', _suggest(default, known)


def _local(data: dict[str, Any]) -> Iterator[_Found]:
    publish = _section(data, "local").get("publish")
    if isinstance(publish, str) and publish.rpartition(":")[2].isdigit():
        address, _, port = publish.rpartition(":")
        if not 0 < int(port) < 65536:
            yield ("local", "publish"), False, f"port {port} is out of range", "publish: 127.0.0.1:11434"
        elif address:
            try:
                ipaddress.ip_address(address.strip("[]"))
            except ValueError:
                yield ("local", "publish"), False, f'"{address}" is not an IP address', "publish: 127.0.0.1:11434"
    gpu = _section(data, "local").get("gpu")
    if isinstance(gpu, dict) and "count" in gpu and "device_ids" in gpu:
        yield ("local", "gpu"), False, "gpu takes one of `count` and `device_ids`", ""


def _own_server(data: dict[str, Any]) -> Iterator[_Found]:
    service = _section(data, "local").get("service", "ollama")
    if isinstance(service, str) and service in _section(data, "consumers"):
        yield (
            ("consumers", service),
            True,
            f'"{service}" is the Ollama container of this stack, and cannot be its own consumer',
            "take it out of `consumers`, or say which service is the Ollama container: `local: {service: …}`",
        )

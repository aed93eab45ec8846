"""Which files Compose reads besides those that it is given, as far as the text of one tells.

Source: compose-spec, ``env_file``, ``label_file``, ``include`` and ``extends``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

_KEY = r"""(?<![\w-])(?:{})["']?\s*:"""
_ELSEWHERE = re.compile(_KEY.format("include|extends|label_file"))
_ENV_FILE = re.compile(_KEY.format("env_file"))

# The C parser reads a hundred services in a twentieth of the time.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]  # chosen at run time
    """Reads values behind Compose's own tags as if they had none."""


def _untagged(loader: Any, _suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _untagged)


def env_files(text: str) -> list[str] | None:
    """Paths under ``env_file``, as written; None where the text alone does not tell what else is read."""
    if _ELSEWHERE.search(text):
        return None
    if not _ENV_FILE.search(text):
        return []
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError:
        return None
    services = document.get("services") if isinstance(document, dict) else None
    found = list(_named(services.values() if isinstance(services, dict) else ()))
    return None if any("$" in name for name in found) else found


def _named(services: Any) -> Iterator[str]:
    for service in services:
        entries = service.get("env_file") if isinstance(service, dict) else None
        for entry in entries if isinstance(entries, list) else [entries]:
            path = entry.get("path") if isinstance(entry, dict) else entry
            if path is not None:
                yield str(path)

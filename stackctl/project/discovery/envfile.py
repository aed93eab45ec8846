"""Environment files with the line of each variable, commented examples among them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

# Compiled when first used: most projects show nothing that needs them.
_LINE = (
    r"^\s*(?P<comment>#[#\s]*)?(?:-\s+)?(?:export\s+)?"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=|:\s)\s*(?P<value>.*?)\s*$"
)
_REMARK, _REMARK_IN_EXAMPLE = r"^#\s|\s#", r"\s#|#\s"
_EXAMPLE = r"(?i)(?:^|[._-])(?:example|sample|template|dist|default|defaults|tmpl|tpl)(?:[._-]|$)"


@dataclass(frozen=True)
class EnvLine:
    """``name=value`` at a line that counts from 1; ``commented`` where it is only an example."""

    name: str
    value: str
    line: int
    commented: bool


def parse_env(text: str, *, exact: bool = False) -> list[EnvLine]:
    """Every assignment of an environment file. A YAML-like ``name: value`` counts only where it is commented.

    ``exact``: a remark begins after a blank, as Compose has it; in examples it often stands right behind the value.
    """
    found = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        match = re.match(_LINE, line)
        if match is None:
            continue
        commented = bool(match["comment"])
        if not commented and "=" not in line:
            continue
        value = _value(match["value"], _REMARK if exact else _REMARK_IN_EXAMPLE)
        found.append(EnvLine(match["name"], value, number, commented))
    return found


def _value(text: str, remark: str) -> str:
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end]
    return re.split(remark, text, maxsplit=1)[0].strip()


def _joint(match: re.Match[str]) -> str:
    """What is left of the word for an example: the separator where it stood between two."""
    return match[0][-1] if not match[0][0].isalnum() and not match[0][-1].isalnum() else ""


def is_example_of(name: str, path: str) -> bool:
    """Whether a file called ``name`` in the same directory shows what ``path`` is to hold.

    ``.env.example``, ``env.sample``, ``.env-template`` and ``env.ollama.example`` show ``.env``;
    ``.env-docker.sample`` shows ``.env-docker``; ``config.example.yaml`` shows ``config.yaml``.
    """
    base = posixpath.basename(path)
    if name == base or not re.search(_EXAMPLE, name):
        return False
    bare = base.lstrip(".")
    stem = re.sub(_EXAMPLE, _joint, name).lstrip(".").rstrip("._-")
    return stem == bare or (bare == "env" and (stem.startswith(("env.", "env-", "env_")) or stem.endswith(".env")))

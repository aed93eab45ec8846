"""Secrets: references in the configuration, values only where they are used.

A secret is written as a reference: ``${NAME}``, ``${NAME:-default}`` (refused
for secrets, since the default would be a literal), ``${file:/run/secrets/x}``
or ``${cmd:pass show ollama}``. The value is read only when it is needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stackctl.redaction import REDACTED

_REFERENCE = re.compile(r"^\$\{(?:(?P<source>file|cmd):(?P<argument>[^}]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*))\}$")


class Secret:
    """A value that never prints; :meth:`reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True)
class SecretRef:
    """Where a secret comes from. ``source`` is ``env``, ``file`` or ``cmd``; no value is ever in here."""

    source: str
    argument: str

    @classmethod
    def parse(cls, text: str) -> SecretRef:
        """Parse one reference; raise ``ValueError`` for a literal or for mixed text."""
        match = _REFERENCE.match(text)
        if match is None:
            raise ValueError("a literal secret is refused; write ${NAME}, ${file:PATH} or ${cmd:COMMAND}")
        if match["name"]:
            return cls("env", match["name"])
        return cls(match["source"], match["argument"].strip())

    def __str__(self) -> str:
        return f"${{{self.argument}}}" if self.source == "env" else f"${{{self.source}:{self.argument}}}"

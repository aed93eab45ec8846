"""Where each credential of an instance comes from, and how HAProxy reads it. No secret value is stored here.

A secret is a variable of HAProxy's own process, set by one line of a file that
only HAProxy can read, and used through the sample fetch ``var()``: the
configuration holds its name alone, and no process has it in its environment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackctl.config.models import Instance, StackConfig
from stackctl.config.secrets import Secret, SecretRef
from stackctl.errors import UsageError
from stackctl.gateway.names import SECRET_PREFIX
from stackctl.gateway.quoting import literal, quoted

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<reference>\{[^}]*\}))")


@dataclass(frozen=True)
class GatewaySecret:
    """One secret of the gateway; ``name`` is that of HAProxy's variable."""

    reference: SecretRef
    name: str

    @classmethod
    def of(cls, reference: SecretRef) -> GatewaySecret:
        """The secret for a reference; the same reference gives the same secret."""
        if reference.source == "env":
            return cls(reference, SECRET_PREFIX + reference.argument)
        digest = hashlib.sha256(str(reference).encode()).hexdigest()[:12]
        return cls(reference, SECRET_PREFIX + digest)

    @property
    def fetch(self) -> str:
        """HAProxy's expression for the value, for a log-format string."""
        return f"%[var(proc.{self.name})]"


def setting(secret: GatewaySecret, value: Secret) -> str:
    """The line that sets HAProxy's variable; raises ``ValueError`` for a value that no header can hold."""
    text = value.reveal().replace("\r", "").replace("\n", "")
    return f"    set-var-fmt proc.{secret.name} {quoted(literal(text))}\n"


def header_pieces(text: str) -> Iterator[str | GatewaySecret]:
    """The parts of a header's value: literal text, and secrets where ``${…}`` stands; ``$$`` is a dollar sign.

    Raises :class:`UsageError` where ``${…}`` is not a valid reference.
    """
    end = 0
    for match in _REFERENCE.finditer(text):
        if text[end : match.start()]:
            yield text[end : match.start()]
        end = match.end()
        if match["dollar"]:
            yield "$"
            continue
        try:
            yield GatewaySecret.of(SecretRef.parse(match[0]))
        except ValueError:
            raise UsageError(
                f"{match[0]} cannot stand in a header", hint="write ${NAME}, ${file:PATH} or ${cmd:COMMAND}"
            ) from None
    if text[end:]:
        yield text[end:]


def header_format(text: str) -> str:
    """The value of a header as a log-format string, unquoted."""
    return "".join(literal(p) if isinstance(p, str) else p.fetch for p in header_pieces(text))


def instance_secrets(instance: Instance) -> Iterator[GatewaySecret]:
    """Every secret that an instance's credentials and headers refer to."""
    if instance.auth and instance.auth.bearer:
        yield GatewaySecret.of(instance.auth.bearer)
    if instance.auth and instance.auth.basic:
        yield GatewaySecret.of(instance.auth.basic.password)
    for value in instance.headers.values():
        yield from (p for p in header_pieces(value) if isinstance(p, GatewaySecret))


def gateway_secrets(config: StackConfig) -> list[GatewaySecret]:
    """The secrets of every enabled instance, by name, each once."""
    return unique(s for i in config.instances.values() if i.enabled for s in instance_secrets(i))


def unique(secrets: Iterable[GatewaySecret]) -> list[GatewaySecret]:
    """Each secret once, by name."""
    return [s for _, s in sorted({s.name: s for s in secrets}.items())]

"""What must not be copied out of the user's files: Compose resolves ``${API_KEY}`` to its value."""

from __future__ import annotations

import re

from stackctl.project.discovery.address import userinfo
from stackctl.redaction import REDACTED, SHAPED, by_place

COPIES = "it holds what looks like a secret, which stackctl.yaml must not: give the secret a variable of its own"
_NAMED = r"(?i)api[-_]?key|access[-_]?key|token(?!s|iz)|secret|passw|authorization|bearer|credential"


def _without_userinfo(value: str) -> str:
    """``value`` without the credentials of its URLs; of one that cannot be understood, without the whole of it."""
    out, at = "", 0
    for scheme in re.finditer(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        if scheme.start() < at:
            continue
        out += value[at : scheme.end()]
        at = max(userinfo(value, scheme.end()), scheme.end())
        rest = re.match(r"[^\s\"'`<>;|,]*", value[at:])
        if rest and "@" in re.split(r"[?#]", rest[0], maxsplit=1)[0]:
            # A slash in the password, not encoded: what stands before the last @ is none of the address.
            out, at = out + REDACTED, at + rest.end()
    return out + value[at:]


def looks_secret(text: str) -> bool:
    """Whether ``text`` names a secret or has the shape of one."""
    return bool(re.search(_NAMED, text) or re.search(SHAPED, text))


def redacted(value: str | None) -> str | None:
    """``value`` without the user and password of its URLs and without what looks like a secret in the rest."""
    if not value:
        return value
    return re.sub(SHAPED, REDACTED, by_place(_without_userinfo(value)))

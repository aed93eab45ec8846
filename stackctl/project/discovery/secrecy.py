"""What must not be copied out of the user's files: Compose resolves ``${API_KEY}`` to its value."""

from __future__ import annotations

import re

from stackctl.config.secrets import SHAPED

COPIES = "it holds what looks like a secret, which stackctl.yaml must not: give the secret a variable of its own"
_NAMED = r"(?i)api[-_]?key|access[-_]?key|token(?!s|iz)|secret|passw|authorization|bearer|credential"


def looks_secret(text: str) -> bool:
    """Whether ``text`` names a secret or has the shape of one."""
    return bool(re.search(_NAMED, text) or re.search(SHAPED, text))


def redacted(value: str | None) -> str | None:
    """``value`` without the user and password of its URLs and without what looks like a secret in the rest."""
    if not value:
        return value
    bare = re.sub(r"(?<=://)[^\s/@,;|]+@", "", value)
    bare = re.sub(r"(?i)([?&;,\s](?:api[-_]?key|token(?!s|iz)|secret|password|key)=)[^&\s,;]+", r"\1********", bare)
    return re.sub(SHAPED, "********", bare)

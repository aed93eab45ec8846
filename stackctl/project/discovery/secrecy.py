"""What must not be copied out of the user's files: Compose resolves ``${API_KEY}`` to its value."""

from __future__ import annotations

import re

COPIES = "it holds what looks like a secret, which stackctl.yaml must not: give the secret a variable of its own"
_NAMED = r"(?i)api[-_]?key|access[-_]?key|token(?!s|iz)|secret|passw|authorization|bearer|credential"
_SHAPED = (
    r"\b(?:sk|pk|ghp|gho|hf|xox[abp]|glpat|nvapi)[-_][A-Za-z0-9_-]{8,}"
    r"|(?<![A-Za-z0-9/_.:-])(?=[A-Za-z+/_-]*[0-9])(?=[0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{28,}={0,2}(?![A-Za-z0-9/_.:-])"
)


def looks_secret(text: str) -> bool:
    """Whether ``text`` names a secret or has the shape of one."""
    return bool(re.search(_NAMED, text) or re.search(_SHAPED, text))


def redacted(value: str | None) -> str | None:
    """``value`` without the user and password of its URLs and without what looks like a secret in the rest."""
    if not value:
        return value
    bare = re.sub(r"(?<=://)[^\s/@,;|]+@", "", value)
    bare = re.sub(r"(?i)([?&;,\s](?:api[-_]?key|token(?!s|iz)|secret|password|key)=)[^&\s,;]+", r"\1********", bare)
    return re.sub(_SHAPED, "********", bare)

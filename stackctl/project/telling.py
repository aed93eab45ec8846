"""What a template makes of an address, and how its words are read back from a value that it made."""

from __future__ import annotations

import re
from functools import cache

from stackctl.config.url import OllamaUrl

WORDS = ("url", "scheme", "host", "port", "model", "token")
_WORD = re.compile(r"(?<!\$)\{(" + "|".join(WORDS) + r")\}")
_PATTERNS = {"port": r"\d+", "scheme": r"https?"}


def fill(template: str, url: OllamaUrl, *, model: str = "", token: str = "") -> str:
    """The value that an app is given by ``template``, as it stands in the container in the end."""
    given = {"model": model, "token": token}
    return _WORD.sub(lambda match: given.get(match[1]) or spell(match[1], url, match), template)


def spell(word: str, url: OllamaUrl, match: re.Match[str]) -> str:
    """One of the words that an address has, at the place of ``match`` in a template."""
    # An IPv6 address stands in brackets where a port or a path follows it, or a scheme stands before it.
    before, after = match.string[: match.start()], match.string[match.end() :]
    joined = before.endswith("//") or after.startswith((":", "/"))
    host = f"[{url.host}]" if ":" in url.host and joined else url.host
    return {"url": str(url), "scheme": url.scheme, "host": host, "port": str(url.port)}.get(word, "")


def names_an_address(template: str) -> bool:
    """Whether an app that is given such a value learns a host by it."""
    return bool(re.search(r"(?<!\$)\{(?:url|host)\}", template))


def read(template: str, value: str) -> dict[str, str] | None:
    """The words of a template from a value that it made; None where it cannot have made it."""
    found = re.fullmatch(_pattern(template), value, re.DOTALL)
    return {k: v for k, v in found.groupdict().items() if v is not None} if found else None


@cache
def _pattern(template: str) -> str:
    """A regular expression for the values that a template makes, with a group for each word."""
    pattern, position, seen = "", 0, set[str]()
    for match in _WORD.finditer(template):
        word = match[1]
        pattern += re.escape(template[position : match.start()])
        pattern += f"(?P={word})" if word in seen else f"(?P<{word}>{_PATTERNS.get(word, '.*?')})"
        seen.add(word)
        position = match.end()
    return pattern + re.escape(template[position:])

"""Signs of a path in a value: whether the client puts its own path behind it, or asks for the value as it stands."""

from __future__ import annotations

import re

from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.project.discovery.apps import app_of
from stackctl.project.discovery.names import words

_OF_A_PATH = frozenset({Sign.URL_ENDPOINT, Sign.URL_V1, Sign.URL_API})


def read(case: Case, board: Board) -> None:
    """A value that ends in ``/api``, ``/v1`` or a whole endpoint is a fault only where something is appended to it."""
    setting = case.setting
    if not setting.marks & _OF_A_PATH:
        return
    if line := _doubled(case, rf"{re.escape(setting.suffix)}/+(?:api|v1)/[a-z]+"):
        board.note(Sign.CLIENT_APPENDS, line)
        return
    if setting.template.endswith(setting.suffix):  # somebody's word for how this app is told
        board.note(Sign.CLIENT_TAKES_PATH)
        return
    app = app_of(case.service) if case.service is not None else None
    form = app.env.get(setting.variable, "") if app else ""
    if app and form.endswith("}"):
        board.note(Sign.CLIENT_APPENDS, f"{app.app} puts its own path behind {setting.variable}")
    elif form.endswith(setting.suffix) or _names_path(setting.variable, setting.suffix):
        board.note(Sign.CLIENT_TAKES_PATH)
    elif _names_base(setting.variable, setting.suffix):
        board.note(Sign.CLIENT_APPENDS, f"{setting.variable} is called a base, and its value ends in {setting.suffix}")


def _doubled(case: Case, pattern: str) -> str:
    """A request for this path and another behind it: in the consumer's log, or in the server's from its address."""
    if case.container is None:
        return ""
    ours = [str(e["IPAddress"]) for e in case.container.networks.values() if e.get("IPAddress")]
    for container in (c for c in (case.container, case.target) if c is not None):
        for line in case.scene.logs.get(container.name, "").splitlines():
            found = re.search(pattern, line)
            if found and (container is case.container or any(address in line.split() for address in ours)):
                return f"the log of {container.name} holds a request of {case.container.name} for {found[0]}"
    return ""


def _names_base(variable: str, suffix: str) -> bool:
    """``OLLAMA_BASE_URL`` is what ``/api/…`` comes behind; the base of an API may end in ``/api`` or ``/v1``."""
    found = words(variable)
    if not {"base", "baseurl", "origin"} & set(found):
        return False
    return suffix not in ("/api", "/v1") or (suffix == "/v1" and "api" not in found)


def _names_path(variable: str, suffix: str) -> bool:
    """``OLLAMA_GENERATE_URL`` for ``/api/generate``, ``OLLAMA_ENDPOINT`` for any endpoint, ``…API…`` for ``/api``."""
    found, path = set(words(variable)), {part for part in re.split(r"[/_]", suffix) if part}
    if "base" in found and suffix not in ("/api", "/v1"):
        return False
    whole = {"endpoint"} if suffix not in ("/api", "/v1") else set[str]()
    return bool(found & (path | whole))

"""Where a consumer's log says that it goes, whatever client wrote the line."""

from __future__ import annotations

import pytest

from stackctl.diagnose import signs
from stackctl.diagnose.signs.board import Board
from stackctl.diagnose.signs.logs import failed_towards
from tests.diagnose.small_scenes import healthy

ELSEWHERE = [
    "[routers.ollama] Connection error: Cannot connect to host 192.168.50.10:11434 ssl:default [Connect call failed]",
    "request to http://old-box:11434/api/tags failed, reason: getaddrinfo ENOTFOUND old-box",
    "HTTPConnectionPool(host='old-box', port=11434): Max retries exceeded with url: /api/tags",
    "dial tcp 10.0.0.9:11434: connect: connection refused",
    "connect ECONNREFUSED 127.0.0.1:11434",
    "using the address http://old-box:11434 from the database",
    "env says http://ollama:11434, ignored: using http://old-box:11434 from the settings",
]
FINE = [
    "using http://ollama:11434",
    "GET http://ollama:11434/api/tags failed: timed out",
    "Listening on http://0.0.0.0:11434",
    "CORS: http://localhost:3000, http://localhost:11434 are allowed",
    "connect ECONNREFUSED 10.78.0.2:11434",
    "main.py:114 failed",
    "cannot connect to postgres://db:5432",
    "GET http://ollama-webui:8080/health failed",
    "cannot connect to http://old-box:11434\nconnected to http://ollama:11434",
]


def board_of(log: str) -> Board:
    scene = healthy(log)
    return signs.of(scene, scene.settings[0])


@pytest.mark.parametrize("line", ELSEWHERE)
def test_a_line_about_another_ollama(line: str) -> None:
    assert "log.other_host" in board_of(line).on


@pytest.mark.parametrize("log", FINE)
def test_a_line_about_the_own_one_or_none(log: str) -> None:
    assert "log.other_host" not in board_of(log).on


@pytest.mark.parametrize(
    ("line", "failed"),
    [
        ("connection to http://ollama:11434 failed: timed out", True),
        ("connect ECONNREFUSED 10.78.0.2:11434", True),
        ("getaddrinfo ENOTFOUND ollama", True),
        ("GET http://ollama:11434/api/tags 200", False),
        ("connect ECONNREFUSED 10.78.0.2:5432", False),
        ("getaddrinfo ENOTFOUND postgres", False),
    ],
)
def test_a_call_that_failed(line: str, failed: bool) -> None:
    assert failed_towards(line, {"ollama", "10.78.0.2"}, 11434) is failed


def test_credentials_of_a_line_are_no_evidence() -> None:
    board = board_of("cannot connect to http://me:sesame@old-box:11434/api")
    assert "sesame" not in board.seen["log.other_host"]
    assert board.words["other_host"] == "old-box:11434"

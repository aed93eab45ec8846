"""References and what they stand for: late, once, and never in an error."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stackctl.adapters.secrets import SecretResolver
from stackctl.errors import WrongInput

CANARY = "canary-7f3a"


def agreed(_reference: str, _path: Path | None) -> None:
    """Nothing waits for a yes."""


@pytest.fixture
def resolver(tmp_path: Path) -> SecretResolver:
    (tmp_path / "token").write_text(f"{CANARY}\n")
    (tmp_path / "windows").write_bytes(f"{CANARY}\r\n".encode())
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    return SecretResolver({"TOKEN": CANARY, "EMPTY": "", "A": "x"}, tmp_path, agreed, timeout=2.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${TOKEN}", CANARY),
        ("Bearer ${TOKEN}", f"Bearer {CANARY}"),
        ("${A}-${TOKEN}", f"x-{CANARY}"),
        ("${file:token}", CANARY),
        ("${file:windows}", CANARY),
        ("${cmd:printf canary-7f3a}", CANARY),
        ("${cmd:echo 'canary-7f3a'}", CANARY),
        ("${cmd:cat token}", CANARY),
        ("${ABSENT:-renfield}", "renfield"),
        ("cost: $$5", "cost: $5"),
        ("plain", "plain"),
    ],
)
def test_values(resolver: SecretResolver, text: str, value: str) -> None:
    assert resolver(text).reveal() == value
    assert CANARY not in repr(resolver(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${ABSENT}", "${ABSENT} is not set"),
        ("${EMPTY}", "${EMPTY} is empty"),
        ("${file:nope}", "cannot be read: No such file"),
        ("${file:empty}", "supplies nothing"),
        ("${file:binary}", "no UTF-8 text"),
        ("${file:big}", "more than 64 kB"),
        ("${file:.}", "cannot be read"),
        ("${cmd:no-such-program-xyz}", "cannot be run"),
        ("${cmd:false}", "failed with code 1"),
        ("${cmd:sh -c 'echo not in the store >&2; exit 3'}", "failed with code 3: not in the store"),
        ("${cmd:true}", "supplies nothing"),
        ("${cmd:echo 'open}", "is no command"),
        ("${cmd:sleep 30}", "no answer within 2 s"),
    ],
)
def test_errors_name_the_reference(resolver: SecretResolver, text: str, words: str) -> None:
    begun = time.monotonic()
    with pytest.raises(WrongInput) as caught:
        resolver(text)
    assert words in caught.value.message
    assert caught.value.code == 2
    assert time.monotonic() - begun < 6


def test_a_command_has_no_shell_and_runs_once(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("#!/bin/sh\necho x >> seen; echo secret\n")
    (tmp_path / "count").chmod(0o755)
    resolver = SecretResolver({}, tmp_path, agreed)
    assert resolver("${cmd:./count ; rm -rf x}").reveal() == "secret"
    assert resolver("${cmd:./count ; rm -rf x}").reveal() == "secret"
    assert (tmp_path / "seen").read_text() == "x\n"

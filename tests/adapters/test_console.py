"""What is printed, where, and what never is."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stackctl.adapters.console import Console, printable
from stackctl.errors import ConfigError, Problem, RollbackFailed, UsageError
from stackctl.outcome import Line, Outcome, Table, Verbatim
from tests.support.cli import PROGRAM, ROOT, environment

SECRET = "hunter2-hunter2"
NASTY = "a\x1b[31mred\x1b[0m\x07\r\x9b2J\u202egpj.exe\x00"


def test_control_characters_are_made_visible() -> None:
    assert printable(NASTY) == r"a\x1b[31mred\x1b[0m\x07\x0d\x9b2J\u202egpj.exe\x00"
    assert printable("tab\tand\nline é 😀") == "tab\tand\nline é 😀"


def test_no_channel_lets_them_through(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(verbose=1)
    console.note(NASTY)
    console.warn(NASTY)
    console.detail(NASTY)
    console.error(UsageError(NASTY, hint=NASTY, where=NASTY))
    console.error(ConfigError([Problem("f", 1, 1, NASTY, NASTY)]))
    console.error(RollbackFailed(NASTY, steps=[NASTY]))
    with console.step(NASTY):
        pass
    console.present(Outcome("s", {}, [Line(NASTY), Table(["h"], [[NASTY], [(NASTY, "bad")]])], [NASTY]))
    shown = capsys.readouterr()
    assert shown.out
    assert shown.err
    for text in (shown.out, shown.err):
        assert not set(text) & set("\x1b\x07\r\x9b\u202e\x00")


def test_results_go_to_one_stream_and_the_rest_to_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.note("on the way")
    console.present(Outcome("s", {}, [Line("result")], ["next"]))
    shown = capsys.readouterr()
    assert shown.out == "result\n\nNext:\n  next\n"
    assert shown.err == "· on the way\n"


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=True)
    console.redactor.hide([SECRET])
    console.note("progress")
    code = console.present(Outcome("stackctl.x/1", {"a": f"x{SECRET}", "b": NASTY}, [Line("no")], ["no"], 1))
    shown = capsys.readouterr()
    assert code == 1
    assert json.loads(shown.out) == {"schema": "stackctl.x/1", "a": "x********", "b": NASTY}
    assert "\x1b" not in shown.out


def test_secrets_are_masked_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    odd = 'quote"and\\slash\nline'
    console = Console(verbose=1)
    console.redactor.hide([SECRET, odd, "x"])
    text = f"<{SECRET}|{odd}>"
    console.note(text)
    console.detail(text)
    console.error(UsageError(text, hint=text))
    console.present(Outcome("s", {}, [Line(text), Verbatim(text + "\n"), Table(["h"], [[text]])], [text]))
    Console.present(_like(console, as_json=True), Outcome("s", {"t": text}))
    shown = "".join(capsys.readouterr())
    assert "hunter2" not in shown
    assert "slash" not in shown
    assert "<********|********>" in shown


def _like(console: Console, *, as_json: bool) -> Console:
    console.as_json = as_json
    return console


def test_quiet_says_only_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.note("note")
    with console.step("step"):
        pass
    console.present(Outcome("s", {}, [Line("fine")], ["next"]))
    console.present(Outcome("s", {}, [Verbatim("asked for\n")]))
    console.warn("warned")
    console.present(Outcome("s", {}, [Line("failed")], ["next"], 1))
    shown = capsys.readouterr()
    assert shown.out == "asked for\nfailed\n"
    assert shown.err == "! warned\n"


@pytest.mark.parametrize(
    ("variables", "arguments", "colour"),
    [
        ({"TERM": "xterm"}, [], True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, [], False),
        ({"TERM": "xterm", "NO_COLOR": ""}, [], False),
        ({"TERM": "xterm"}, ["--no-color"], False),
        ({"TERM": "dumb"}, [], False),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
    ],
)
def test_colour_in_a_terminal(variables: dict[str, str], arguments: list[str], colour: bool, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [*PROGRAM, *arguments, "up"], cwd=tmp_path, env={**environment(dict(variables)), "PYTHONPATH": str(ROOT)},
        stdin=theirs, stdout=theirs, stderr=theirs, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert b"no stackctl.yaml" in said
    assert (b"\x1b[3" in said) is colour


def test_a_reader_that_has_gone(tmp_path: Path) -> None:
    """`stackctl schema | head -c 1` ends quietly."""
    process = subprocess.Popen(
        [*PROGRAM, "schema"], cwd=tmp_path, env={**environment(), "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert said == b""


def test_a_terminal_that_knows_only_ascii(tmp_path: Path) -> None:
    (tmp_path / "stackctl.yaml").write_text("version: 1\nké: 1\n")
    done = subprocess.run(
        [*PROGRAM, "status"], cwd=tmp_path, capture_output=True, check=False,
        env={**environment({"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert b'unknown key "k\\xe9"' in done.stderr
    assert sys.getdefaultencoding() == "utf-8"


@pytest.mark.parametrize("secret", ["pa$$word-1$x", "it's-a-secret", 'with"quotes-1', "back\\slash-1", "plain-secret"])
def test_a_secret_is_hidden_however_a_document_spells_it(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.redactor.hide([secret])
    doubled = secret.replace("$", "$$")
    for text in (secret, doubled):
        spelt = f"{text}\n{json.dumps(text)}\n{yaml.safe_dump({'a': text, 'b': f'x: {text}'})}"
        console.text(console.redactor.text(spelt))
    said = capsys.readouterr().out
    assert said.count("********") == 8
    assert "secret" not in said
    assert "-1" not in said

"""Exit 3 is a bug of ours, never of what we are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Ran, run_process

pytestmark = pytest.mark.engine

COMPOSE = "services:\n  app:\n    image: x\n    environment: {OLLAMA_URL: http://box:11434}\n"
CONFIG = 'version: 1\ngateway: true\nconsumers: {app: {env: {OLLAMA_URL: "{url}"}}}\ninstances:\n  box:\n'
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
}


def run(here: Path, *line: str, **env: str) -> Ran:
    return run_process(*line, cwd=here, env={"PW": "hunter2", **env}, timeout=60)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (r'auth: {basic: {user: "u\r\nX: y", password: "${PW}"}}', "7:26"),
        (r'auth: {basic: {user: "u\u0007", password: "${PW}"}}', "7:26"),
        (r'auth: {basic: {user: "u:v", password: "${PW}"}}', "7:26"),
        (r'endpoints: {chat: "/a\u0007b"}', "7:23"),
        (r'endpoints: {list_models: "/x\r\nHost: evil"}', "7:30"),
        (r'headers: {X-A: "a\r\nX-Admin: 1"}', "7:20"),
    ],
)
def test_what_no_header_or_path_may_hold(here: Path, settings: str, place: str) -> None:
    (here / "stackctl.yaml").write_text(f"{CONFIG}    url: http://127.0.0.1:1\n    {settings}\n")
    for line in (["render"], ["up", "--dry-run"]):
        assert f"stackctl.yaml:{place}: " in run(here, *line).ended(2).err


def test_a_secret_that_is_no_text(here: Path) -> None:
    auth = '    auth: {basic: {user: u, password: "${PW}"}}\n'
    (here / "stackctl.yaml").write_text(f"{CONFIG}    url: http://127.0.0.1:1\n{auth}")
    ran = run(here, "instances", "test", "--json", PW="a\udcff").ended(1)
    assert "no UTF-8 text" in ran.json["instances"][0]["message"]


@pytest.mark.parametrize("name", LOCALES)
def test_a_locale_that_knows_few_letters(here: Path, name: str) -> None:
    """Signs such as ✓ and → are said in what there is; a name with an umlaut in it is told and not a traceback."""
    named = here / "dä"
    named.mkdir()
    (named / "compose.yaml").write_text(COMPOSE)
    for line in (["init", "--dry-run"], ["init"], ["render"], ["status"], ["instances", "list"], ["explain", "ä"],
                 ["switch", "http://bä:1"], ["diagnose", "--list-causes"], ["--help"], ["schema"]):  # fmt: skip
        done = run(named, *line, **LOCALES[name])
        assert done.code in (0, 1, 2), done.text
        assert "Traceback" not in done.text

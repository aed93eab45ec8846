"""``render --show-secrets``: values as they are, after a yes, and redacted otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.cli import run_here

pytestmark = pytest.mark.engine


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  app:\n    image: a:1\n    environment: {DB_PASSWORD: hunter2, API_KEY: '${KEY}', PORT: '80'}\n"
        "    command: [serve, --token, tiny-t0ken]\n    labels: {auth.basicauth: 'u:hunter2'}\n"
    )
    (tmp_path / ".env").write_text("KEY=from-the-env-file-1\n")
    (tmp_path / "stackctl.yaml").write_text("version: 1\nconsumers: {app: {env: {OLLAMA_URL: '{url}'}}}\n")
    return tmp_path


def test_the_merged_project_is_redacted_and_stays_yaml(here: Path) -> None:
    ran = run_here("-C", here, "render", "http://h:1", "--merged").ok()
    app = yaml.safe_load(ran.out)["services"]["app"]
    assert app["environment"] == {
        "DB_PASSWORD": "********", "API_KEY": "********", "PORT": "80", "OLLAMA_URL": "http://h:1",
    }  # fmt: skip
    assert app["command"] == ["serve", "--token", "********"]
    for arguments in (["render", "http://h:1", "--merged", "--json"], ["compose", "--", "--profile", "x", "config"]):
        text = run_here("-C", here, *arguments).ok().text
        assert "app" in text
        for secret in ("hunter2", "from-the-env-file-1", "tiny-t0ken"):
            assert secret not in text


def test_they_are_shown_after_a_yes_only(here: Path) -> None:
    refused = run_here("-C", here, "render", "http://h:1", "--merged", "--show-secrets").ended(2)
    assert "--yes" in refused.err
    shown = run_here("-C", here, "render", "http://h:1", "--merged", "--show-secrets", "--yes").ok()
    assert yaml.safe_load(shown.out)["services"]["app"]["environment"]["API_KEY"] == "from-the-env-file-1"

"""``render --merged`` of projects that people publish: what is redacted stays a file that Compose reads."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.corpus.projects import CORPUS, FileSet, file_sets, prepare
from tests.support.inprocess import Worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.engine,
    pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not there: {CORPUS}"),
]
SAMPLE = int(os.environ.get("STACKCTL_MERGED_SAMPLE", "24"))
"""File sets that are rendered: always the same ones."""


def sample() -> list[FileSet]:
    every = file_sets()
    return random.Random(13).sample(every, min(SAMPLE, len(every)))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker({**os.environ, "COLUMNS": "200"})
    yield made
    made.close()


@pytest.mark.parametrize("one", sample(), ids=lambda one: one.id)
def test_the_merged_project_is_read_again(one: FileSet, worker: Worker, tmp_path: Path) -> None:
    readable = prepare(one, tmp_path)
    if readable.refused or readable.error:
        pytest.skip("Compose does not read the project itself")
    env: dict[str, str | None] = dict.fromkeys(os.environ.keys() - readable.environment.keys())
    env.update(readable.environment)

    def stackctl(*arguments: str) -> str:
        ran = worker.run(["-C", str(readable.directory), *arguments], env)
        assert ran["code"] == 0, ran["err"]
        return str(ran["out"])

    stackctl("init", "--yes", *(a for f in one.files for a in ("-f", f)))
    text = stackctl("render", "http://10.9.8.7:11434", "--merged")
    assert "services" in yaml.safe_load(text)
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(readable.directory), "-f", "-", "config", "--quiet"],
        input=text, cwd=readable.directory, env=readable.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

"""Of two runtimes in one image, the probe runs by that of the app: each trusts certificates of its own."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

import pytest

from stackctl.diagnose.answers import parse
from stackctl.diagnose.plan import ProbePlan
from stackctl.diagnose.render import for_shell
from tests.support.double import until
from tests.support.project import docker

PYTHON = "stackctl.local/python:base"
NODE = """#!/bin/sh
echo '{"k": "facts", "files": {}, "tool": "node 22"}'
echo '{"k": "end", "complete": true}'
"""
AS = "import os; os.execv('/bin/sleep', ['{}', '60'])"


@pytest.mark.parametrize(("program", "vantage"), [("/usr/local/bin/node", "exec:node"), ("python3", "exec:python3")])
def test_the_apps_own_runtime(program: str, vantage: str, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text(NODE)
    node.chmod(0o755)
    name = f"sct-runtime-{secrets.token_hex(4)}"
    command = ["python3", "-c", AS.format(program)]
    mount = f"{node}:/usr/local/bin/node:ro"
    docker("run", "--detach", "--init", "--name", name, "--label", "io.stackctl.test=1", "-v", mount, PYTHON, *command)
    try:
        # The process that stands for the app takes its name by replacing another.
        until(lambda: "execv" not in docker("top", name).splitlines()[-1])
        argv, stdin = for_shell(ProbePlan(()))
        done = subprocess.run(["docker", "exec", "-i", name, *argv], input=stdin, capture_output=True, check=True)
        assert parse(done.stdout).vantage == vantage
    finally:
        docker("rm", "--force", name)

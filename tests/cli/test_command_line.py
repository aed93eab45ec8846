"""The command line as people and scripts get it wrong, and what the standard streams do to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import PROGRAM, ROOT, environment, run_here


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text("services:\n  backend:\n    image: stackctl.local/busybox:base\n")
    (tmp_path / "stackctl.yaml").write_text("version: 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says", "mends"),
    [
        (["stauts"], 'no verb "stauts"', "did you mean `stackctl status`?"),
        (["status", "--jsn"], "stackctl status has no option --jsn", "did you mean --json?"),
        (["--vrbose", "status"], "stackctl has no option --vrbose", "did you mean --verbose?"),
        (["switch", "x", "--dryrun"], "stackctl switch has no option --dryrun", "did you mean --dry-run?"),
        (["up", "--zzz"], "No such option: --zzz", "stackctl up --help"),
        (["instances"], "stackctl instances does nothing by itself; it has: list, ", "stackctl instances --help"),
        (["models", "lst"], "No such command 'lst'", "stackctl models --help"),
        (["exec"], "exec needs a service and a command", "stackctl exec backend sh"),
        (["status", "--watch", "--json"], "--watch does not go with --json", "leave one of them out"),
        (["models", "list", "--watch", "--json"], "No such option: --watch", "stackctl models list --help"),
        (["up", "--timeout", "soon"], "Invalid value for '--timeout'", "stackctl up --help"),
        (["switch"], "Missing argument 'PROFILE|URL'", "stackctl switch --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_told_the_nearest(arguments: list[str], says: str, mends: str, project: Path) -> None:
    plain = run_here("-C", project, *arguments).ended(2)
    if "--json" not in arguments:
        assert plain.out == ""
        assert says in plain.err
        assert mends in plain.err
    document = run_here("-C", project, *arguments, "--json").ended(2).json
    assert document["schema"] == "stackctl.error/1"
    assert (document["code"], document["error"], document["where"]) == (2, "UsageError", None)
    assert says in document["message"]
    assert mends in document["hint"]
    assert not (project / ".stackctl").exists()


@pytest.mark.parametrize("flags", [["-qv"], ["-q", "-v"], ["-vvq"]], ids=" ".join)
def test_short_options_together(flags: list[str], project: Path) -> None:
    for line in (["history", *flags], [*flags, "history"]):
        run_here("-C", project, *line).ok()


@pytest.mark.parametrize("stream", [0, 1, 2])
@pytest.mark.parametrize("verb", ["--help", "history", "stauts"])
def test_a_closed_stream(stream: int, verb: str, project: Path) -> None:
    """Nothing is lost but what would have gone there, and no file of ours is taken for it."""
    code = 2 if verb == "stauts" else 0
    done = subprocess.run(
        [*PROGRAM, verb],
        cwd=project,
        env=environment({"PYTHONPATH": str(ROOT)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: os.close(stream),
    )
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (code, False)
    said = done.stderr if verb == "stauts" else done.stdout
    assert bool(said) == (stream != (2 if verb == "stauts" else 1))


@pytest.mark.parametrize("arguments", [["history", "--json"], ["schema"], ["history"], ["--help"]], ids=" ".join)
def test_output_that_cannot_be_written(arguments: list[str], project: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=project,
            env=environment({"PYTHONPATH": str(ROOT)}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if "--json" not in arguments:
        assert done.stderr == "error: the output cannot be written: No space left on device\n"

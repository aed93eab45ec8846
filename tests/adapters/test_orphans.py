"""What a killed holder of the lock had started is waited for; what outlives one that ended well is not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stackctl.adapters import files
from stackctl.adapters.files import LocalFiles
from stackctl.errors import ProjectLocked

HOLDER = """
import sys
from pathlib import Path
from stackctl.adapters import process
from stackctl.adapters.files import LocalFiles

with LocalFiles().lock(Path(sys.argv[1]), "switch host"):
    process.run(["sh", "-c", sys.argv[2]])
"""


def killed_while(path: Path, command: str, begun: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), command])
    end = time.monotonic() + 20
    while not begun.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_the_next_one_waits_until_it_has_ended(tmp_path: Path) -> None:
    path, begun, ended = tmp_path / "lock", tmp_path / "begun", tmp_path / "ended"
    killed_while(path, f"touch {begun}; sleep 1; touch {ended}", begun)
    assert not ended.exists()
    with LocalFiles().lock(path, "up"):
        assert ended.exists()
        assert json.loads(path.read_text())["purpose"] == "up"


def test_it_says_so_where_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, begun = tmp_path / "lock", tmp_path / "begun"
    monkeypatch.setattr(files, "ORPHANS", 0.2)
    killed_while(path, f"touch {begun}; sleep 3", begun)
    says = "was killed, and what it had started for `switch host`"
    with pytest.raises(ProjectLocked, match=says) as caught, LocalFiles().lock(path, "up"):
        pytest.fail("it was held")
    assert str(path) in caught.value.hint


def test_a_holder_that_ends_lets_go_of_it_for_all(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = "sleep 3 >/dev/null 2>&1 &"
    subprocess.run([sys.executable, "-c", HOLDER, str(path), command], check=True)
    with LocalFiles().lock(path, "up"):
        assert path.exists()

"""Running processes: bounded, ended as a whole, and never waited for by accident."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from stackctl.adapters.process import DEVNULL, PIPE, run, spawn


def python(code: str, **options: object) -> object:
    return run([sys.executable, "-c", code], **options)  # type: ignore[arg-type]


def test_what_it_said_and_how_it_ended() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.code, done.stdout, done.stderr, done.timed_out) == (3, b"out\n", b"err\n", False)
    assert run(["printf", r"a\377b"]).text == "a\ufffdb"


def test_standard_input_is_given_or_empty() -> None:
    assert run(["cat"], stdin=b"x" * 300_000).stdout == b"x" * 300_000
    assert run(["cat"]).stdout == b""
    assert run(["true"], stdin=b"x" * 1_000_000).code == 0


def test_variables_are_added_to_the_environment() -> None:
    done = run(["sh", "-c", "echo $SCT_A $HOME"], variables={"SCT_A": "1"})
    assert done.text.split() == ["1", os.environ["HOME"]]
    assert "SCT_A" not in os.environ


def test_output_is_cut_and_still_read_to_its_end() -> None:
    done = run(["sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 4"], limit=1000)
    assert (len(done.stdout), len(done.stderr), done.code) == (1000, 1000, 4)


def test_lines_as_they_come() -> None:
    lines: list[tuple[float, str]] = []
    run(
        ["sh", "-c", "echo one >&2; sleep 0.3; printf two >&2"],
        on_line=lambda line: lines.append((time.monotonic(), line)),
    )
    assert [line for _, line in lines] == ["one", "two"]
    assert lines[1][0] - lines[0][0] > 0.2


def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    """A grandchild that holds the pipe and ignores the polite signal goes too."""
    pid = tmp_path / "pid"
    begun = time.monotonic()
    done = run(
        ["sh", "-c", f"(trap '' TERM; echo $$ >/dev/null; sh -c 'echo $$ >{pid}; sleep 60') & wait"], timeout=0.5
    )
    assert done.timed_out
    assert time.monotonic() - begun < 12
    number = int(pid.read_text())
    end = time.monotonic() + 5
    while Path(f"/proc/{number}").exists() and "Z" not in Path(f"/proc/{number}/stat").read_text():
        assert time.monotonic() < end, "the grandchild still runs"
        time.sleep(0.02)


def test_an_interrupt_ends_it_and_goes_on() -> None:
    """The terminal's Ctrl-C reaches this process only; what it started is ended by it."""
    me = threading.get_ident()
    timer = threading.Timer(0.4, lambda: signal.pthread_kill(me, signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "60"])
    assert time.monotonic() - begun < 10
    timer.join()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(["sct-no-such-program"])
    (tmp_path / "text").write_text("no program")
    with pytest.raises(PermissionError):
        run([str(tmp_path / "text")])


def test_a_spawned_process_is_talked_to_and_has_a_session_of_its_own(tmp_path: Path) -> None:
    process = spawn(
        ["sh", "-c", "pwd; echo $SCT_A $$; cat"],
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, variables={"SCT_A": "1"}, cwd=str(tmp_path),
    )  # fmt: skip
    assert process.stdin is not None
    assert os.getsid(process.pid) == process.pid
    out, _ = process.communicate(b"said\n", timeout=10)
    assert out.decode().splitlines() == [str(tmp_path), f"1 {process.pid}", "said"]


def test_what_is_done_meanwhile() -> None:
    order: list[str] = []
    done = run(["sh", "-c", "sleep 0.3; echo out"], meanwhile=lambda: order.append("meanwhile"))
    assert (order, done.text) == (["meanwhile"], "out\n")

    def fail() -> None:
        raise RuntimeError

    begun = time.monotonic()
    with pytest.raises(RuntimeError):
        run(["sleep", "60"], meanwhile=fail)
    assert time.monotonic() - begun < 10

"""The one place that starts processes.

:func:`run` waits for the end, :func:`attach` lends it our terminal, :func:`spawn` returns at once, to talk by pipes.
Output is bounded, a timeout ends the whole process group, and Ctrl-C in the terminal reaches stackctl only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, TypeAlias

from stackctl.ports import Completed
from stackctl.waiting import until

OUTPUT_LIMIT = 4 << 20
LONGEST_SHOWN = 300
HELD: set[int] = set()
"""Descriptors of locks, inherited by what we start: the lock stays held where we are killed and it works on."""
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
TimeoutExpired = subprocess.TimeoutExpired
"""What ``wait`` of a :data:`Running` raises."""
Running: TypeAlias = subprocess.Popen[bytes]
"""A process that :func:`spawn` started."""
PATIENCE = 1.0
"""Seconds between asking a process to end and ending it: an interrupted verb has two to be gone."""
_OF_THREADS: set[Running] = set()
"""What other threads than the main one wait for: a signal reaches the main one only."""
_INTERRUPTED: set[int] = set()
Stream: TypeAlias = int | IO[bytes]
"""``PIPE``, ``DEVNULL``, a descriptor or an open file."""


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout: float | None = None,
    variables: Mapping[str, str] | None = None,
    cwd: str | None = None,
    limit: int = OUTPUT_LIMIT,
    on_line: Callable[[str], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Completed:
    """Run ``argv`` to its end and return what it said.

    ``variables`` are added to the environment. Each stream is kept up to
    ``limit`` bytes and read on to its end. ``on_line`` is given each line of
    standard error as it comes; ``meanwhile`` is called while it runs. ``FileNotFoundError`` and ``PermissionError``
    of the program itself are the caller's to word.
    """
    process = _start(argv, PIPE if stdin is not None else DEVNULL, PIPE, PIPE, variables, cwd, tuple(HELD))
    if threading.current_thread() is not threading.main_thread():
        _OF_THREADS.add(process)
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    out, err = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, out, limit, None), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, err, limit, on_line), daemon=True),
    ]
    for reader in readers:
        reader.start()
    if stdin is not None and process.stdin is not None:
        threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True).start()
    timed_out = False
    try:
        if meanwhile is not None:
            meanwhile()
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        _end(process)
    except BaseException:
        _end(process)
        raise
    finally:
        _OF_THREADS.discard(process)
    if process.pid in _INTERRUPTED:
        raise KeyboardInterrupt
    for reader in readers:
        reader.join(5)
    return Completed(process.returncode, bytes(out), bytes(err), timed_out)


def interrupt_threads() -> None:
    """End what other threads wait for, as Ctrl-C ends what the main one does: :func:`run` raises there."""
    for process in list(_OF_THREADS):
        _INTERRUPTED.add(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        killer = threading.Timer(PATIENCE / 2, _kill, [process])
        killer.daemon = True
        killer.start()


def _kill(process: Running) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def spawn(
    argv: Sequence[str],
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    variables: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Running:
    """Start ``argv`` and return at once, for a caller that talks to it by its pipes and waits for its end.

    ``variables`` are added to the environment. ``OSError`` where the program cannot be run. It does not hold the
    project's lock as what :func:`run` starts does: it ends when our end of its pipe closes.
    """
    return _start(argv, stdin, stdout, stderr, variables, cwd, ())


def _start(
    argv: Sequence[str],
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    variables: Mapping[str, str] | None,
    cwd: str | None,
    pass_fds: tuple[int, ...],
) -> Running:
    # A session of its own: Ctrl-C in the terminal must reach stackctl only, which then undoes its work.
    return subprocess.Popen(  # noqa: S603  (a list of words, never a shell; whose they are is the caller's to know)
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **(variables or {})},
        cwd=cwd,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def attach(argv: Sequence[str], *, variables: Mapping[str, str] | None = None, cwd: str | None = None) -> Completed:
    """Run ``argv`` on our own terminal; it gets the signals that the terminal sends."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(  # noqa: S603  (the same)
            argv,
            env={**os.environ, **(variables or {})},
            cwd=cwd,
            pass_fds=tuple(HELD),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no thread runs yet)
        )
        try:
            return Completed(process.wait())
        except BaseException:
            process.terminate()  # the signal was sent to stackctl alone
            raise
    finally:
        signal.signal(signal.SIGINT, previous)


def _drain(stream: IO[bytes], into: bytearray, limit: int, on_line: Callable[[str], None] | None) -> None:
    with stream:
        if on_line is not None:
            for line in stream:
                into += line[: max(0, limit - len(into))]
                on_line(line.decode("utf-8", "replace").rstrip())
            return
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            into += chunk[: max(0, limit - len(into))]


def _feed(stream: IO[bytes], data: bytes) -> None:
    # A process may end without reading all of its input; closing flushes, and may fail in the same way.
    with suppress(OSError), stream:
        stream.write(data)


def _end(process: Running) -> None:
    """End the whole process group, since children may outlive their leader: SIGTERM, then SIGKILL."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        if not until(lambda: _gone(process), within=PATIENCE, every=0.02):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether nothing of its group is left."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def shown(arguments: Sequence[str]) -> str:
    """A command as ``-v`` shows it; a script among its arguments is cut to its first words."""
    short = (
        a if len(a) <= LONGEST_SHOWN and "\n" not in a else f"'{a.strip()[:24].partition(chr(10))[0]}…'"
        for a in arguments
    )
    return " ".join(["docker", *short])

"""A token reaches the consumer, and nothing else of what we write, say or start."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.netlab import Elsewhere
from tests.support.project import CONSUMERS, MODEL, Project, backend

CANARY = "canary-8d1f7c2e94b64a0f"


@contextmanager
def command_lines(seen: set[bytes]) -> Iterator[None]:
    """Collect what every process of this machine was started with, as long as it lasts."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.015):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        seen.add(Path(entry.path, "cmdline").read_bytes())
                    except OSError:  # it has ended meanwhile
                        continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def test_the_canary(stack: Project, far: Elsewhere) -> None:
    far.double("far-double", models=[MODEL], env={"OLLAMA_DOUBLE_BEARER": CANARY})
    env = {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}", "OLLAMA_API_KEY": "{token}", "OTHER_KEY": "x${OTHER}"}
    stack.compose({"backend": backend()})
    stack.config(
        consumers={**CONSUMERS, "backend": {"env": env}},
        instances={
            "box": {"url": f"http://{far.address}:11434", "auth": {"bearer": "${BOX_TOKEN}"}},
            "from-file": {"url": f"http://{far.address}:11434", "auth": {"bearer": "${file:token}"}},
            "from-command": {"url": f"http://{far.address}:11434", "auth": {"bearer": "${cmd:cat token}"}},
        },
    )
    (stack.directory / "token").write_text(CANARY + "\n")
    stack.env |= {"BOX_TOKEN": CANARY, "OTHER": CANARY, "XDG_STATE_HOME": str(stack.directory.parent / "state")}
    stack.stackctl("trust").ok()
    said: list[str] = []
    lines: set[bytes] = set()
    with command_lines(lines):
        for arguments in (
            ["up", "box", "-v"], ["up", "-v"], ["status", "-v"], ["status", "--json"], ["switch", "from-file", "-v"],
            ["switch", "from-command", "-v"], ["render", "from-file", "-v"], ["render", "box", "--merged", "-v"],
            ["render", "--merged", "--json"], ["-v", "ps"], ["history", "-v"], ["instances", "list", "-v"],
            ["instances", "test", "-v"], ["compose", "--", "config"], ["switch", "box", "--dry-run", "-v"],
        ):  # fmt: skip
            run = stack.process if "ps" in arguments else stack.stackctl
            ran = run(*arguments).ok()
            said.append(ran.text)
    assert any(b"compose" in line for line in lines)
    assert not [line for line in lines if CANARY.encode() in line]
    assert not [text for text in said if CANARY in text]
    assert not [name for name, data in stack.files().items() if CANARY.encode() in data]
    assert CANARY not in (stack.directory / ".stackctl" / "audit.log").read_text()
    container = stack.containers()["backend"]
    assert CANARY not in str(container["Config"]["Labels"])
    assert {f"OLLAMA_API_KEY={CANARY}", f"OTHER_KEY=x{CANARY}"} <= set(container["Config"]["Env"])
    assert "This is far-double" in stack.chat()["text"]


def test_a_secret_that_cannot_be_read(stack: Project, far: Elsewhere) -> None:
    stack.compose({"backend": backend()})
    env = {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}", "KEY": "{token}"}
    stack.env |= {"XDG_STATE_HOME": str(stack.directory.parent / "state")}
    for reference, says in (
        ("${NOT_SET_ANYWHERE}", "${NOT_SET_ANYWHERE} is not set"),
        ("${file:nowhere}", "${file:nowhere} cannot be read: No such file or directory"),
        ("${cmd:false}", "${cmd:false} failed with code 1"),
    ):
        instance = {"url": f"http://{far.address}:11434", "auth": {"bearer": reference}}
        stack.config(consumers={"backend": {"env": env}}, instances={"box": instance})
        stack.stackctl("trust").ok()
        assert says in stack.stackctl("up", "box").ended(2).err
    assert stack.containers() == {}
    assert not (stack.directory / ".stackctl").exists()

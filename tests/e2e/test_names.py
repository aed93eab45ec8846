"""Names that this machine resolves and a container cannot: pinned, and looked up anew on each ``up``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.netlab import elsewhere
from tests.support.project import MODEL, Project, backend


def hosts_file(path: Path, *entries: tuple[str, str]) -> tuple[str, ...]:
    """A prefix that runs a command with hosts of its own, and nobody else's changed."""
    path.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for address, name in entries))
    return ("unshare", "--mount", "sh", "-euc", f'mount --bind {path} /etc/hosts; exec "$@"', "sh")


@pytest.mark.parametrize("name", ["gpu-box.local", "gpu-box.split-dns.test"])
def test_pinned_and_refreshed(name: str, stack: Project, tmp_path: Path) -> None:
    stack.compose({"backend": backend()})
    stack.config(instances={"box": {"url": f"http://{name}:11434", "timeout": "10s"}})
    with elsewhere(tmp_path / "one") as one, elsewhere(tmp_path / "two") as two:
        one.double("double-one", models=[MODEL])
        two.double("double-two", models=[MODEL])
        at_one = hosts_file(tmp_path / "hosts-one", (one.address, name))
        at_two = hosts_file(tmp_path / "hosts-two", (two.address, name))

        unknown = stack.process("up", "box", prefix=hosts_file(tmp_path / "hosts-none")).ended(1)
        assert name in unknown.err
        assert stack.containers() == {}

        up = stack.process("up", "box", prefix=at_one).ok()
        if not name.endswith(".local"):
            assert f"{name} resolves on the host only; pinned to {one.address}" in up.err
        assert stack.containers()["backend"]["HostConfig"]["ExtraHosts"] == [f"{name}:{one.address}"]
        assert "This is double-one" in stack.chat()["text"]
        marks = stack.marks()
        assert "nothing to do" in stack.process("up", prefix=at_one).ok().out
        assert stack.marks() == marks

        drift = stack.process("status", "--json", prefix=at_two).ok().json["drift"]
        assert f"{name} is pinned to {one.address} and now resolves to {two.address}" in drift
        stack.process("up", prefix=at_two).ok()
        assert "This is double-two" in stack.chat()["text"]

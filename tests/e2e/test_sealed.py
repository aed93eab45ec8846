"""A second ``up`` that is answered by the seal of the first: quick, and never where anything has moved."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.adapters.files import LocalFiles
from stackctl.adapters.nearby import NearbyEngine
from stackctl.cli.globals import Settings
from stackctl.cli.wiring import session_of
from stackctl.commands.reconcile.ahead import Ahead
from stackctl.commands.reconcile.seal import Asked, still
from stackctl.commands.reconcile.up import up
from stackctl.outcome import Outcome
from tests.support.cli import environment
from tests.support.double import Double
from tests.support.project import BUSYBOX, MODEL, OLLAMA, VOLUMES, Project, backend, docker, ollama

OWN = {
    "backend": {
        "env": {"OLLAMA_URL": "{url}", "OLLAMA_MODEL": "{model}"},
        "verify": {"http": "http://localhost:8000/readyz"},
    }
}


def answer(stack: Project, profile: str | None = None, env: str | None = None, **variables: str) -> Outcome | None:
    """What the seal alone has to say, with the environment that the tests run stackctl with."""
    config = str(stack.directory / "stackctl.yaml")
    asked = Asked(config, env, profile, environment({**stack.env, **variables}))
    return still(asked, NearbyEngine(), str(stack.directory / ".stackctl"))


@pytest.fixture
def sealed(stack: Project) -> Iterator[Project]:
    """A stack of several files that was brought up twice: a file that has just been written is not sealed yet."""
    stack.write("app.env", "FLAVOUR=plain\n")
    stack.write(".env", "SIZE=small\n")
    stack.write("base.yaml", "services: {base: {labels: {from: base}}}\n")
    docker("tag", OLLAMA, f"{stack.name}:ollama")
    extended = {"file": "base.yaml", "service": "base"}
    stack.compose(
        {
            "ollama": ollama(image=f"{stack.name}:ollama", extends=extended),
            "backend": backend(depends_on=["ollama"], env_file=["app.env"], labels={"size": "$SIZE"}),
        },
        volumes=VOLUMES,
    )
    stack.config(consumers=OWN)
    try:
        stack.stackctl("up").ok()
        stack.stackctl("-v", "up").ok()
        assert answer(stack) is not None
        yield stack
    finally:
        stack.clean()
        docker("rmi", "--no-prune", f"{stack.name}:ollama")


def test_it_says_what_the_whole_way_says(sealed: Project) -> None:
    whole = sealed.stackctl("-v", "up", "--json").ok()
    quick = sealed.stackctl("up", "--json").ok()
    assert "compose" in whole.err
    assert quick.err == ""
    assert quick.json == whole.json
    texts = [re.sub(r" +|\d+ ms", " ", sealed.stackctl(*flags, "up").ok().out).split() for flags in ([], ["-v"])]
    assert texts[0] == texts[1]
    assert sealed.stackctl("-q", "up", "local").ok().out == ""
    assert answer(sealed, "local") is not None
    assert answer(sealed, "elsewhere") is None
    assert answer(sealed, env="dev") is None


def test_every_file_that_up_reads_is_under_the_seal(sealed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read one day without being named in the seal would go stale unseen."""
    read: set[str] = set()

    class Watched(LocalFiles):
        def read(self, path: Path, *, limit: int | None = None) -> bytes | None:
            read.add(str(path))
            return super().read(path, limit=limit)

    monkeypatch.setattr("stackctl.adapters.files.LocalFiles", Watched)
    up(session_of(Settings(directory=str(sealed.directory))), None)
    seal = json.loads((sealed.directory / ".stackctl" / "seal.json").read_text())
    ours = {str(sealed.directory / ".stackctl" / name) for name in ("seal.json", "journal.jsonl", "lock")}
    assert read - ours <= set(seal["marks"])
    assert str(sealed.directory / "app.env") in seal["marks"]


def edited(name: str, text: str) -> Callable[[Project], object]:
    return lambda stack: (stack.directory / name).write_text((stack.directory / name).read_text() + text)


def written(name: str, text: str) -> Callable[[Project], object]:
    return lambda stack: (stack.directory / name).write_text(text)


def touched_back(stack: Project) -> None:
    """Another text of the same length, with the times of the old one."""
    path = stack.directory / "app.env"
    before = path.stat()
    path.write_text("FLAVOUR=sweet\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_image(stack: Project) -> None:
    docker("tag", BUSYBOX, f"{stack.name}:ollama")


def container(*words: str, service: str = "backend") -> Callable[[Project], object]:
    return lambda stack: docker(*words, stack.containers()[service]["Id"])


def off_the_network(stack: Project) -> None:
    docker("network", "disconnect", f"{stack.name}_default", stack.containers()["ollama"]["Id"])


def one_more(stack: Project) -> None:
    docker("compose", "--project-directory", str(stack.directory), "up", "-d", "--scale", "backend=2", "--no-recreate")


def model_gone(stack: Project) -> None:
    stack.exec("ollama", "ollama", "rm", MODEL)


def frozen(stack: Project) -> None:
    """The server takes connections, and never answers. A signal from inside would not reach the first process."""
    os.kill(stack.containers()["ollama"]["State"]["Pid"], signal.SIGSTOP)


def firewalled(stack: Project) -> None:
    address = next(iter(stack.containers()["backend"]["NetworkSettings"]["Networks"].values()))["IPAddress"]
    server = stack.containers()["ollama"]["State"]["Pid"]
    command = ["nsenter", "-t", str(server), "-n", "iptables", "-I", "INPUT", "-s", address, "-j", "DROP"]
    assert os.spawnvp(os.P_WAIT, command[0], command) == 0


def piped(stack: Project) -> None:
    seal = stack.directory / ".stackctl" / "seal.json"
    seal.unlink()
    os.mkfifo(seal)


MOVES: dict[str, Callable[[Project], object]] = {
    "stackctl.yaml": edited("stackctl.yaml", "# more\n"),
    "compose.yaml": edited("compose.yaml", "# more\n"),
    "an override of the user's": written("compose.override.yaml", "services: {backend: {labels: {more: yes}}}\n"),
    ".env": edited(".env", "SIZE=big\n"),
    "a file that is extended": edited("base.yaml", "# more\n"),
    "an env_file is gone": lambda stack: (stack.directory / "app.env").unlink(),
    "an env_file": edited("app.env", "MORE=1\n"),
    "an env_file, its times put back": touched_back,
    "a repair": written(".stackctl/fixes.yaml", "services: {}\n"),
    "the override": edited(".stackctl/override.yaml", "# more\n"),
    "the state": edited(".stackctl/state.json", "\n"),
    "an unfinished transaction": written(".stackctl/journal.jsonl", "{}"),
    "another holds the lock": written(".stackctl/lock", '{"pid": 1}'),
    "a seal of another version": written(".stackctl/seal.json", '{"schema": "stackctl.seal/1", "program": "0"}'),
    "a pipe for a seal": piped,
    "half a seal": written(".stackctl/seal.json", '{"schema": "stackctl.se'),
    "a seal of another hand": written(".stackctl/seal.json", '{"schema": "stackctl.seal/1", "program": "0.1.0"}'),
    "another image under the name": other_image,
    "a container is gone": container("rm", "-f"),
    "a container is stopped": container("stop", "-t", "5", service="ollama"),
    "a container is paused": container("pause"),
    "a container was restarted": container("restart", "-t", "5"),
    "one more container": one_more,
    "off the network": off_the_network,
    "a model is gone": model_gone,
    "the server hangs": frozen,
    "a firewall": firewalled,
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_whatever_moves_breaks_it(sealed: Project, move: Callable[[Project], object]) -> None:
    assert answer(sealed) is not None
    move(sealed)
    assert answer(sealed) is None


def test_a_variable_of_the_environment_breaks_it(sealed: Project) -> None:
    assert answer(sealed, OLDPWD="/elsewhere", SHLVL="7") is not None
    assert answer(sealed, SIZE="huge") is None


def test_a_failing_check_of_the_consumers_own_breaks_it(sealed: Project) -> None:
    seal = sealed.directory / ".stackctl" / "seal.json"
    document = json.loads(seal.read_text())
    assert document["told"]["backend"][-1] == ["localhost", 8000, "/readyz"]
    document["told"]["backend"][-1][-1] = "/no-such-page"
    seal.write_text(json.dumps(document))
    assert answer(sealed) is None


def test_what_was_broken_is_mended_and_sealed_again(sealed: Project) -> None:
    kept = sealed.marks()["ollama"]
    sealed.stackctl("exec", "ollama", "ollama", "rm", MODEL).ok()
    assert "pulled" in sealed.stackctl("up").ok().err
    (sealed.directory / "app.env").write_text("FLAVOUR=sweet\n")
    sealed.process("up").ok()
    assert sealed.containers()["backend"]["Config"]["Env"].count("FLAVOUR=sweet") == 1
    assert sealed.marks()["ollama"] == kept
    marks, said = sealed.marks(), sealed.process("-v", "up").ok()
    assert "nothing to do" in said.out
    assert sealed.process("up").ok().err == ""
    assert sealed.marks() == marks


def test_a_server_on_the_host(stack: Project, host_double: Double) -> None:
    stack.compose({"backend": backend()})
    stack.config(instances={"host": {"url": f"http://host.docker.internal:{host_double.port}"}})
    stack.stackctl("up", "host").ok()
    stack.stackctl("-v", "up").ok()
    assert answer(stack) is not None
    assert answer(stack, "host") is not None
    host_double.stop()
    assert answer(stack) is None
    stack.stackctl("up").ended(1)


@pytest.mark.parametrize(
    ("settings", "services"),
    [
        ({"consumers": {"backend": {**OWN["backend"], "verify": {"exec": ["true"]}}}}, {}),
        ({"gateway": True}, {}),
        ({}, {"volumes": ["./hosts:/etc/hosts"]}),
        ({}, {"label_file": ["base.labels"]}),
        ({}, {"env_file": [{"path": "missing.env", "required": False}]}),
    ],
    ids=[
        "a check by command",
        "a gateway",
        "hosts of the user's own",
        "labels from a file",
        "an env_file that is not there",
    ],
)
def test_what_cannot_be_told_at_a_glance_is_never_sealed(
    stack: Project, settings: dict[str, object], services: dict[str, object]
) -> None:
    stack.write("hosts", "127.0.0.1 localhost\n")
    stack.write("base.labels", "from=base\n")
    stack.compose({"ollama": ollama(), "backend": backend(**services)}, volumes=VOLUMES)
    stack.config(**settings)
    stack.stackctl("up").ok()
    stack.stackctl("up").ok()
    assert not (stack.directory / ".stackctl" / "seal.json").exists()


def test_a_file_that_changes_while_it_is_read_is_not_sealed(stack: Project) -> None:
    stack.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
    stack.config()
    stack.stackctl("up").ok()
    here = session_of(Settings(directory=str(stack.directory)))
    seal = stack.directory / ".stackctl" / "seal.json"
    seal.unlink(missing_ok=True)
    changed = (stack.directory / "compose.yaml").stat().st_ctime_ns
    up(here, None, ahead=Ahead(began=changed))
    assert not seal.exists()
    up(here, None, ahead=Ahead(began=changed + 10**9))
    assert seal.exists()


def test_only_root_on_the_engines_machine_stands_in_a_network(stack: Project) -> None:
    """Whoever may not enter a namespace goes the whole way, and leaves no seal."""
    group = Path("/var/run/docker.sock").stat().st_gid
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--groups", str(group))
    with tempfile.TemporaryDirectory(prefix="sct-e2e-") as name:
        open_to_all = replace(stack, directory=Path(name))
        open_to_all.directory.chmod(0o777)
        open_to_all.compose({"ollama": ollama(), "backend": backend()}, volumes=VOLUMES)
        open_to_all.config()
        for _ in range(2):
            open_to_all.process("up", env={"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}, prefix=user).ok()
        assert not (open_to_all.directory / ".stackctl" / "seal.json").exists()

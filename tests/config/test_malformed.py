"""Every malformed stackctl.yaml, through the real command line: all of it is said, nothing is written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.made import made
from tests.host.lab import need
from tests.support.cli import Ran, run_here, run_process

TABLE = yaml.safe_load(Path(__file__).with_name("malformed.yaml").read_text())
CASES: list[tuple[str, bytes, list[tuple[str, str, str]]]] = [
    (case["name"], case["text"].encode(), [(p["at"], p["says"], p.get("hint", "")) for p in case["problems"]])
    for case in TABLE
] + list(made())
IDS = [name for name, _, _ in CASES]
VERBS = (["up"], ["render"], ["switch", "local"], ["down"], ["ps"])


def listing(directory: Path) -> list[tuple[str, int, int]]:
    return sorted((str(p.relative_to(directory)), p.stat().st_size, p.stat().st_mtime_ns) for p in directory.rglob("*"))


def put(project: Path, data: bytes) -> None:
    (project / "stackctl.yaml").write_bytes(data)


def told(ran: Ran, project: Path) -> list[tuple[str, str, str]]:
    """The problems of an error document: place in the file, message, hint."""
    document = ran.json
    assert document["schema"] == "stackctl.error/1"
    assert document["code"] == 2
    assert document["error"] == "ConfigError"

    def plain(text: str) -> str:
        return text.replace(str(project), "DIR")

    found = []
    for problem in document["problems"]:
        file, _, place = problem["where"].partition(":")
        assert file == "stackctl.yaml"
        found.append((place, plain(problem["message"]), plain(problem["hint"])))
    return found


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize(("_name", "data", "problems"), CASES, ids=IDS)
def test_all_is_said_at_its_place(_name: str, data: bytes, problems: list[Any], project: Path) -> None:
    put(project, data)
    before = listing(project)
    ran = run_here("-C", project, "status", "--json").ended(2)
    assert told(ran, project) == [tuple(p) for p in problems]
    assert listing(project) == before


@pytest.mark.parametrize(("_name", "data", "problems"), CASES, ids=IDS)
def test_people_read_the_same(_name: str, data: bytes, problems: list[Any], project: Path) -> None:
    put(project, data)
    before = listing(project)
    verb = VERBS[len(data) % len(VERBS)]
    ran = run_here("-C", project, *verb).ended(2)
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.err
    for place, message, _ in problems:
        head = f"stackctl.yaml:{place}: " if place else "stackctl.yaml: "
        assert head + message.replace("DIR", str(project)) in ran.err
    count = len(problems)
    assert ran.err.endswith(f"{count} problem{'s' if count > 1 else ''}; nothing was touched\n")
    assert listing(project) == before


@pytest.mark.parametrize("verb", [*VERBS, ["status"], ["rollback"], ["detach"], ["restart"], ["logs"]], ids=" ".join)
def test_every_verb_refuses(verb: list[str], project: Path) -> None:
    put(project, b"version: 1\nlocl: {}\nmodels: no\n")
    before = listing(project)
    ran = run_here("-C", project, *verb).ended(2)
    assert 'stackctl.yaml:2:1: unknown key "locl"\n    did you mean "local"?\n' in ran.err
    assert 'stackctl.yaml:3:9: models: expected a list, got "no", text\n' in ran.err
    assert listing(project) == before


def test_a_secret_written_out_is_never_repeated(project: Path) -> None:
    canary = "sk-canary-0123456789"
    put(
        project,
        f"""\
version: 1
gateway: true
instances:
  a: {{url: "http://h:1", auth: {{bearer: {canary}}}}}
  b: {{url: "http://h:1", auth: {canary}}}
  c: {{url: "http://h:1", auth: [{canary}]}}
  d: {{url: "http://h:1", auth: {{basic: {{user: u, password: {canary}}}}}}}
  e: {{url: "http://h:1", headers: {{Authorization: "Bearer {canary}"}}}}
  f: {{url: "http://h:1", headers: "Authorization: {canary}"}}
  g: {{url: "http://u:{canary}@h:1"}}
  h: {{url: "u:{canary}@h:1/api"}}
  i: {{url: "ftp://u:{canary}@h:1"}}
  j: {{url: "http://u:{canary}@h:1/api/chat?x=y"}}
""".encode(),
    )
    for arguments in (["status", "--json"], ["up", "-v"], ["render"]):
        ran = run_here("-C", project, *arguments).ended(2)
        assert ran.text.count("\n") >= 10
        assert canary not in ran.text


def test_a_password_on_the_command_line_is_never_repeated(project: Path) -> None:
    put(project, b"version: 1\n")
    before = listing(project)
    for target in ("http://user:canary@h:1", "user:canary@h", "http://canary@h/api/chat"):
        for verb in ("switch", "up", "render"):
            ran = run_here("-C", project, verb, target, "-v").ended(2)
            assert "canary" not in ran.text
            assert "→ write http://h" in ran.err
    assert listing(project) == before


def test_a_secret_that_is_not_there_is_blamed_where_it_is_written(project: Path) -> None:
    put(
        project,
        b"""\
version: 1
consumers: {backend: {env: {URL: "{url}", KEY: "{token}"}}}
instances:
  a: {url: "http://h:1", auth: {bearer: "${NOT_SET_ANYWHERE}"}}
  b: {url: "http://h:1", auth: {bearer: "${file:nowhere}"}}
""",
    )
    for name, place in (("a", "4:41"), ("b", "5:41")):
        run_here("-C", project, "render", name).ok()  # it needs no value
        ran = run_here("-C", project, "switch", name, "--json").ended(2)
        assert ran.json["where"] == f"stackctl.yaml:{place}"
    assert not (project / ".stackctl").exists()


def test_an_option_is_no_value_of_another(project: Path) -> None:
    ran = run_here("-C", project, "up", "--env", "--json").ended(2)
    assert ran.json["message"] == "--env needs a value"


def test_unreadable_things_where_a_file_should_be(project: Path) -> None:
    for name in ("stackctl.yaml", ".env"):
        (project / name).mkdir()
    (project / ".env").rmdir()
    ran = run_here("-C", project, "up").ended(2)
    assert f"{project}/stackctl.yaml is a directory, not a file" in ran.err
    (project / "stackctl.yaml").rmdir()
    os.mkfifo(project / "stackctl.yaml")
    ran = run_here("-C", project, "up").ended(2)
    assert f"{project}/stackctl.yaml is a named pipe, not a file" in ran.err
    (project / "stackctl.yaml").unlink()
    (project / "stackctl.yaml").symlink_to("stackctl.yaml")
    ran = run_here("-C", project, "up").ended(2)
    assert "Too many levels of symbolic links" in ran.err
    (project / "stackctl.yaml").unlink()
    (project / "stackctl.yaml").symlink_to("nowhere")
    assert "no stackctl.yaml in" in run_here("-C", project, "up").ended(2).err
    assert sorted(p.name for p in project.iterdir()) == ["compose.yaml", "stackctl.yaml"]


def test_unreadable_files_that_it_names(project: Path) -> None:
    for name in ("a.env", "b.yml", "ca.pem"):
        (project / name).mkdir()
    os.mkfifo(project / "pipe.env")
    put(
        project,
        b"""\
version: 1
compose:
  files: [b.yml, missing.yml]
  env_files: [a.env, pipe.env]
instances:
  box:
    url: https://h
    tls: {ca_file: ca.pem}
  off:
    url: https://h
    enabled: false
    tls: {ca_file: not-needed.pem}
""",
    )
    hint = "correct the path, or create it; it is relative to stackctl.yaml"
    assert told(run_here("-C", project, "status", "--json").ended(2), project) == [
        ("3:11", "DIR/b.yml is a directory, not a file", ""),
        ("3:18", "no such file: missing.yml", hint),
        ("4:15", "DIR/a.env is a directory, not a file", ""),
        ("4:22", "DIR/pipe.env is a named pipe, not a file", ""),
        ("8:20", "DIR/ca.pem is a directory, not a file", ""),
    ]


def test_an_environment_and_a_directory_that_are_not_there(project: Path) -> None:
    put(project, b"version: 1\nenvironments: {dev: {}, prod: {}}\n")
    ran = run_here("-C", project, "up", "--env", "prd").ended(2)
    assert 'no environment "prd" in stackctl.yaml' in ran.err
    assert "known: dev, prod" in ran.err
    ran = run_here("-C", project / "nowhere", "up").ended(2)
    assert f"no such directory: {project}/nowhere" in ran.err


@pytest.mark.parametrize("name", ["tab_indent", "many", "deep and open", "ten megabytes", "binary", "missing_plus"])
def test_the_program_says_the_same(name: str, project: Path) -> None:
    """The same as above, in a process of its own, as people run it."""
    _, data, problems = CASES[IDS.index(name)]
    put(project, data)
    before = listing(project)
    ran = run_process("up", "--json", cwd=project).ended(2)
    assert ran.err == ""
    assert told(ran, project) == problems
    assert listing(project) == before


@pytest.mark.parametrize("text", ["services: [", "services: {}\nservices: {}\n", "\x00", "services:\n  a: {imag: b}\n"])
def test_a_wrong_compose_file(text: str, project: Path) -> None:
    put(project, b"version: 1\n")
    (project / "compose.yaml").write_text(text)
    before = listing(project)
    for verb in (["up"], ["status"], ["render", "--merged"], ["ps"], ["down"], ["models", "list"], ["diagnose"]):
        ran = run_here("-C", project, *verb).ended(2)
        assert re.search(r"error: compose\.yaml(:\d+)?: Compose cannot read this project", ran.err)
        assert "Traceback" not in ran.err
    assert listing(project) == before


def test_files_that_nobody_may_read(project: Path) -> None:
    """Even root may not, without its capabilities."""
    need("setpriv")
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    (project / "some.env").write_text("A=b\n")
    put(project, b"version: 1\ncompose: {env_files: [some.env]}\n")
    (project / "some.env").chmod(0)
    ran = run_process("status", cwd=project, prefix=without).ended(2)
    assert f"stackctl.yaml:2:23: {project}/some.env cannot be read: Permission denied\n" in ran.err
    (project / "stackctl.yaml").chmod(0)
    before = listing(project)
    for verb in (["up"], ["status", "--json"], ["render"]):
        ran = run_process(*verb, cwd=project, prefix=without).ended(2)
        assert f"{project}/stackctl.yaml cannot be read: Permission denied" in ran.text
        assert f"ls -l {project}/stackctl.yaml" in ran.text
    assert listing(project) == before

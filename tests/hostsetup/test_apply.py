"""Applying is all or nothing: it is made to fail at every one of its actions, and the machine must be as before."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stackctl.commands.host.apply import _carry_out, apply, undo
from stackctl.commands.host.record import DIRECTORY, Before, Record, all_records, load_record
from stackctl.errors import ExpectedFailure, RollbackFailed, StepFailed, UsageError
from stackctl.hostsetup.host_plan import HostPlan, parse_network
from stackctl.hostsetup.setup import Command, HostFile, Need, Present, Setup, Step
from stackctl.ports import Completed


@dataclass
class Machine:
    """Files and switches in memory. ``fail`` raises or fails at the n-th action; a fake to force failures, no more."""

    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    directories: set[str] = field(default_factory=lambda: {"/", "/etc", "/var", "/var/lib"})
    switches: set[str] = field(default_factory=set)
    fail_at: int = 0
    with_: str = "code"
    broken: set[str] = field(default_factory=set)
    actions: int = 0

    def _act(self, *, command: bool = False) -> bool:
        """Count an action; False when this one is to end with an error code."""
        self.actions += 1
        if self.actions != self.fail_at:
            return True
        if self.with_ == "interrupt":
            raise KeyboardInterrupt
        if command:
            return False
        raise StepFailed("the disk is full")

    def is_root(self) -> bool:
        return True

    def which(self, program: str) -> str | None:
        return None if program == "absent" else f"/bin/{program}"

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        if argv[0] == "show":
            return Completed(0, "\n".join(sorted(self.switches)).encode())
        if " ".join(argv) in self.broken or not self._act(command=True):
            return Completed(1, b"", b"refused")
        if argv[0] == "on":
            self.switches.add(argv[1])
        if argv[0] == "off":
            if argv[1] not in self.switches:
                return Completed(1, b"", b"it is not on")
            self.switches.remove(argv[1])
        return Completed(0)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.directories

    def read(self, path: str) -> bytes | None:
        return self.files[path][0] if path in self.files else None

    def mode(self, path: str) -> int | None:
        return self.files[path][1] if path in self.files else None

    def write(self, path: str, data: bytes, mode: int) -> None:
        if not path.startswith(DIRECTORY):
            self._act()
        self.files[path] = (data, mode)
        parts = path.split("/")[1:-1]
        self.directories |= {"/" + "/".join(parts[: i + 1]) for i in range(len(parts))}

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def remove_empty(self, directory: str) -> None:
        if not any(p.startswith(f"{directory}/") for p in [*self.files, *self.directories]):
            self.directories.discard(directory)

    def names(self, directory: str) -> list[str]:
        return sorted(p.rpartition("/")[2] for p in self.files if p.rpartition("/")[0] == directory)

    def addresses(self) -> list[str]:
        return []

    def source_towards(self, host: str) -> str | None:
        return None

    def state(self) -> tuple[Any, ...]:
        return copy.deepcopy((self.files, self.directories, self.switches))


class Quiet:
    """A reporter that says nothing."""

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        yield

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None


def command(line: str) -> Command:
    return Command(tuple(line.split()))


SETUP = Setup(
    subject="nftables",
    summary="test",
    files=(HostFile("/etc/a/rules", "new\n"), HostFile("/etc/theirs", "ours\n", 0o600)),
    settle=(command("reload units"),),
    steps=(
        Step(command("on one"), command("off one")),
        Step(command("on theirs"), command("off theirs"), Present(("show",), "theirs")),
        Step(command("check it")),
        Step(command("on two"), command("off two")),
    ),
    finish=(command("restart it"),),
    touches=("/etc/other",),
)
PLAN = HostPlan("renfield", allowed=(parse_network("10.0.0.0/24"),))
REPORTER: Any = Quiet()


def machine() -> Machine:
    return Machine(files={"/etc/theirs": (b"theirs\n", 0o640), "/etc/other": (b"other\n", 0o644)}, switches={"theirs"})


def actions_of_an_apply() -> int:
    counted = machine()
    assert apply(SETUP, PLAN, counted, REPORTER)
    return counted.actions


@pytest.mark.parametrize("with_", ["code", "interrupt"])
@pytest.mark.parametrize("fail_at", range(1, actions_of_an_apply() + 1))
def test_a_failure_anywhere_leaves_the_machine_as_it_was(fail_at: int, with_: str) -> None:
    host = machine()
    before = host.state()
    host.fail_at, host.with_ = fail_at, with_
    with pytest.raises((StepFailed, KeyboardInterrupt)):
        apply(SETUP, PLAN, host, REPORTER)
    assert host.state() == before


def test_undo_brings_back_everything_and_what_was_there_is_never_switched_off() -> None:
    host = machine()
    before = host.state()
    assert apply(SETUP, PLAN, host, REPORTER)
    assert host.switches == {"one", "two", "theirs"}
    assert host.files["/etc/theirs"] == (b"ours\n", 0o600)
    record = load_record(host, "nftables", "renfield")
    assert record is not None
    assert record.state == "applied"
    assert undo(record, host, REPORTER) == []
    assert host.state() == before


def test_a_second_apply_does_nothing() -> None:
    host = machine()
    apply(SETUP, PLAN, host, REPORTER)
    after, actions = host.state(), host.actions
    assert not apply(SETUP, PLAN, host, REPORTER)
    assert (host.state(), host.actions) == (after, actions)


def test_a_changed_set_up_replaces_the_old_one_and_undo_still_leads_to_the_start() -> None:
    host = machine()
    before = host.state()
    apply(SETUP, PLAN, host, REPORTER)
    other = replace(SETUP, files=(HostFile("/etc/theirs", "ours, again\n"),), steps=SETUP.steps[:1])
    assert apply(other, PLAN, host, REPORTER)
    assert host.switches == {"one", "theirs"}
    record = load_record(host, "nftables", "renfield")
    assert record is not None
    undo(record, host, REPORTER)
    assert host.state() == before


def test_a_changed_set_up_that_fails_brings_the_old_one_back() -> None:
    host = machine()
    apply(SETUP, PLAN, host, REPORTER)
    after = host.state()
    other = replace(SETUP, steps=(Step(command("on three"), command("off three")),))
    host.broken.add("on three")
    with pytest.raises(StepFailed, match="on three"):
        apply(other, PLAN, host, REPORTER)
    assert host.state() == after


def test_an_apply_that_was_killed_half_way_can_be_undone_by_a_later_run() -> None:
    host = machine()
    before = host.state()
    host.fail_at, host.with_ = 5, "interrupt"
    paths = ("/etc/a/rules", "/etc/theirs", "/etc/other")
    kept = {path: Before(host.read(path), host.mode(path)) for path in paths}
    made = ("/var/lib/stackctl/host-setup", "/var/lib/stackctl", "/etc/a")
    # A killed process gets no chance to undo: this is apply without its handler.
    with pytest.raises(KeyboardInterrupt):
        _carry_out(Record("renfield", 11434, True, SETUP, kept, (), made), host, REPORTER)
    left = load_record(host, "nftables", "renfield")
    assert left is not None
    assert left.state == "applying"
    host.fail_at = 0
    undo(left, host, REPORTER)
    assert host.state() == before


def test_an_undo_that_fails_says_what_is_left_to_do_and_keeps_the_record() -> None:
    host = machine()
    apply(SETUP, PLAN, host, REPORTER)
    host.broken.add("off two")
    record = load_record(host, "nftables", "renfield")
    assert record is not None
    with pytest.raises(RollbackFailed) as failed:
        undo(record, host, REPORTER)
    assert failed.value.code == 4
    assert failed.value.steps == ["off two"]
    assert host.files["/etc/theirs"][0] == b"theirs\n", "the rest is undone all the same"
    assert load_record(host, "nftables", "renfield") is not None


def test_what_is_needed_is_demanded_before_anything_is_touched() -> None:
    host = machine()
    before = host.state()
    needy = replace(
        SETUP, needs=(Need("program", "absent", "apt-get install absent"), Need("file", "/etc/key", "make it"))
    )
    with pytest.raises(ExpectedFailure, match="absent, /etc/key missing") as failed:
        apply(needy, PLAN, host, REPORTER)
    assert "apt-get install absent" in failed.value.hint
    with pytest.raises(UsageError, match="belongs into the project"):
        apply(replace(SETUP, files=(HostFile("compose.x.yaml", ""),)), PLAN, host, REPORTER)
    assert host.state() == before


def test_a_second_stack_does_not_shut_the_first_one_out() -> None:
    host = machine()
    apply(SETUP, PLAN, host, REPORTER)
    with pytest.raises(ExpectedFailure, match="renfield"):
        apply(replace(SETUP, subject="ufw"), replace(PLAN, project="other"), host, REPORTER)
    assert apply(
        replace(SETUP, subject="ufw", files=(), steps=()),
        replace(PLAN, project="other", exclusive=False),
        host,
        REPORTER,
    )
    assert [r.project for r in all_records(host)] == ["other", "renfield"]


def test_the_record_is_for_root_alone_and_a_broken_one_is_named() -> None:
    host = machine()
    apply(SETUP, PLAN, host, REPORTER)
    path = f"{DIRECTORY}/renfield.nftables.json"
    assert host.files[path][1] == 0o600
    host.files[path] = (b"{}", 0o600)
    with pytest.raises(ExpectedFailure, match="cannot be read"):
        apply(SETUP, PLAN, host, REPORTER)

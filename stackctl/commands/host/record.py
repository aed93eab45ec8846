"""What ``host-setup --apply`` did to a machine, stored there so that ``--undo`` can take it back later."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stackctl.commands.host.machine import ServerHost
from stackctl.hostsetup.setup import Command, HostFile, Need, Present, Setup, Step

DIRECTORY = "/var/lib/stackctl/host-setup"
VERSION = 1


@dataclass(frozen=True)
class Before:
    """A file as it was: its bytes and permission bits, or None where there was none."""

    data: bytes | None = field(repr=False)
    mode: int | None


@dataclass(frozen=True)
class Record:
    """One applied set-up. ``done`` are the indexes of the steps that ran; ``state`` is ``applying`` or ``applied``."""

    project: str
    port: int
    exclusive: bool
    setup: Setup
    before: Mapping[str, Before]
    sources: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    """Directories that were not there before, the innermost first."""
    done: tuple[int, ...] = ()
    state: str = "applying"

    @property
    def path(self) -> str:
        """Where this record is kept."""
        return record_path(self.setup.subject, self.project)

    def save(self, host: ServerHost) -> None:
        """Write the record, readable by root alone."""
        document = {
            "version": VERSION,
            "project": self.project,
            "port": self.port,
            "exclusive": self.exclusive,
            "state": self.state,
            "done": list(self.done),
            "made": list(self.made),
            "sources": list(self.sources),
            "before": {
                path: {"mode": b.mode, "data": None if b.data is None else base64.b64encode(b.data).decode("ascii")}
                for path, b in self.before.items()
            },
            "setup": _setup_document(self.setup),
        }
        host.write(self.path, (json.dumps(document, indent=1) + "\n").encode(), 0o600)

    def with_step(self, index: int) -> Record:
        """The record once the step of that index ran."""
        return replace(self, done=(*self.done, index))


def record_path(subject: str, project: str) -> str:
    """The file of a record."""
    return f"{DIRECTORY}/{project}.{subject}.json"


def load_record(host: ServerHost, subject: str, project: str) -> Record | None:
    """The record, or None where nothing was applied; ``ValueError`` where it cannot be read as one."""
    data = host.read(record_path(subject, project))
    return None if data is None else _parse(data)


def all_records(host: ServerHost) -> list[Record]:
    """Every record of this machine; files that cannot be read as one are left out."""
    found = []
    for name in host.names(DIRECTORY):
        data = host.read(f"{DIRECTORY}/{name}") if name.endswith(".json") else None
        if data is not None:
            try:
                found.append(_parse(data))
            except ValueError:
                continue
    return found


def _parse(data: bytes) -> Record:
    try:
        raw = json.loads(data)
        if raw["version"] != VERSION:
            raise ValueError(f"a record of version {raw['version']}")
        return Record(
            project=raw["project"],
            port=raw["port"],
            exclusive=raw["exclusive"],
            setup=_setup(raw["setup"]),
            before={
                path: Before(None if b["data"] is None else base64.b64decode(b["data"]), b["mode"])
                for path, b in raw["before"].items()
            },
            made=tuple(raw["made"]),
            sources=tuple(raw["sources"]),
            done=tuple(raw["done"]),
            state=raw["state"],
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a record: {error}") from None


def _setup_document(setup: Setup) -> dict[str, Any]:
    return {
        "subject": setup.subject,
        "summary": setup.summary,
        "files": [[f.path, f.text, f.mode] for f in setup.files],
        "settle": [_command_document(c) for c in setup.settle],
        "finish": [_command_document(c) for c in setup.finish],
        "steps": [
            {
                "run": _command_document(s.run),
                "undo": _command_document(s.undo) if s.undo else None,
                "present": [list(s.present.argv), s.present.needle] if s.present else None,
            }
            for s in setup.steps
        ],
        "needs": [[n.kind, n.name, n.remedy] for n in setup.needs],
        "touches": list(setup.touches),
    }


def _command_document(command: Command) -> list[Any]:
    return [list(command.argv), command.why]


def _command(raw: Any) -> Command:
    return Command(tuple(raw[0]), raw[1])


def _setup(raw: Mapping[str, Any]) -> Setup:
    return Setup(
        subject=raw["subject"],
        summary=raw["summary"],
        files=tuple(HostFile(path, text, mode) for path, text, mode in raw["files"]),
        settle=tuple(_command(c) for c in raw["settle"]),
        finish=tuple(_command(c) for c in raw["finish"]),
        steps=tuple(
            Step(
                _command(s["run"]),
                _command(s["undo"]) if s["undo"] else None,
                Present(tuple(s["present"][0]), s["present"][1]) if s["present"] else None,
            )
            for s in raw["steps"]
        ),
        needs=tuple(Need(kind, name, remedy) for kind, name, remedy in raw["needs"]),
        touches=tuple(raw["touches"]),
    )


def same_setup(one: Setup, other: Setup) -> bool:
    """Whether both would do the same; their wording does not count."""
    return _setup_document(replace(one, summary="", needs=())) == _setup_document(replace(other, summary="", needs=()))

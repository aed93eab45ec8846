"""Precision and recall of discovery over the corpus, and the table of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.discover import discover
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.source import Source
from tests.corpus.projects import FileSet, Readable, file_sets, prepare_all

Triple = tuple[str, str, str | None]


class DiskReader:
    """Texts from a directory."""

    def text(self, path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(p.name + "/" * p.is_dir() for p in Path(directory).iterdir())
        except OSError:
            return []


@dataclass
class Score:
    """True, found and wrong over the file sets; ``refused`` are those that Compose reads without its checks only."""

    rows: list[tuple[FileSet, set[Triple], set[Triple], set[str], set[str]]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def truth(self) -> int:
        return sum(len(row[1]) for row in self.rows)

    @property
    def found(self) -> int:
        return sum(len(row[2]) for row in self.rows)

    @property
    def right(self) -> int:
        return sum(len(row[1] & row[2]) for row in self.rows)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.found)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.truth)

    @property
    def servers_wrong(self) -> list[str]:
        return [
            f"{one.id}: {sorted(true)} but found {sorted(got)}" for one, _, _, true, got in self.rows if true != got
        ]


def findings_of(readable: Readable) -> Findings:
    """Run discovery over a prepared project."""
    project = ComposeProject.from_config(readable.config, directory=str(readable.directory))
    active = frozenset(s.name for s in project if not s.profiles or "" in s.profiles)
    project = ComposeProject.from_config(readable.config, directory=str(readable.directory), active=active)
    files = tuple(str(readable.directory / f) for f in readable.files)
    return discover(Source(project, files, DiskReader(), str(readable.directory), readable.environment))


def triples(findings: Findings) -> set[Triple]:
    """The settings in the form of the truth."""
    return {(c.service, s.kind, s.name) for c in findings.consumers for s in c.settings}


def measure(sets: Iterable[FileSet], prepared: Mapping[str, Readable]) -> Score:
    """Score every file set that Compose can read."""
    score = Score()
    for one in sets:
        readable = prepared[one.id]
        if readable.refused or readable.error:
            score.refused[one.id] = readable.refused or readable.error
        if readable.error:
            continue
        found = findings_of(readable)
        score.rows.append(
            (
                one,
                set(one.consumers),
                triples(found),
                set(one.ollama_services),
                {s.service for s in found.ollama_services},
            )
        )
    return score


def table(score: Score) -> list[str]:
    """One line a file set: true, found, wrong and missed; then the sums."""
    lines = []
    for one, true, got, servers, found_servers in score.rows:
        missed, wrong = sorted(true - got, key=str), sorted(got - true, key=str)
        note = "".join(f"\n    missed {m}" for m in missed) + "".join(f"\n    wrong  {w}" for w in wrong)
        if servers != found_servers:
            note += f"\n    Ollama services {sorted(servers)} but found {sorted(found_servers)}"
        lines.append(f"{one.id:70} true {len(true):2} found {len(true & got):2} wrong {len(got - true):2}{note}")
    lines += [f"refused by Compose: {name}: {reason}" for name, reason in score.refused.items()]
    lines.append(
        f"{len(score.rows)} file sets: consumers true {score.truth}, found {score.right}, "
        f"wrong {score.found - score.right}; precision {score.precision:.3f}, recall {score.recall:.3f}; "
        f"Ollama services wrong in {len(score.servers_wrong)}"
    )
    return lines


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare_all(file_sets(), Path(scratch))
        sys.stdout.write("\n".join(table(measure(file_sets(), prepared))) + "\n")

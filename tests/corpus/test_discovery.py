"""Precision and recall over the corpus."""

from __future__ import annotations

import pytest

from stackctl.config.url import prefix_of
from stackctl.project.discovery.address import addresses
from tests.corpus.disputed import DISPUTED
from tests.corpus.measure import Score, findings_of, measure, table
from tests.corpus.projects import CORPUS, Readable, file_sets

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the corpus is not there: {CORPUS}")


@pytest.fixture(scope="module")
def score(prepared: dict[str, Readable]) -> Score:
    return measure(file_sets(), prepared)


def test_every_file_set_is_measured(score: Score) -> None:
    assert len(score.rows) == len(file_sets())


def test_consumers_are_found(score: Score) -> None:
    assert score.recall >= 0.97, "\n".join(table(score))


def test_nothing_else_is_taken_for_a_consumer(score: Score) -> None:
    assert score.precision >= 0.97, "\n".join(table(score))


def test_ollama_services_are_all_found_and_no_other(score: Score) -> None:
    assert score.servers_wrong == []


def test_what_is_missed_is_listed_with_its_reason(score: Score) -> None:
    missed = {(one.project, triple) for one, true, got, _, _ in score.rows for triple in true - got}
    assert missed == {(d.project, d.truth) for d in DISPUTED}


def test_every_template_says_again_what_is_said_today(prepared: dict[str, Readable]) -> None:
    """Filled with the address that stands there now, a template gives the value that stands there now."""
    wrong = []
    for one in file_sets():
        for consumer in findings_of(prepared[one.id]).consumers:
            ports = {s.name: s.value for s in consumer.settings if s.template == "{port}"}
            for setting in consumer.settings:
                found = addresses(setting.value or "", whole=True)
                if (
                    setting.template is None
                    or not found
                    or setting.points_at.startswith("gateway:")
                    or not setting.points_at
                ):
                    continue
                first = found[0]
                port = str(first.port or next(iter(ports.values()), None) or 11434)
                outside = setting.points_at in ("host", "external")
                url = f"{first.scheme}://{first.host}:{port}{prefix_of(first.path) if outside else ''}"
                said = setting.template.replace("{url}", url).replace("{host}", first.host).replace("{port}", port)
                if setting.template != "{port}" and said != setting.value:
                    wrong.append((one.id, setting, said))
    assert wrong == []

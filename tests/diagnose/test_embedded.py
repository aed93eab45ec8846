"""A value that holds more than an address: what is judged and repaired is the address in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.diagnose import embedded
from stackctl.diagnose.consumer_urls import url_settings
from stackctl.diagnose.findings import Finding, Remedy
from stackctl.diagnose.judgement import judge_scene
from stackctl.diagnose.repair import RepairCase
from stackctl.diagnose.scene import UrlSetting
from stackctl.project.compose import ComposeProject
from tests.diagnose.small_scenes import healthy

SPRING = '{"spring":{"datasource":{"url":"jdbc:postgresql://db/x"},"ai":{"ollama":{"base-url":"http://ollama:11434"}}}}'
COMPOSITE = [
    ("Endpoint=http://ollama:11434;Model=tiny-chat", "Endpoint={url};Model=tiny-chat"),
    ("Endpoint=http://ollama:11434;Model=other", "Endpoint={url};Model={model}"),
    ("Endpoint=http://ollama:11434;Model=tiny-chat", "{url}"),
    ("Model=tiny-chat; Endpoint=http://ollama:11434", ""),
    (SPRING, ""),
    (SPRING, SPRING.replace("http://ollama:11434", "{url}")),
    ("[{'kind': 'ollama', 'at': 'http://ollama:11434'}]", "[{'kind': 'ollama', 'at': '{url}'}]"),
    ("--ollama http://ollama:11434 --quiet", ""),
    ("ollama at http://ollama:11434/v1 please", "ollama at {url}/v1 please"),
]


def settings(value: str, template: str, *, variable: str = "ASSISTANT") -> list[UrlSetting]:
    """What ``app`` is told by one variable."""
    services = {"app": {"image": "acme/app", "environment": {variable: value}}}
    project = ComposeProject.from_config({"name": "shop", "services": services}, directory="/p", active={"app"})
    return url_settings(project, (), None, named={"app": {variable: template}}, models=(), dotenv={})


@pytest.mark.parametrize(("value", "template"), COMPOSITE)
def test_the_address_is_found_and_the_rest_is_kept(value: str, template: str) -> None:
    (found,) = embedded.parts(value, template) or []
    assert found.before + found.text + found.after == value
    assert found.text.removesuffix("/v1") == "http://ollama:11434"


@pytest.mark.parametrize(
    "value",
    [
        *("http://ollama:11434", "ollama", "ollama:11434", '"http://ollama:11434"', "http://ollama:11434 # the server"),
        *(
            "http://a:11434;http://b:11434",
            "a:11434,http://b:11434",
            "http://ollama :11434",
            "",
            "ftp://x",
            "hhttp://x",
        ),
        "http://ollama:11434/?a=b;c=d",
    ],
)
def test_an_address_alone_is_no_such_value(value: str) -> None:
    assert embedded.parts(value) is None


@pytest.mark.parametrize("template", ['"{url}"', "'{url}'", "{url} # the server", "{url};{url}", " {url}"])
def test_a_template_that_copies_a_fault_is_no_form(template: str) -> None:
    value = template.replace("{url}", "http://ollama:11434")
    assert embedded.parts(value, template) is None


def test_nothing_is_wrong_with_what_stands_around_an_address() -> None:
    (one,) = settings("Endpoint=http://ollama:11434; Model=tiny chat", "Endpoint={url}; Model=tiny chat")
    assert str(one.url) == "http://ollama:11434"
    assert {str(m) for m in one.marks} == {"client.native", "url.single_label"}


@pytest.mark.parametrize(
    ("value", "template", "after"),
    [
        (
            "Endpoint=htp://ollama:11434;Model=tiny-chat",
            "Endpoint={url};Model=tiny-chat",
            "Endpoint=http://ollama:11434;Model=tiny-chat",
        ),
        ('{"ollama": "htp://ollama:11434", "n": 1}', "", '{"ollama": "http://ollama:11434", "n": 1}'),
        ("a:11434; http://b:11434", "", "http://a:11434;http://b:11434"),
    ],
)
def test_a_repair_changes_the_address_and_keeps_the_rest(value: str, template: str, after: str) -> None:
    first = settings(value, template or "{url}")[0]
    scene = replace(healthy(""), settings=(first,))
    found = judge_scene(scene, {}).findings
    finding = next(f for f in found if f.severity == "error")
    assert finding.remedy.automatic
    repair = RepairCase(finding, scene).tell(finding.remedy.fix.replace("set-url", "bare").replace("set-good", "good"))
    assert repair is not None
    assert str(repair.services["app"]["environment"]["ASSISTANT"]) == after


def test_a_secret_beside_an_address_is_copied_nowhere() -> None:
    words = {"variable": "A", "good": "http://b", "before": "Endpoint=", "after": ";Key=s3cr3t"}
    finding = Finding("x", "app", "error", "", (), Remedy(""), words=words)  # type: ignore[arg-type]
    assert RepairCase(finding, healthy("")).tell("good") is None

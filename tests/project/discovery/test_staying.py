"""Adoption moves nobody: who answers at an address, what is in use, and what is left as it is for that."""

from __future__ import annotations

import pytest
import yaml

from stackctl.project.discovery.config_text import Choices, default_name, render_config
from stackctl.project.discovery.findings import Findings
from stackctl.project.discovery.staying import in_use, local_of, settled
from tests.project.discovery.conftest import LAN, Find, told


def written(findings: Findings) -> dict[str, object]:
    """What ``init`` would write, as values."""
    local = local_of(findings)
    found = settled(findings, local)
    text = render_config(found, Choices(local=local, default=default_name(found, local)))
    document: dict[str, object] = yaml.safe_load(text)
    return document


def asked(find: Find, address: str, consumer: str = "", server: str = "", others: str = "") -> list[str]:
    """The servers that a consumer told ``address`` uses; ``consumer`` and ``server`` are more keys of each."""
    findings = find(f"""\
services:
  brain: {{image: ollama/ollama, {server}}}
  app: {{image: x, environment: {{OLLAMA_URL: "{address}"}}, {consumer}}}
{others}""")
    return findings.consumers[0].settings[0].servers


OWN = ["service:brain"]
HOST = "network_mode: host"
TUNNEL = "  tunnel: {image: tailscale/tailscale, hostname: vpn}\n"


@pytest.mark.parametrize(
    ("address", "consumer", "server", "servers"),
    [
        ("http://brain:11434", "", "", OWN),
        ("http://127.0.0.1:11434", "network_mode: 'service:brain'", "", OWN),
        ("http://localhost:8080", "network_mode: 'service:brain'", "environment: {OLLAMA_HOST: ':8080'}", OWN),
        ("http://127.0.0.1:22000", HOST, f"{HOST}, environment: {{OLLAMA_HOST: '0.0.0.0:22000'}}", OWN),
        ("http://host.docker.internal:22000", "", f"{HOST}, environment: {{OLLAMA_HOST: '0.0.0.0:22000'}}", OWN),
        ("http://host.docker.internal:7869", "", "ports: ['7869:11434']", OWN),
        ("http://localhost:7869", HOST, "ports: ['7869:11434']", OWN),
        ("http://llm:9000", "extra_hosts: ['llm:host-gateway']", "ports: ['9000:11434']", OWN),
        (f"http://{LAN}:7869", "", "ports: ['7869:11434']", OWN),
        (f"http://{LAN}:22000/v1", "", f"{HOST}, environment: {{OLLAMA_HOST: '0.0.0.0:22000'}}", OWN),
        (f"http://{LAN}:7870", "", "ports: ['7869:11434']", [f"http://{LAN}:7870"]),
        ("http://192.0.2.8:7869", "", "ports: ['7869:11434']", ["http://192.0.2.8:7869"]),
        ("http://llm:9000", f"extra_hosts: ['llm:{LAN}']", "ports: ['9000:11434']", OWN),
        ("http://mine:11434", "links: ['brain:mine']", "", OWN),
        ("http://brain:11434", "extra_hosts: ['brain:10.9.8.7']", "", ["http://brain:11434"]),
        ("http://10.9.8.7:11434/team/v1", "", "", ["http://10.9.8.7:11434/team"]),
        ("http://127.0.0.1:11434", HOST, "", ["http://host.docker.internal:11434"]),
        ("http://localhost:11434", "", "", []),
    ],
)
def test_a_server_is_known_by_what_listens(
    find: Find, address: str, consumer: str, server: str, servers: list[str]
) -> None:
    assert asked(find, address, consumer, server) == servers


@pytest.mark.parametrize("name", ["tunnel", "vpn"])
def test_a_server_in_anothers_namespace_answers_to_its_names(find: Find, name: str) -> None:
    assert asked(find, f"http://{name}:11434", "", "network_mode: 'service:tunnel'", TUNNEL) == OWN
    inside = "network_mode: 'service:tunnel'"
    assert asked(find, "http://127.0.0.1:11434", inside, inside, TUNNEL) == OWN
    published = TUNNEL.replace("hostname", "ports: ['5000:11434'], hostname")
    assert asked(find, "http://host.docker.internal:5000", "", inside, published) == OWN


def test_of_two_that_share_a_name_the_active_one_answers(find: Find) -> None:
    shared = "networks: {default: {aliases: [ollama]}}"
    findings = find(f"""\
services:
  cpu: {{image: ollama/ollama, profiles: [cpu], {shared}}}
  gpu: {{image: ollama/ollama, {shared}}}
  app: {{image: x, environment: {{OLLAMA_URL: "http://ollama:11434"}}}}
""")
    assert findings.consumers[0].settings[0].servers == ["service:gpu"]


def test_host_and_port_apart_are_read_together(find: Find) -> None:
    findings = find("""\
services:
  brain: {image: ollama/ollama, ports: ['22341:11434']}
  app: {image: x, environment: {OLLAMA_HOST: host.docker.internal, OLLAMA_PORT: 22341}}
""")
    assert {s.name: (s.template, s.servers) for s in findings.consumers[0].settings} == {
        "OLLAMA_HOST": ("{host}", OWN),
        "OLLAMA_PORT": ("{port}", OWN),
    }


def test_a_model_that_the_server_in_use_lacks_is_not_required(find: Find) -> None:
    findings = find(
        """\
services:
  app: {image: x, environment: {OLLAMA_URL: "http://ollama:11434", OLLAMA_MODEL: absent, OLLAMA_EMBED_MODEL: there}}
""",
        server=True,
    )
    found = settled(findings, "ollama", {"absent"})
    assert found.models == ("there",)
    assert found.consumers[0].templates == {"OLLAMA_URL": "{url}", "OLLAMA_EMBED_MODEL": "{model}"}


def test_each_consumer_stays_with_its_own_server(find: Find) -> None:
    findings = find("""\
services:
  one: {image: ollama/ollama}
  two: {image: ollama/ollama}
  a: {image: x, environment: {OLLAMA_URL: "http://two:11434"}}
  b: {image: x, environment: {OLLAMA_URL: "http://two:11434", EMBED_URL: "http://one:11434"}}
  c: {image: x, environment: {OLLAMA_URL: "http://one:11434"}}
  d: {image: x, environment: {OLLAMA_URL: "http://two:11434/v1"}}
""")
    assert local_of(findings) == "two"
    document = written(findings)
    assert document["default"] == "local"
    assert document["local"] == {"service": "two"}
    told_now = {"a": "{url}", "b": "{url}", "d": "{url}/v1"}
    assert document["consumers"] == {name: {"env": {"OLLAMA_URL": template}} for name, template in told_now.items()}
    left = settled(findings, "two").consumer("c")
    assert left is not None
    assert "it uses one today, and `local` is two" in str(left.reason)


def test_the_default_is_what_is_in_use(find: Find) -> None:
    text = """\
services:
  ollama: {image: ollama/ollama, profiles: [local]}
  a: {image: x, environment: {OLLAMA_URL: "http://gpu.example:11434"}}
  b: {image: x, environment: {OLLAMA_URL: "http://gpu.example:11434/v1"}}
  c: {image: x, environment: {OLLAMA_URL: "http://other.example:11434"}}
"""
    document = written(find(text))
    assert document["default"] == "gpu"
    assert document["consumers"] == {"a": {"env": {"OLLAMA_URL": "{url}"}}, "b": {"env": {"OLLAMA_URL": "{url}/v1"}}}
    # Where anybody uses the project's own server, a plain `up` must not take it away.
    text += '  d: {image: x, environment: {OLLAMA_URL: "http://ollama:11434"}}\n'
    document = written(find(text))
    assert (document["default"], list(document["consumers"])) == ("local", ["d"])  # type: ignore[call-overload]


def test_of_a_list_of_servers_only_the_own_one_is_told(find: Find) -> None:
    findings = find("""\
services:
  ollama: {image: ollama/ollama}
  ui: {image: x, environment: {OLLAMA_BASE_URLS: "http://gpu:11434;http://ollama:11434"}}
  all: {image: x, environment: {OLLAMA_BASE_URLS: "http://ollama:11434;http://ollama:11434/v1"}}
""")
    assert told(settled(findings, "ollama")) == {
        "all": {"env:OLLAMA_BASE_URLS": "{url};{url}/v1"},
        "ui": {"env:OLLAMA_BASE_URLS": "http://gpu:11434;{url}"},
    }


def test_a_container_of_another_project_is_an_instance(find: Find) -> None:
    findings = find("""\
services:
  app: {image: x, networks: [shared], environment: {OLLAMA_URL: "http://ollama:11434"}}
networks: {shared: {external: true}}
""")
    document = written(findings)
    assert document["instances"] == {"ollama": {"url": "http://ollama:11434"}}
    assert document["default"] == "ollama"
    assert document["local"] == {"service": "ollama-local", "gpu": "auto", "volume": "ollama_data"}
    alone = find('services:\n  app: {image: x, environment: {OLLAMA_URL: "http://ollama:11434"}}\n')
    assert in_use(alone, "") == ""
    assert "instances" not in written(alone)


def test_who_asks_a_proxy_of_the_project_goes_on_asking_it(find: Find) -> None:
    findings = find("""\
services:
  ollama: {image: ollama/ollama}
  meter: {image: example/ollama-exporter, environment: {OLLAMA_HOST: "http://ollama:11434"}}
  chat: {image: ghcr.io/open-webui/open-webui, environment: {OLLAMA_BASE_URL: "http://meter:8000"}}
""")
    found = settled(findings, "ollama")
    assert told(found) == {"chat": {"env:OLLAMA_BASE_URL": None}, "meter": {"env:OLLAMA_HOST": "{url}"}}
    assert [c.role for c in found.consumers] == ["app", "gateway"]
    assert found.consumers[0].settings[0].value == "http://meter:8000"


@pytest.mark.parametrize(
    ("variables", "models", "templates"),
    [
        ({"OLLAMA_MODEL": "qwen3:8b"}, ["qwen3:8b"], {"OLLAMA_MODEL": "{model}"}),
        ({"MODEL": "ollama/qwen3:8b"}, ["qwen3:8b"], {"MODEL": "ollama/{model}"}),
        ({"LLM_MODEL": "own", "EMBED_MODEL": "bge-m3"}, ["own", "bge-m3"], {"LLM_MODEL": "{model}"}),
        ({"OLLAMA_EMBEDDING_MODEL": "e", "OLLAMA_CHAT_MODEL": "c"}, ["c", "e"], {"OLLAMA_CHAT_MODEL": "{model}"}),
        ({"OLLAMA_MODELS": "a:1b,b:2b"}, ["a:1b", "b:2b"], {}),
        ({"OPENAI_MODEL": "gpt-4o", "WHISPER_MODEL": "base", "EMBEDDING_MODEL": "sentence_transformer"}, [], {}),
        ({"RAG_EMBEDDING_MODEL": "sentence-transformers/all-MiniLM-L6-v2", "MODEL": "claude-3"}, [], {}),
    ],
)  # fmt: skip
def test_models_beside_the_address(
    find: Find, variables: dict[str, str], models: list[str], templates: dict[str, str]
) -> None:
    environment = yaml.safe_dump({"OLLAMA_URL": "http://ollama:11434", **variables}, default_flow_style=True).strip()
    document = written(find(f"services:\n  app: {{image: x, environment: {environment}}}\n", server=True))
    assert document.get("models", []) == models
    assert document["consumers"] == {"app": {"env": {"OLLAMA_URL": "{url}", **templates}}}


def test_a_model_belongs_to_its_own_address(find: Find) -> None:
    document = written(
        find("""\
services:
  ollama-chat: {image: ollama/ollama}
  ollama-embed: {image: ollama/ollama}
  api:
    image: x
    environment:
      OLLAMA_URL: http://ollama-chat:11434
      LLM_MODEL: tiny-chat
      EMBED_URL: http://ollama-embed:11434
      EMBED_MODEL: tiny-embed
""")
    )
    assert document["models"] == ["tiny-chat"]
    assert document["consumers"] == {"api": {"env": {"OLLAMA_URL": "{url}", "LLM_MODEL": "{model}"}}}


def test_no_model_is_named_that_the_project_does_not_name(find: Find) -> None:
    findings = find('services:\n  app: {image: x, environment: {OLLAMA_URL: "http://ollama:11434"}}\n', server=True)
    text = render_config(settled(findings, "ollama"), Choices(local="ollama"))
    assert "models: []" in text
    assert "llama3" not in text


CREDENTIALS = [
    ("http://reader:Fern,27@box.example:11504/", "http://box.example:11504", "reader", "{url}/"),
    ("http://reader:Fern%40;27@box.example/v1", "http://box.example", "reader", "{url}/v1"),
    ("http://reader:Fern:27@[fd00::1]:11434/team/", "http://[fd00::1]:11434", "reader", None),
    ("https://Fern27@box.example", "https://box.example", "${BOX_USER}", "{url}"),
]


@pytest.mark.parametrize(("value", "url", "user", "template"), CREDENTIALS)
def test_credentials_in_a_url_become_references(
    find: Find, value: str, url: str, user: str, template: str | None
) -> None:
    findings = find(f'services:\n  web: {{image: x, environment: {{OLLAMA_BASE_URL: "{value}"}}}}\n')
    local = local_of(findings)
    text = render_config(settled(findings, local), Choices(local=local, default=default_name(findings, local)))
    assert "Fern" not in text
    assert "Fern" not in str(findings.document())
    document = yaml.safe_load(text)
    (instance,) = document["instances"].values()
    assert instance["url"].removesuffix("/team") == url
    basic = instance["auth"]["basic"]
    assert (basic["user"], basic["password"].endswith("_PASSWORD}")) == (user, True)
    assert template is None or document["consumers"] == {"web": {"env": {"OLLAMA_BASE_URL": template}}}


def test_credentials_that_nobody_understands_are_not_copied(find: Find) -> None:
    findings = find('services:\n  web: {image: x, environment: {OLLAMA_BASE_URL: "http://r:Fern/27@box:11434/"}}\n')
    text = render_config(settled(findings, ""), Choices())
    assert "27@" not in text
    assert "Fern" not in text + str(findings.document())

"""Where it is written: env files, includes, anchors, mounted files; and who answers at an address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.project.discovery.config_text import Choices, render_config
from stackctl.project.discovery.findings import Findings
from tests.project.discovery.conftest import Find, servers, told


def test_from_an_env_file_with_its_line(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    env_file: [{path: config/app.env, required: false}]
""",
        {"config/app.env": "# the model server\nexport OLLAMA_URL='http://ollama:11434'\n"},
        server=True,
    )
    setting = findings.consumers[0].settings[0]
    assert (setting.kind, setting.template, setting.evidence) == ("env_file", "{url}", "config/app.env:2")


def test_environment_goes_before_the_env_file(find: Find) -> None:
    findings = find(
        """\
services:
  app:
    image: example/app
    env_file: .env
    environment: [OLLAMA_URL=http://gpu.lan:11434]
""",
        {".env": "OLLAMA_URL=http://ollama:11434\n"},
        server=True,
    )
    setting = findings.consumers[0].settings[0]
    assert (setting.kind, setting.value) == ("env", "http://gpu.lan:11434")


def test_an_example_of_the_env_file_shows_the_variable(find: Find) -> None:
    findings = find(
        """\
services:
  app: {image: example/app, env_file: .env}
  db: {image: postgres, env_file: .env}
""",
        {".env": "", ".env.example": "# OLLAMA_BASE_URL=http://localhost:11434/api\nLOG=1\n"},
    )
    assert told(findings) == {"app": {"env_file:OLLAMA_BASE_URL": "{url}/api"}}
    assert findings.consumers[0].settings[0].evidence == ".env.example:1"


def test_a_shared_env_file_is_for_those_that_need_ollama(find: Find) -> None:
    findings = find(
        """\
services:
  api: {image: example/app, env_file: .env, depends_on: [ollama]}
  bot: {image: example/bot, env_file: .env, depends_on: [api]}
""",
        {".env": "", ".env.sample": "OLLAMA_BASE_URL=http://ollama:11434\n"},
        server=True,
    )
    assert told(findings) == {"api": {"env_file:OLLAMA_BASE_URL": "{url}"}}


def test_a_bind_address_in_a_shared_env_file_is_the_servers(find: Find) -> None:
    findings = find(
        """\
services:
  ollama: {image: ollama/ollama, env_file: .env}
  app: {image: example/app, env_file: .env}
""",
        {".env": "OLLAMA_HOST=0.0.0.0:11434\nOLLAMA_URL=http://ollama:11434\n"},
    )
    assert told(findings) == {"app": {"env_file:OLLAMA_URL": "{url}"}}


def test_through_include_and_extends_from_subfolders(find: Find) -> None:
    findings = find(
        """\
include: [web/compose.yaml]
services:
  worker:
    extends: {file: base/worker.yaml, service: base}
  ollama: {image: ollama/ollama}
""",
        {
            "web/compose.yaml": "services:\n  web:\n    image: example/web\n    env_file: ./web.env\n",
            "web/web.env": "OLLAMA_URL=http://ollama:11434\n",
            "base/worker.yaml": "services:\n  base:\n    image: x\n    environment:\n      OLLAMA_HOST: ollama:11434\n",
        },
    )
    assert told(findings) == {
        "web": {"env_file:OLLAMA_URL": "{url}"},
        "worker": {"env:OLLAMA_HOST": "{host}:{port}"},
    }
    assert [c.settings[0].evidence for c in findings.consumers] == ["web/web.env:1", "base/worker.yaml:5"]


def test_one_anchor_feeds_several_services(find: Find) -> None:
    findings = find("""\
x-env: &env
  LOG: info
  AI_BASE_URL: ${AI_BASE_URL:-http://ollama:11434/v1}
x-app: &app
  image: example/app
  environment: *env
services:
  web: {<<: *app}
  worker:
    <<: *app
    environment: {<<: *env, QUEUE: "1"}
  db: {image: postgres}
""")
    assert told(findings) == {"web": {"env:AI_BASE_URL": "{url}/v1"}, "worker": {"env:AI_BASE_URL": "{url}/v1"}}
    assert {s.evidence for c in findings.consumers for s in c.settings} == {"compose.yaml:3"}


def test_a_later_file_wins_and_is_named(find: Find) -> None:
    base = """\
services:
  app:
    image: example/app
    environment: {OLLAMA_URL: "http://host.docker.internal:11434"}
"""
    gpu = """\
services:
  app:
    environment:
      - OLLAMA_URL=http://ollama:11434
  ollama: {image: ollama/ollama}
"""
    findings = find(base, {"gpu.yaml": gpu}, files=("compose.yaml", "gpu.yaml"))
    setting = findings.consumers[0].settings[0]
    assert (setting.value, setting.evidence) == ("http://ollama:11434", "gpu.yaml:4")


def test_variables_without_a_value(find: Find) -> None:
    findings = find(
        """\
services:
  quiet: {image: example/quiet}
  app: {image: example/app, environment: [OLLAMA_URL, OPENAI_API_KEY]}
""",
        variables={"OLLAMA_URL": "http://10.0.0.5:11434"},
    )
    assert told(findings) == {"app": {"env:OLLAMA_URL": "{url}"}}
    assert findings.consumers[0].settings[0].value == "http://10.0.0.5:11434"


def test_other_names_of_the_server(find: Find) -> None:
    findings = find("""\
services:
  brain:
    image: ollama/ollama
    container_name: thinker
    hostname: mind
    networks: {net: {aliases: [llm], ipv4_address: 10.77.0.9}}
  a: {image: x, networks: [net], environment: {AI_URL: "http://thinker:11434"}}
  b: {image: x, networks: [net], environment: {AI_URL: "http://llm"}}
  c: {image: x, networks: [net], environment: {AI_URL: "http://10.77.0.9:11434"}}
  d: {image: x, networks: [net], environment: {AI_URL: "http://mind:11434"}}
  e: {image: x, networks: [net], environment: {AI_HOST: "brain"}}
networks:
  net: {ipam: {config: [{subnet: 10.77.0.0/24}]}}
""")
    assert sorted(told(findings)) == ["a", "b", "c", "d", "e"]
    assert {s.points_at for c in findings.consumers for s in c.settings} == {"ollama"}


def test_by_the_published_port(find: Find) -> None:
    findings = find("""\
services:
  ollama: {image: ollama/ollama, ports: ["7869:11434"]}
  app: {image: x, environment: {MODEL_URL: "http://host.docker.internal:7869"}}
  other: {image: x, environment: {MODEL_URL: "http://host.docker.internal:7870"}}
""")
    assert told(findings) == {"app": {"env:MODEL_URL": "{url}"}}


def test_a_server_on_another_port(find: Find) -> None:
    findings = find("""\
services:
  ollama: {image: ollama/ollama, environment: {OLLAMA_HOST: "0.0.0.0:5000"}}
  app: {image: x, environment: {AI_URL: "http://ollama:5000"}}
""")
    assert told(findings) == {"app": {"env:AI_URL": "{url}"}}


def test_a_build_argument_is_baked_in(find: Find) -> None:
    findings = find("""\
services:
  web:
    build: {context: ., args: {VITE_OLLAMA_URL: "http://localhost:11434", OLLAMA_VERSION: "1"}}
""")
    assert told(findings) == {"web": {"build_arg:VITE_OLLAMA_URL": None}}
    assert "baked into the image" in str(findings.consumers[0].reason)


def test_a_mounted_file_is_not_switchable_with_its_line(find: Find) -> None:
    config = """\
model_list:
  - litellm_params:
      # api_base: http://ollama:11434
      api_base: http://ollama:11434
"""
    findings = find(
        """\
services:
  litellm:
    image: ghcr.io/berriai/litellm:main
    volumes: ["./litellm:/etc/litellm:ro"]
""",
        {"litellm/config.yaml": config},
        server=True,
    )
    consumer = findings.consumers[0]
    assert (consumer.role, consumer.switchable) == ("gateway", False)
    assert told(findings) == {"litellm": {"config_file:litellm/config.yaml": None}}
    assert consumer.settings[0].evidence == "litellm/config.yaml:4"
    assert "litellm/config.yaml:4" in str(consumer.reason)


def test_a_mounted_file_that_points_elsewhere(find: Find) -> None:
    findings = find(
        """\
services:
  chat:
    image: ghcr.io/danny-avila/librechat
    volumes: ["./librechat.yaml:/app/librechat.yaml"]
""",
        {"librechat.yaml": "endpoints:\n  custom:\n    - name: Ollama\n      baseURL: http://litellm:4000\n"},
        server=True,
    )
    assert told(findings) == {}


def test_an_inline_config(find: Find) -> None:
    findings = find(
        """\
services:
  proxy:
    image: nginx
    configs: [{source: site, target: /etc/nginx/conf.d/default.conf}]
configs:
  site:
    content: |
      upstream llm { server ollama:11434; }
""",
        server=True,
    )
    assert told(findings) == {"proxy": {"config_file:site": None}}


def test_an_address_in_a_mounted_program(find: Find) -> None:
    findings = find(
        """\
services:
  dash: {image: "python:3.12", command: python /app/app.py, volumes: ["./dash:/app"]}
  tool: {image: "python:3.12", command: python /app/tool.py, volumes: ["./tool:/app"]}
""",
        {
            "dash/app.py": 'import os\nOLLAMA_INTERNAL = "http://ollama:11434"\n',
            "tool/tool.py": "URL = os.getenv('OLLAMA_URL', 'http://ollama:11434')\n",
        },
        server=True,
    )
    assert told(findings) == {"dash": {"hardcoded:OLLAMA_INTERNAL": None}}


def test_a_gateway_and_the_apps_behind_it(find: Find) -> None:
    findings = find(
        """\
services:
  lb:
    image: nginx
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf"]
  web: {image: example/web, environment: {OLLAMA_API_BASE_URL: "http://lb:9090/api"}}
  chat: {image: example/chat, environment: {OPENAI_API_BASE: "http://lb:9090/v1"}}
""",
        {"nginx.conf": "upstream u { server ollama:11434; }\n"},
        server=True,
    )
    assert told(findings) == {
        "lb": {"config_file:nginx.conf": None},
        "web": {"env:OLLAMA_API_BASE_URL": "{url}/api"},
    }
    assert {c.service: c.role for c in findings.consumers} == {"lb": "gateway", "web": "app"}


def test_one_shots_that_carry_the_variable_are_init(find: Find) -> None:
    findings = find(
        """\
services:
  migrate:
    image: example/app
    command: migrate
    environment: &env {OLLAMA_URL: "http://ollama:11434"}
  app:
    image: example/app
    environment: *env
    depends_on: {migrate: {condition: service_completed_successfully}}
""",
        server=True,
    )
    assert {c.service: c.role for c in findings.consumers} == {"app": "app", "migrate": "init"}


def test_shared_network_namespaces(find: Find) -> None:
    findings = find("""\
services:
  vpn: {image: example/vpn, ports: ["11434:11434"]}
  ollama: {image: ollama/ollama, network_mode: "service:vpn"}
  app: {image: x, environment: {AI_URL: "http://vpn:11434"}}
""")
    assert servers(findings) == ["ollama"]
    assert findings.consumers[0].settings[0].points_at == "ollama"


def test_an_example_shows_several_ways_and_the_own_server_is_taken(find: Find) -> None:
    findings = find(
        """\
services:
  bot: {build: ., env_file: .env}
  brain: {image: ollama/ollama, container_name: ollama-server}
""",
        {
            ".env": "",
            ".env.example": """\
# OLLAMA_BASE_URL=localhost # without Docker
# OLLAMA_BASE_URL=ollama-server # in Docker
# OLLAMA_BASE_URL=host.docker.internal
""",
        },
    )
    assert told(findings) == {"bot": {"env_file:OLLAMA_BASE_URL": "{host}"}}
    assert findings.consumers[0].settings[0].evidence == ".env.example:2"


def test_files_that_manage_the_project_tell_no_address(find: Find) -> None:
    findings = find(
        """\
services:
  manager:
    image: example/manager
    volumes: ["./compose.yaml:/srv/compose.yaml:ro", "./.env.example:/srv/.env.example:ro"]
  app: {image: x, environment: {AI_URL: "http://ollama:11434"}}
""",
        {".env.example": "OLLAMA_URL=http://ollama:11434\n"},
        server=True,
    )
    assert list(told(findings)) == ["app"]


def test_a_setting_given_as_an_argument(find: Find) -> None:
    findings = find(
        """\
services:
  db: {image: timescale/timescaledb, command: ["-c", "ai.ollama_host=http://ollama:11434"]}
""",
        server=True,
    )
    assert told(findings) == {"db": {"command:ai.ollama_host": "{url}"}}


def test_a_build_argument_of_the_same_name_is_not_written_as_a_variable(find: Find) -> None:
    findings = find(
        """\
services:
  web:
    build: {context: ., args: {OLLAMA_BASE_URL: "/ollama"}}
    environment: {OLLAMA_BASE_URL: "http://ollama:11434"}
""",
        server=True,
    )
    assert told(findings) == {"web": {"env:OLLAMA_BASE_URL": "{url}", "build_arg:OLLAMA_BASE_URL": None}}
    text = render_config(findings, Choices())
    assert text.count("\n      OLLAMA_BASE_URL:") == 1
    assert "# left as it is: build_arg OLLAMA_BASE_URL" in text


def where(findings: Findings) -> dict[str, tuple[str | None, str | None, str]]:
    """Service to the name, the value and the place of its first setting, which no override reaches."""
    assert all(not c.switchable and c.reason for c in findings.consumers)
    found = {c.service: c.settings[0] for c in findings.consumers}
    assert all(s.kind == "config_file" for s in found.values())
    return {name: (s.name, s.value, s.evidence) for name, s in found.items()}


def test_secrets_and_configs_of_every_kind(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, environment: {OLLAMA_URL_FILE: /run/secrets/url}, secrets: [url]}
  b: {image: x, command: "sh -c 'OLLAMA_HOST=$$(cat /run/secrets/url) exec app'", secrets: [url]}
  c: {image: x, environment: {LLM_OLLAMA_HOST_FILE: /etc/llm}, secrets: [{source: host, target: /etc/llm}]}
  d: {image: x, configs: [{source: text, target: /app/c.yaml}]}
  e: {image: x, secrets: [from_shell]}
  f: {image: x, environment: {OLLAMA_HOST_FILE: /data/host}, volumes: ["./data:/data"]}
  other: {image: x, secrets: [password]}
secrets:
  url: {file: ./url.txt}
  host: {file: ./host.txt}
  from_shell: {environment: LLM}
  password: {file: ./password.txt}
configs:
  text: {content: "llm: {base_url: 'http://ollama:11434'}"}
""",
        {"url.txt": "http://ollama:11434\n", "host.txt": "ollama", "password.txt": "hunter2", "data/host": "ollama\n"},
        variables={"LLM": "http://ollama:11434"},
        server=True,
    )
    url = "http://ollama:11434"
    found = where(findings)
    assert found["a"] == found["b"] == ("url.txt", url, "url.txt:1")
    assert found["c"] == ("host.txt", "ollama", "host.txt:1")
    assert (found["d"][:2], found["e"][:2]) == (("text", url), ("from_shell", url))
    assert found["f"] == ("data/host", "ollama", "data/host:1")
    assert "other" not in found
    assert all(c.fixed_at("ollama") for c in findings.consumers)


def test_a_secret_with_credentials_is_not_shown(find: Find) -> None:
    findings = find(
        """\
services:
  a: {image: x, environment: {OLLAMA_URL_FILE: /run/secrets/url}, secrets: [url]}
secrets:
  url: {file: ./url.txt}
""",
        {"url.txt": "http://reader:Fern,27@box.example:11434\n"},
    )
    assert where(findings) == {"a": ("url.txt", None, "url.txt:1")}
    assert "Fern" not in str(findings)


def test_a_mounted_dotenv_is_read_by_who_mounts_it(find: Find) -> None:
    line = "APP=shop\nOLLAMA_BASE_URL=http://ollama:11434\n"
    findings = find(
        """\
services:
  shop: {image: x, volumes: ["./shop:/var/www/html"]}
  bot: {image: x, volumes: ["./bot/.env.local:/app/.env:ro"]}
  host: {image: x, volumes: ["./host:/app"]}
  told: {image: x, environment: {OLLAMA_BASE_URL: "http://10.0.0.9:11434"}, volumes: ["./told:/app"]}
""",
        {
            "shop/.env": line,
            "shop/composer.json": "{}",
            "bot/.env.local": line,
            "host/.env": "OLLAMA_HOST=ollama\n",
            "host/.env.example": line,
            "told/.env": line,
        },
        server=True,
    )
    assert [s.kind for c in findings.consumers if c.service == "told" for s in c.settings] == ["env"]
    found = where(replace(findings, consumers=tuple(c for c in findings.consumers if c.service != "told")))
    assert found == {
        "shop": ("shop/.env", "http://ollama:11434", "shop/.env:2"),
        "bot": ("bot/.env.local", "http://ollama:11434", "bot/.env.local:2"),
        "host": ("host/.env", "ollama", "host/.env:1"),
    }


@pytest.mark.parametrize("extra", ["links: [ollama]", "depends_on: [ollama]"])
def test_who_only_waits_for_the_server_or_has_a_link_to_it_is_held_to_it(find: Find, extra: str) -> None:
    findings = find(f"services:\n  app: {{image: x, {extra}}}\n", server=True)
    (consumer,) = findings.consumers
    held = consumer.fixed_at("ollama")
    assert held is not None
    assert held.evidence.startswith("compose.yaml:")

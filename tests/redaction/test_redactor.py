"""What the redactor takes out, by value, by place and by shape; and what it must leave."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
import yaml

from stackctl.config.redacted_yaml import redact_yaml
from stackctl.redaction import REDACTED, Redactor, is_secret_name

SECRETS = ["canary-8d1f7c2e94b6", "p4$$w'o\"rd \\1&<ü>", "-----BEGIN A-----\nMIIcanary0123456789\n-----END A-----"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_value_in_every_encoding(secret: str) -> None:
    redactor = Redactor([secret])
    spelt = [
        secret,
        secret.replace("$", "$$"),
        quote(secret),
        quote(secret, safe="").replace("%2", "%2").lower() if secret.isascii() and secret.islower() else quote(secret),
        quote_plus(secret),
        shlex.quote(secret),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        json.dumps(json.dumps(secret)),
        json.dumps(secret).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
        repr(secret),
        yaml.safe_dump({"a": secret}, allow_unicode=True, width=1000) if "\n" not in secret else secret,
    ]
    for before in range(4):
        text = b"u" * before + secret.encode() + b"z" * before
        spelt += [base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode()]
    for text in spelt:
        found = redactor.text(f"it says: {text} and no more")
        assert REDACTED in found, text
        assert found.startswith("it says: ")
        assert found.endswith("no more")
        left = found.removeprefix("it says: ").removesuffix(" and no more")
        assert len(left) <= len(REDACTED) + 6 or left.count(REDACTED) > 1, left
        assert "canary" not in found
        assert "rd" not in left


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("http:/u:hunter2@h", "hunter2"),
        ("http://u:hunter2/x@h:1/api", "hunter2"),
        ("http://u:hun@ter2@h", "ter2"),
        ("http://h:1/x?token=hunter2&a=b", "hunter2"),
        ("postgres://a:hunter2@db/x", "hunter2"),
        ("redis://:hunter2@redis:6379", "hunter2"),
        ("HTTP_PROXY=u:hunter2@proxy:3128", "hunter2"),
        ("PGPASS=hunter2 x", "hunter2"),
        ("serve --api-key hunter2 --port 1", "hunter2"),
        ("serve --api-key=hunter2", "hunter2"),
        ('["serve", "--api-key", "hunter2"]', "hunter2"),
        ("OPENAI_KEY=hunter2", "hunter2"),
        ("Authorization: Bearer hunters", "hunters"),
        ("Authorization: hunters", "hunters"),
        ("asked with bearer hunter22", "hunter22"),
        ("Basic dXNlcjpwdzE=", "dXNlcjpwdzE"),
        ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig-nature b", "eyJ"),
        ("key sk-proj-abc12345", "abc12345"),
        ("https://hooks.slack.com/services/T0/B0/xyzzy", "xyzzy"),
        ("https://discord.com/api/webhooks/1/xyzzy", "xyzzy"),
        ("admin:$$2y$$05$$abcdefghijkl/abc", "abcdefghijkl"),
        ("admin:$apr1$abcdefgh$abcdefghijkl", "abcdefghijkl"),
    ],
)
def test_by_place_and_by_shape(text: str, secret: str) -> None:
    found = Redactor().text(text)
    assert secret not in found
    assert REDACTED in found


@pytest.mark.parametrize(
    "text",
    [
        "http://ollama:11434/api/tags", "ollama/ollama:0.33.0@sha256:0123abcd", "https://cdn.example/npm/vue@3",
        "git@github.com:x/y", "a@example.com", "http://a:1,http://b:2/x", 'auth: {bearer: "${GPU_BOX_TOKEN}"}',
        "Authorization: Bearer ${TOKEN}", "OPENAI_API_KEY={token}", "K=$TOKEN", "http://${U}:${P}@host",
        "basic authentication", "bearer (by command)", "TOKENIZERS_PARALLELISM=false", "MAX_TOKENS=100",
        "POSTGRES_PASSWORD_FILE=/run/secrets/db", "the token: not set", "task-scheduler-12", "WEBUI_AUTH=false",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_what_leaves_the_machine_is_redacted_thoroughly() -> None:
    redactor = Redactor()
    for text in ('{"api_key": "hunter2"}', "X-API-Key: hunter2", "password: hunter2"):
        assert "hunter2" not in redactor.thorough(text)
    random = "aG9xT2k4ZmQ3bXB3UlE1c0x2"
    assert random not in redactor.thorough(f"logged in with {random}")
    for text in ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "/var/lib/docker/overlay2/x"):
        assert redactor.thorough(text) == text


def test_a_document_is_redacted_by_its_names() -> None:
    document = {
        "environment": {"DB_PASSWORD": "x1", "PORT": "80", "URL": "http://u:x1@h", "OLLAMA_KEEP_ALIVE": "x1y"},
        "labels": {"traefik.http.middlewares.a.basicauth.users": "a:x1"},
        "command": ["serve", "--api-key", "x1", "--port", "x2"],
        "secrets": {"db_password": {"file": "./db"}},
        "headers": ["X-API-Key: x1xx"],
    }
    found = Redactor().document(document)
    assert found["environment"]["OLLAMA_KEEP_ALIVE"] == "x1y"
    del found["environment"]["OLLAMA_KEEP_ALIVE"]
    assert "x1" not in json.dumps(found)
    assert found["command"] == ["serve", "--api-key", REDACTED, "--port", "x2"]
    assert found["secrets"] == document["secrets"]


def test_yaml_stays_yaml_and_byte_for_byte_where_nothing_is_secret() -> None:
    text = (
        'services:\n  a:   # note\n    environment:\n      API_KEY: hunter2\n      PORT: "80"\n      DEBUG: null\n'
        "      CERT_KEY: |\n        line one\n        line two\n    command:\n      - --token\n      - hunter2\n"
        "      - http://u:hunter2@h\n  b:\n    image: c:1\n"
    )  # fmt: skip
    found = redact_yaml(text, Redactor())
    read = yaml.safe_load(found)
    assert "hunter2" not in found
    assert "line one" not in found
    assert read["services"]["a"]["environment"] == {
        "API_KEY": REDACTED,
        "PORT": "80",
        "DEBUG": None,
        "CERT_KEY": REDACTED,
    }
    assert read["services"]["a"]["command"] == ["--token", REDACTED, f"http://{REDACTED}@h"]
    assert read["services"]["b"] == {"image": "c:1"}
    assert "  a:   # note\n" in found
    assert redact_yaml("a: *x\n&", Redactor()) == "a: *x\n&"


def test_a_plain_word_is_not_looked_for_elsewhere() -> None:
    """`postgres` is a password, and the name of the service."""
    redactor = Redactor()
    redactor.hide_named([("POSTGRES_PASSWORD", "postgres"), ("API_TOKEN", "t0k3n-of-x"), ("DB", "pg://u:c4n4ry-x@h")])
    assert redactor.text("postgres t0k3n-of-x c4n4ry-x") == f"postgres {REDACTED} {REDACTED}"


def test_names() -> None:
    for name in ("API_KEY", "apiKey", "X-API-Key", "PGPASS", "DB_PWD", "--api-key", "basicauth.users", "Set-Cookie"):
        assert is_secret_name(name), name
    for name in ("PWD", "KEEP_ALIVE", "SSH_AUTH_SOCK", "MAX_TOKENS", "MONKEY", "TOKEN_TTL", "BYPASS"):
        assert not is_secret_name(name), name

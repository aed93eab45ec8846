"""Which files Compose reads besides those that it is given."""

from __future__ import annotations

import pytest

from stackctl.project.further import env_files


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("services: {a: {image: x}}", []),
        ("# include: it\nservices: {a: {image: x, env_file: .env}}", None),
        ("services: {a: {env_file: .env}}", [".env"]),
        ("services: {a: {env_file: [one.env, {path: two.env, required: false}]}}", ["one.env", "two.env"]),
        ('{"services": {"a": {"env_file": ["one.env"]}}}', ["one.env"]),
        ("x-base: &base {env_file: base.env}\nservices: {a: {<<: *base}}", ["base.env"]),
        ("services: {a: {env_file: !override [one.env], ports: !reset null}}", ["one.env"]),
        ("services: {a: {env_file: $NAME.env}}", None),
        ("services: {a: {env_file: '${NAME}'}}", None),
        ("include: [other.yaml]", None),
        ("services: {a: {extends: {service: b}}}", None),
        ('services: {a: {"extends" : {service: b}}}', None),
        ("services: {a: {label_file: x.labels}}", None),
        ("services: {a: {labels: {not-extends: yes}}}", []),
        ("services: {a: {env_file: [}}", None),
        ("services: [env_file: x]", []),
        ("env_file: x", []),
    ],
)  # fmt: skip
def test_env_files(text: str, found: list[str] | None) -> None:
    assert env_files(text) == found

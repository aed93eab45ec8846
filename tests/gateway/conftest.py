"""Configurations that the tests of the gateway share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.gateway.haproxy import Rendered, render
from stackctl.gateway.upstream import Group, group

PEM = "-----BEGIN CERTIFICATE-----\nZm9y IHRlc3Rz\n-----END CERTIFICATE-----\n"

INSTANCES: dict[str, Any] = {
    "gpu-box": {
        "url": "http://cuda.local:11434",
        "address": "192.168.1.100",
        "priority": 1,
        "timeout": "90s",
        "auth": {"bearer": "${GPU_BOX_TOKEN}"},
        "headers": {"X-Client-ID": "renfield"},
    },
    "behind-proxy": {
        "url": "https://ollama.example.com/team/llm",
        "priority": 2,
        "auth": {"basic": {"user": "al%ice", "password": "${file:/run/keys/ollama}"}},
        "headers": {"X-Api-Key": "id-${API_KEY}", "X-Cost": "100%$$"},
        "tls": {"ca_file": "certs/ca.pem", "server_name": "llm.example.com"},
        "endpoints": {"chat": "/api/v1/chat", "list_models": "/api/v1/models", "health": "/api/v1/health"},
    },
    "old-box": {"url": "https://10.0.0.9:8443", "priority": 3, "tls": {"verify": False}},
    "sixth": {"url": "http://[fd00::6]:11434", "priority": 4},
    "this-host": {"url": "http://localhost:11434", "priority": 5},
}
PROFILES: dict[str, Any] = {
    "all": {"use": list(INSTANCES), "fallback": "local"},
    "spread": {"use": ["gpu-box", "this-host"], "policy": "least_conn"},
    "spread-or-local": {"use": ["gpu-box", "this-host"], "policy": "least_conn", "fallback": "local"},
    "mixed": {"use": ["local", "gpu-box"]},
}


@pytest.fixture
def config() -> StackConfig:
    return StackConfig.model_validate({"version": 1, "gateway": True, "instances": INSTANCES, "profiles": PROFILES})


@pytest.fixture
def group_of(config: StackConfig) -> Callable[[str], Group]:
    return lambda name: group(config, resolve(config, name), ca={"behind-proxy": PEM})


@pytest.fixture
def rendered(group_of: Callable[[str], Group]) -> Callable[[str], Rendered]:
    return lambda name: render(group_of(name))

"""A value that ends in a path is a fault only where the client puts its own path behind it."""

from __future__ import annotations

import pytest

from stackctl.diagnose.judgement import judge_scene
from tests.diagnose.small_scenes import healthy


def severities(variable: str, value: str, log: str = "", server_log: str = "") -> list[tuple[str, str, bool]]:
    scene = healthy(log, variable=variable, value=value)
    scene.logs["shop-ollama-1"] = server_log  # type: ignore[index]  # a dict, made for this test
    return [(f.cause, f.severity, f.remedy.automatic) for f in judge_scene(scene, {}).findings]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OLLAMA_API_BASE_URL", "http://ollama:11434/api"),
        ("OLLAMA_GENERATE_URL", "http://ollama:11434/api/generate"),
        ("OLLAMA_ENDPOINT", "http://ollama:11434/v1/chat/completions"),
        ("EMBEDDINGS_URL", "http://ollama:11434/api/embeddings"),
        ("OLLAMA_API_URL", "http://ollama:11434/api"),
    ],
)
def test_a_variable_that_is_named_for_its_path_is_right(variable: str, value: str) -> None:
    assert severities(variable, value) == []


@pytest.mark.parametrize(
    ("variable", "value", "cause"),
    [
        ("OLLAMA_URL", "http://ollama:11434/api/generate", "full-endpoint-as-base"),
        ("OLLAMA_URL", "http://ollama:11434/v1", "v1-suffix-on-native-client"),
        ("OLLAMA_BASE_URL", "http://ollama:11434/api", "v1-suffix-on-native-client"),
    ],
)
def test_where_one_cannot_know_it_is_a_hint_without_a_repair(variable: str, value: str, cause: str) -> None:
    assert severities(variable, value) == [(cause, "info", False)]


@pytest.mark.parametrize(
    ("variable", "value", "cause"),
    [
        ("OLLAMA_BASE_URL", "http://ollama:11434/api/chat", "full-endpoint-as-base"),
        ("OLLAMA_BASE_URL", "http://ollama:11434/v1", "v1-suffix-on-native-client"),
    ],
)
def test_a_base_with_a_path_is_an_error(variable: str, value: str, cause: str) -> None:
    assert severities(variable, value) == [(cause, "error", True)]


def test_a_log_that_shows_both_paths_is_proof() -> None:
    log = "httpx.HTTPStatusError: Client error '404' for url 'http://ollama:11434/api/generate/api/tags'"
    wanted = [("full-endpoint-as-base", "error", True)]
    assert severities("OLLAMA_GENERATE_URL", "http://ollama:11434/api/generate", log) == wanted


def test_a_request_of_somebody_else_is_none() -> None:
    server = '[GIN] 2026/01/01 - 10:00:00 | 404 | 1ms | 10.9.9.9 | GET "/api/generate/api/tags"'
    assert severities("OLLAMA_GENERATE_URL", "http://ollama:11434/api/generate", server_log=server) == []

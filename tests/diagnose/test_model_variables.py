"""A model is asked of the server that its variable goes with, and of no other."""

from __future__ import annotations

import pytest

from stackctl.diagnose.model_variables import models_of

TWO = {
    "OLLAMA_URL": "http://chat:11434",
    "LLM_MODEL": "tiny-chat",
    "EMBED_URL": "http://embed:11434",
    "EMBED_MODEL": "tiny-embed",
}


def models(environment: dict[str, str | None], variable: str, *, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    addresses = [name for name in environment if name.endswith(("URL", "HOST"))]
    return models_of(variable, addresses, {}, environment, wanted)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (TWO, {"OLLAMA_URL": ("tiny-chat",), "EMBED_URL": ("tiny-embed",)}),
        (
            {
                "LLM_BASE_URL": "http://a",
                "EMBEDDING_BASE_URL": "http://b",
                "EMBEDDING_MODEL": "e",
                "OLLAMA_MODEL": "m",
            },
            {"LLM_BASE_URL": ("m",), "EMBEDDING_BASE_URL": ("e",)},
        ),
        (
            {"OLLAMA_URL": "http://a", "TITLE_URL": "http://b", "TITLE_MODEL": "t:1b", "OLLAMA_MODEL": "m"},
            {"OLLAMA_URL": ("m",), "TITLE_URL": ("t:1b",)},
        ),
        ({"OLLAMA_HOST": "a", "OLLAMA_EMBED_MODEL": "e", "OLLAMA_MODEL": "m"}, {"OLLAMA_HOST": ("e", "m")}),
        ({"BACKEND_URL": "http://a", "LLM_MODEL": "m"}, {"BACKEND_URL": ("m",)}),
        ({"EMBED_URL": "http://b", "LLM_MODEL": "gpt"}, {"EMBED_URL": ()}),
    ],
)
def test_a_model_goes_with_its_stem(environment: dict[str, str | None], told: dict[str, tuple[str, ...]]) -> None:
    assert {variable: models(environment, variable) for variable in told} == told


def test_the_models_of_the_project_are_of_the_main_server() -> None:
    assert models(TWO, "OLLAMA_URL", wanted=("qwen3:8b",)) == ("tiny-chat", "qwen3:8b")
    assert models(TWO, "EMBED_URL", wanted=("qwen3:8b",)) == ("tiny-embed",)

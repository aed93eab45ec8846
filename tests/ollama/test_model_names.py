"""Model names: what is one, what two mean the same, what was probably meant."""

from __future__ import annotations

import pytest

from stackctl.ollama import model_names
from stackctl.ollama.listing import missing_models


@pytest.mark.parametrize(
    ("text", "short", "full"),
    [
        ("qwen3", "qwen3:latest", "registry.ollama.ai/library/qwen3:latest"),
        ("qwen3:8b", "qwen3:8b", "registry.ollama.ai/library/qwen3:8b"),
        ("me/qwen3:8b", "me/qwen3:8b", "registry.ollama.ai/me/qwen3:8b"),
        ("library/qwen3", "qwen3:latest", "registry.ollama.ai/library/qwen3:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("127.0.0.1:5000/library/m:1", "127.0.0.1:5000/library/m:1", "127.0.0.1:5000/library/m:1"),
        ("https://registry.ollama.ai/library/a:b", "a:b", "registry.ollama.ai/library/a:b"),
        ("_m.o-d:t.a-g", "_m.o-d:t.a-g", "registry.ollama.ai/library/_m.o-d:t.a-g"),
    ],
)
def test_forms(text: str, short: str, full: str) -> None:
    name = model_names.ModelName.parse(text)
    assert (name.short, name.full) == (short, full)


@pytest.mark.parametrize(
    "text",
    ["", "m:", "/x", "x/", "a/b/c/d", "n@sha256:00", "-m", "m:-t", "my.ns/m", "m m", "m\x1b[31m", "x" * 81, "a//b"],
)
def test_no_names(text: str) -> None:
    assert not model_names.is_valid(text)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("qwen3", "qwen3:latest", True),
        ("QWEN3:8B", "qwen3:8b", True),
        ("library/qwen3", "registry.ollama.ai/library/qwen3:latest", True),
        ("qwen3:8b", "qwen3:4b", False),
        ("me/qwen3", "qwen3", False),
        ("qwen3:local", "qwen3", True),
        ("qwen3:cloud", "qwen3", False),
    ],
)
def test_same(first: str, second: str, same: bool) -> None:
    assert model_names.same(first, second) is same


def test_missing_models_keep_order_and_count_once() -> None:
    assert missing_models(["b:1", "a", "B:1", "c"], ["a:latest"]) == ["b:1", "c"]


def test_nearest_puts_other_tags_first() -> None:
    known = ["qwen3:4b", "qwen2.5:7b", "llama3.2:1b", "nomic-embed-text:latest"]
    assert model_names.nearest("qwen3:8b", known)[0] == "qwen3:4b"
    assert model_names.nearest("lama3.2:1b", known)[0] == "llama3.2:1b"
    assert model_names.nearest("nomic-embed-txt", known) == ["nomic-embed-text:latest"]
    assert model_names.nearest("zzzz", known) == []
    assert len(model_names.nearest("tinychat", ["tiny-chat", "tiny-chat:latest"])) == 1

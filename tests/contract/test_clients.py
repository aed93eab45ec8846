"""The clients that applications use: the official `ollama` package and httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import ollama
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.servers import Pool, Server

pytestmark = pytest.mark.double_only


@pytest.fixture
def client(server: Server) -> Iterator[ollama.Client]:
    made = ollama.Client(host=server.url)
    yield made
    made._client.close()


def test_chat(client: ollama.Client, server: Server) -> None:
    messages = [{"role": "user", "content": "hi"}]
    whole = client.chat(model="tiny-chat", messages=messages)
    parts = list(client.chat(model="tiny-chat", messages=messages, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert "contract-double" in (whole.message.content or "")
    assert parts[-1].done
    assert server.double is not None


def test_tools_and_thinking(client: ollama.Client) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    answer = client.chat(model="tiny-tools", messages=[{"role": "user", "content": "use add on 1 and 2"}], tools=[add])
    assert answer.message.tool_calls
    call = answer.message.tool_calls[0].function
    assert (call.name, set(call.arguments)) == ("add", {"a", "b"})
    messages = [
        {"role": "user", "content": "use add on 1 and 2"},
        answer.message,
        {"role": "tool", "content": "3", "tool_name": "add"},
    ]
    assert client.chat(model="tiny-tools", messages=messages, tools=[add]).message.content
    assert client.chat(model="tiny-think", messages=messages[:1], think=True).message.thinking


def test_structured_answers(client: ollama.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name"],
    }
    answer = client.chat(model="tiny-chat", messages=[{"role": "user", "content": "who?"}], format=schema)
    assert httpx.Response(200, text=answer.message.content or "").json()["age"] == 1


def test_models(client: ollama.Client) -> None:
    progress = list(client.pull("qwen3:0.6b", stream=True))
    assert progress[-1].status == "success"
    assert "qwen3:0.6b" in {model.model for model in client.list().models}
    assert client.show("qwen3:0.6b").capabilities == ["completion", "tools", "thinking"]
    client.copy("qwen3:0.6b", "ct-mine")
    assert client.delete("ct-mine").status == "success"
    client.generate("qwen3:0.6b", "hi")
    assert "qwen3:0.6b" in {model.model for model in client.ps().models}


def test_embeddings(client: ollama.Client) -> None:
    assert len(client.embed("tiny-embed", ["a", "b"]).embeddings) == 2
    assert client.embeddings("tiny-embed", "a").embedding


def test_errors(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'no-such' not found") as caught:
        client.chat(model="no-such", messages=[])
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        list(client.pull("no-such", stream=True))


def test_many_calls_over_one_httpx_client(pool: Pool) -> None:
    server = pool.get(())
    with httpx.Client(base_url=server.url) as client:
        for _ in range(20):
            assert client.get("/api/tags").status_code == 200
            with client.stream("POST", "/api/generate", json={"model": "tiny-chat", "prompt": "hi"}) as answer:
                assert list(answer.iter_lines())

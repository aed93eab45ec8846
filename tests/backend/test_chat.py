"""One turn through ``POST /chat``: the lines of an answer, and the statuses of a failure."""

import json
import threading

import httpx
import pytest


def lines(answer: httpx.Response) -> list[dict]:
    return [json.loads(line) for line in answer.text.splitlines()]


def ndjson(ask, *values) -> None:
    ask.begin_stream()
    for value in values:
        ask.line(value)
    ask.end_stream()


def part(text: str, **more) -> dict:
    return {"model": "tiny:1b", "message": {"role": "assistant", "content": text}, "done": False} | more


def test_an_answer_is_streamed_line_by_line(start, upstream):
    client = start(OLLAMA_URL=upstream.url)
    answer = client.post("/chat", json={"messages": [{"role": "user", "content": "hi"}]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    first, *tokens, end = lines(answer)
    assert first == {"type": "start", "model": "tiny:1b", "ollama": upstream.url}
    assert tokens == [{"type": "token", "text": "Hello "}, {"type": "token", "text": "from upstream."}]
    assert (end["type"], end["reason"], end["tokens"]) == ("end", "stop", 2)
    assert end["seconds"] >= 0


def test_the_first_word_arrives_before_the_last_is_made(start, upstream):
    seen = threading.Event()

    def slowly(ask):
        ask.begin_stream()
        ask.line(part("one "))
        assert seen.wait(10), "the first word was held back"
        ask.line(part("two", done=True, done_reason="stop"))
        ask.end_stream()

    upstream.answers("/api/chat", slowly)
    client = start(OLLAMA_URL=upstream.url)
    with client.stream("POST", "/chat", json={"prompt": "hi"}) as answer:
        for line in answer.iter_lines():
            if json.loads(line).get("text") == "one ":
                seen.set()
    assert seen.is_set()


def test_what_is_sent_to_ollama(start, upstream):
    client = start(OLLAMA_URL=upstream.url, OLLAMA_TOKEN="canary-token")
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi", "id": 7}]
    client.post("/chat", json={"messages": messages, "model": "other:7b"})
    sent = upstream.asked[-1]
    body = json.loads(sent.body)
    assert sent.path == "/api/chat"
    assert sent.headers["authorization"] == "Bearer canary-token"
    assert body["model"] == "other:7b"
    assert body["stream"] is True
    assert [(m["role"], m["content"]) for m in body["messages"]] == [("system", "be brief"), ("user", "hi")]


def test_thinking_is_told_apart(start, upstream):
    thought = {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False}
    upstream.answers("/api/chat", lambda ask: ndjson(ask, thought, part("yes", done=True)))
    told = lines(start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"}))
    assert [line["type"] for line in told] == ["start", "thinking", "token", "end"]
    assert told[1]["text"] == "hm"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"{}", "expected messages, a list, or prompt, a text"),
        (b'{"prompt": "  "}', "expected messages, a list, or prompt, a text"),
        (b'{"messages": []}', "messages: expected a list with at least one message"),
        (b'{"messages": ["hi"]}', "messages[0]: expected a role, one of system, user, assistant"),
        (b'{"messages": [{"role": "user", "content": 1}]}', "messages[0]: expected content, a text"),
        (b'{"prompt": "hi", "model": 3}', "model: expected the name of a model"),
        (b'{"prompt": "' + b"x" * (1 << 20) + b'"}', "the body is longer than 1048576 bytes"),
    ],
)
def test_a_request_that_says_nothing_is_refused(start, upstream, body, message):
    answer = start(OLLAMA_URL=upstream.url).post("/chat", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == message
    assert upstream.asked == []


def test_a_missing_model_is_404_with_the_command_that_mends_it(start, upstream):
    upstream.answers("/api/chat", lambda ask: ask.json(404, {"error": "model 'tiny:1b' not found"}))
    answer = start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"})
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "model 'tiny:1b' not found",
        "hint": f"ollama pull tiny:1b, on the server that answers at {upstream.url}",
    }


def test_an_empty_refusal_still_says_its_status(start, upstream):
    upstream.answers("/api/chat", lambda ask: ask.raw(403, "text/plain", b""))
    answer = start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"})
    assert answer.status_code == 403
    assert answer.json()["error"] == "HTTP 403"


def test_no_server_is_502(start):
    answer = start(OLLAMA_URL="http://127.0.0.1:9").post("/chat", json={"prompt": "hi"})
    assert answer.status_code == 502
    assert answer.json()["error"].startswith("http://127.0.0.1:9: ")
    assert answer.json()["hint"] == "stackctl diagnose backend"


def test_a_silent_server_is_504(start, upstream):
    hold = threading.Event()
    upstream.answers("/api/chat", lambda _ask: hold.wait(10))
    answer = start(OLLAMA_URL=upstream.url, OLLAMA_TIMEOUT="0.3").post("/chat", json={"prompt": "hi"})
    hold.set()
    assert answer.status_code == 504


def test_an_error_in_mid_stream_ends_the_answer_with_it(start, upstream):
    upstream.answers("/api/chat", lambda ask: ndjson(ask, part("half"), {"error": "runner died"}))
    told = lines(start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"}))
    assert [line["type"] for line in told] == ["start", "token", "error"]
    assert told[-1]["message"] == "runner died"


def test_a_stream_that_only_stops_is_no_success(start, upstream):
    upstream.answers("/api/chat", lambda ask: ndjson(ask, part("half")))
    told = lines(start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"}))
    assert told[-1]["type"] == "error"
    assert told[-1]["message"] == "the answer ended before it was complete"


def test_a_stream_with_nothing_in_it_is_502(start, upstream):
    upstream.answers("/api/chat", ndjson)
    answer = start(OLLAMA_URL=upstream.url).post("/chat", json={"prompt": "hi"})
    assert answer.status_code == 502


def test_a_reader_who_leaves_ends_the_work_of_the_server(start, upstream):
    def endless(ask):
        ask.begin_stream()
        while True:
            ask.line(part("more " * 200))

    upstream.answers("/api/chat", endless)
    with start(OLLAMA_URL=upstream.url).stream("POST", "/chat", json={"prompt": "hi"}) as answer:
        next(answer.iter_lines())
    assert upstream.left.wait(10), "the upstream request was left running"

"""The client against a real server process: what works, and what each failure is called."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stackctl.config.url import OllamaUrl
from stackctl.errors import WrongInput
from stackctl.ollama.client import OllamaClient
from stackctl.ollama.errors import Kind, OllamaError, State
from stackctl.ollama.server import Server
from tests.ollama.ways import TOKEN, authority
from tests.support.double import Double
from tests.support.double import double as started


def server(double: Double, **changes: Any) -> Server:
    given: dict[str, Any] = {"name": "it", "url": OllamaUrl.parse(double.url), "timeout": 5.0}
    return Server(**given | changes)


def failing(target: Server) -> OllamaError:
    with OllamaClient(target) as client, pytest.raises(OllamaError) as caught:
        client.tags()
    return caught.value


def test_reads(double: Double) -> None:
    with OllamaClient(server(double)) as client:
        assert client.version() == "0.33.0-double"
        chat = {model.name: model for model in client.tags()}["tiny-chat:latest"]
        assert chat.capabilities == ("completion",)
        assert len(chat.digest) == 64
        assert client.detailed(chat).context_length == 4096
        list(client.chat("tiny-chat", [{"role": "user", "content": "hi"}]))
        assert [item.name for item in client.ps()] == ["tiny-chat:latest"]


def test_older_servers_tell_capabilities_by_show(double: Double) -> None:
    listed = [{"name": "tiny-chat:latest", "model": "tiny-chat:latest", "size": 1, "digest": "0" * 64, "details": {}}]
    double.faults(routes=[{"match": "GET /api/tags", "status": 200, "body": {"models": listed}}])
    with OllamaClient(server(double)) as client:
        model = client.tags()[0]
        assert model.capabilities == ()
        assert client.detailed(model).capabilities == ("completion",)


def test_writes(double: Double) -> None:
    with OllamaClient(server(double)) as client:
        assert list(client.pull("smollm2:135m"))[-1].stage == "done"
        client.unload("smollm2:135m")
        client.delete("smollm2:135m")
        assert "smollm2:135m" not in {model.name for model in client.tags()}


def test_the_key_of_the_environment_goes_nowhere(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", TOKEN)
    with OllamaClient(server(double)) as client:
        list(client.chat("tiny-chat", [{"role": "user", "content": "hi"}]))
    assert TOKEN not in str(double.requests())


def test_secrets_are_read_at_the_first_call_and_shown_nowhere(double: Double) -> None:
    asked = []

    def headers() -> dict[str, str]:
        asked.append(1)
        return {"Authorization": f"Bearer {TOKEN}"}

    target = server(double, headers=headers)
    with OllamaClient(target) as client:
        assert not asked
        client.tags()
        client.tags()
        assert len(asked) == 1
        assert TOKEN not in repr(client.__dict__) + repr(target)


@pytest.mark.parametrize(
    ("fault", "kind", "state"),
    [
        ({"status": 401, "body": {"error": "no"}}, Kind.UNAUTHORISED, State.UNAUTHORISED),
        ({"status": 403, "body": "Forbidden"}, Kind.UNAUTHORISED, State.UNAUTHORISED),
        ({"status": 403, "body": ""}, Kind.HOST_REFUSED, State.MISCONFIGURED),
        ({"status": 404, "body": "404 page not found"}, Kind.NOT_OLLAMA, State.MISCONFIGURED),
        ({"status": 301, "headers": {"Location": "https://elsewhere/"}}, Kind.REDIRECT, State.MISCONFIGURED),
        ({"status": 429, "body": "slow down"}, Kind.OVERLOADED, State.OVERLOADED),
        (
            {"status": 503, "body": {"error": "server busy, please try again.  maximum pending requests exceeded"}},
            Kind.OVERLOADED, State.OVERLOADED,
        ),
        ({"status": 502, "body": "<html>Bad Gateway"}, Kind.UPSTREAM, State.UNREACHABLE),
        ({"status": 500, "body": {"error": "boom"}}, Kind.OTHER, State.MISCONFIGURED),
        ({"hostile": "html"}, Kind.NOT_OLLAMA, State.MISCONFIGURED),
        ({"status": 200, "body": {"hello": 1}}, Kind.NOT_OLLAMA, State.MISCONFIGURED),
        ({"hostile": "reset"}, Kind.CUT, State.UNREACHABLE),
        ({"hostile": "empty"}, Kind.CUT, State.UNREACHABLE),
    ],
)  # fmt: skip
def test_states(double: Double, fault: dict[str, Any], kind: Kind, state: State) -> None:
    double.faults(routes=[{"match": "GET /api/tags", **fault}])
    error = failing(server(double))
    assert (error.kind, error.state) == (kind, state)
    assert error.message
    assert error.hint or kind is Kind.OTHER


@pytest.mark.parametrize(
    ("location", "told", "hint"),
    [
        ("https://127.0.0.1/", "redirects to https://127.0.0.1/", "write the address that it redirects to"),
        ("https://id.example.com/auth?token=canary", "redirects to https://id.example.com/auth", "`auth`"),
        ("/login?next=%2Fapi", "redirects to /login", "`auth`"),
        ("", "redirects to somewhere else", "write the address"),
        ("http://[bad", "redirects to http://[bad", "`auth`"),
    ],
)
def test_a_redirect_says_where_and_no_more(double: Double, location: str, told: str, hint: str) -> None:
    double.faults(routes=[{"match": "GET /api/tags", "status": 302, "headers": {"Location": location}}])
    error = failing(server(double))
    assert error.message.endswith(told)
    assert hint in str(error.hint)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert failing(Server("it", OllamaUrl("http", "127.0.0.1", port))).kind is Kind.REFUSED
    assert failing(Server("it", OllamaUrl("http", "no-such-name.invalid", port))).kind is Kind.NAME


def _last_tags(double: Double) -> dict[str, Any]:
    return next(asked for asked in reversed(double.requests()) if asked["target"] == "/api/tags")


def test_a_pinned_address_keeps_the_name(double: Double) -> None:
    target = server(double, url=OllamaUrl("http", "cuda.local", double.port), address="127.0.0.1")
    with OllamaClient(target) as client:
        client.tags()
    asked = {name.lower(): value for name, value in _last_tags(double)["headers"]}
    assert asked["host"] == f"cuda.local:{double.port}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Double, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    made = authority(folder / "ca", "ollama.example.com", "box.local")
    with started(folder / "home", tls=(made.certificate, made.key), models=["tiny-chat"]) as server_:
        yield server_, made.ca


class TestTls:
    def test_private_ca_and_name(self, secured: tuple[Double, Path]) -> None:
        double, ca = secured
        with OllamaClient(server(double, ca_file=ca, server_name="ollama.example.com")) as client:
            assert client.version()
        pinned = OllamaUrl("https", "box.local", double.port)
        with OllamaClient(server(double, url=pinned, address="127.0.0.1", ca_file=ca)) as client:
            assert client.version()

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"server_name": "ollama.example.com"}, "nobody we trust"),
            ({"ca_file": True}, "another name"),
            ({"ca_file": True, "server_name": "other.example.com"}, "another name"),
        ],
    )
    def test_refusals_say_what_is_wrong(
        self, secured: tuple[Double, Path], changes: dict[str, Any], words: str
    ) -> None:
        double, ca = secured
        error = failing(server(double, **{k: ca if v is True else v for k, v in changes.items()}))
        assert error.kind is Kind.TLS
        assert words in error.message

    def test_unverified_when_told_so(self, secured: tuple[Double, Path]) -> None:
        with OllamaClient(server(secured[0], verify=False)) as client:
            assert client.version()

    def test_a_wrong_scheme_either_way(self, secured: tuple[Double, Path], double: Double) -> None:
        plain = failing(server(secured[0], url=OllamaUrl("http", "127.0.0.1", secured[0].port)))
        assert plain.kind in (Kind.CUT, Kind.NOT_OLLAMA, Kind.OTHER)
        wrapped = failing(server(double, url=OllamaUrl("https", "127.0.0.1", double.port)))
        assert wrapped.kind is Kind.TLS
        assert "does not speak TLS" in wrapped.message

    def test_a_ca_file_that_is_none(self, secured: tuple[Double, Path], tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nonsense")
        for name in ("ca.pem", "absent.pem"):
            with OllamaClient(server(secured[0], ca_file=tmp_path / name)) as client, pytest.raises(WrongInput):
                client.tags()


HOSTILE = ("endless-headers", "slow-loris", "slow-body", "huge-body", "gzip-bomb", "invalid-utf8", "deep-json",
           "garbage", "wrong-length", "silent", "ansi")  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("call", ["tags", "pull", "chat", "show"])
def test_hostile_servers_cost_little_and_print_nothing(double: Double, hostile: str, call: str) -> None:
    paths = {"tags": "/api/tags", "pull": "/api/pull", "chat": "/api/chat", "show": "/api/show"}
    double.faults(routes=[{"match": f"* {paths[call]}", "hostile": hostile}])
    seen: list[Any] = []
    before = _peak_memory()
    begun = time.monotonic()
    with OllamaClient(server(double, timeout=1.0)) as client:
        client.transport.deadline = time.monotonic() + 2.0
        try:
            if call == "tags":
                seen += client.tags()
            elif call == "show":
                seen.append(client.show("tiny-chat"))
            elif call == "pull":
                seen += client.pull("tiny-chat")
            else:
                seen += client.chat("tiny-chat", [{"role": "user", "content": "hi"}])
        except OllamaError as error:
            seen += [error.message, error.hint]
    assert time.monotonic() - begun < 4.0
    assert _peak_memory() - before < 120 << 20
    if call in ("tags", "pull"):
        assert "\x1b" not in "".join(str(item) for item in seen)


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@contextmanager
def scripted(answer: bytes, *, hang: bool = False) -> Iterator[int]:
    """A listener that sends ``answer`` to every caller whatever it asks; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.settimeout(5)
                    try:
                        caller.recv(65536)
                        caller.sendall(answer)
                        if hang:
                            done.wait(10)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50000,
        b"HTTP/1.1 200 OK\r\n\x1b[31mX: y\r\n\r\n",
        b"\x00" * 4096,
        b"",
    ],
)
def test_what_is_no_http_is_an_error_of_ours(answer: bytes) -> None:
    with scripted(answer) as port:
        error = failing(Server("it", OllamaUrl("http", "127.0.0.1", port), timeout=2.0))
    assert "\x1b" not in error.message + error.hint


@pytest.mark.parametrize("depth", [10, 100, 500, 900, 20000])
def test_what_show_sends_can_always_be_written(depth: int) -> None:
    body = b'{"model_info": {"x": ' + b"[" * depth + b"1" + b"]" * depth + b"}}"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with scripted(head + body) as port, OllamaClient(Server("it", OllamaUrl("http", "127.0.0.1", port))) as client:
        try:
            document = client.show("m")
        except OllamaError:
            document = {"refused": depth > 500}
        assert json.dumps(document, indent=2) != json.dumps({"refused": False}, indent=2)


def test_a_chat_that_ends_without_done_is_a_failure(double: Double) -> None:
    with OllamaClient(server(double)) as client:
        for knob in ("cut", "stop", "error"):
            with pytest.raises(OllamaError) as caught:
                list(client.chat("tiny-chat", [{"role": "user", "content": f"[double tokens=9 {knob}=3] hi"}]))
            assert caught.value.kind in (Kind.CUT, Kind.RUNNER)


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [
        ({"registry": "dns"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "refused"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "timeout"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "tls"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "proxy"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "html"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "500"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "429"}, Kind.REGISTRY_UNREACHABLE),
        ({"registry": "412"}, Kind.TOO_OLD),
        ({"registry": "401"}, Kind.REGISTRY_REFUSED),
        ({"pull_disk_full_after": 1000}, Kind.DISK_FULL),
        ({"pull_corrupt": True}, Kind.CORRUPT),
        ({"pull_cut_after": 1000}, Kind.REGISTRY_UNREACHABLE),
    ],
)
def test_pulls_that_fail_are_told_apart(double: Double, knobs: dict[str, Any], kind: Kind) -> None:
    double.faults(**knobs)
    with OllamaClient(server(double)) as client, pytest.raises(OllamaError) as caught:
        list(client.pull("qwen2.5:0.5b"))
    assert caught.value.kind is kind
    assert caught.value.hint


def test_a_model_that_nobody_has(double: Double) -> None:
    with OllamaClient(server(double)) as client, pytest.raises(OllamaError) as caught:
        list(client.pull("no-such-model"))
    assert caught.value.kind is Kind.NO_MODEL


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("oom", Kind.MEMORY), ("memory", Kind.MEMORY), ("old-oom", Kind.MEMORY), ("timeout", Kind.LOAD),
        ("binary", Kind.LOAD), ("incompatible", Kind.TOO_OLD), ("killed", Kind.RUNNER),
    ],
)  # fmt: skip
def test_loads_that_fail_are_told_apart(double: Double, error: str, kind: Kind) -> None:
    double.admin("POST", "unload")
    double.faults(load_error=error)
    with OllamaClient(server(double)) as client, pytest.raises(OllamaError) as caught:
        list(client.chat("tiny-chat", [{"role": "user", "content": "hi"}]))
    assert caught.value.kind is kind

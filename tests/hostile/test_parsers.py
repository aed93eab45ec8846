"""Whatever is read from outside, a parser gives a value or the error that it promises; never another one.

A bounded number of examples, the same in each run. ``make fuzz`` (``FUZZ=N`` examples each) looks further.
"""

from __future__ import annotations

import json
import os
import string
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stackctl.config import loading
from stackctl.config.edit import add_instance
from stackctl.config.interpolate import names_in
from stackctl.config.models import Instance
from stackctl.config.secrets import SecretRef
from stackctl.config.url import OllamaUrl, UrlError, without_credentials
from stackctl.diagnose import http_reply, x509
from stackctl.errors import ConfigError, ExpectedFailure, WrongInput
from stackctl.gateway import state as gateway_state
from stackctl.ollama import listing
from stackctl.ollama.backup import frames, tarstream
from stackctl.ollama.errors import OllamaError
from stackctl.ollama.text import plain, printable
from stackctl.project.compose import ComposeProject
from stackctl.project.discovery.envfile import parse_env
from stackctl.project.location import name_from, name_written
from stackctl.sockets import parse_proc_net_tcp
from stackctl.transaction import journal, state

FUZZ = int(os.environ.get("FUZZ", "0"))
bounded = settings(
    max_examples=FUZZ or 60,
    derandomize=not FUZZ,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
TEXT = st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def keyed(*names: str) -> st.SearchStrategy[Any]:
    """JSON in which the names that a parser knows are likely, with values of any kind."""
    key = st.sampled_from(names) | TEXT
    return st.recursive(
        JSON, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=5), max_leaves=20
    )


def near(*words: str) -> st.SearchStrategy[str]:
    """Text made of what a parser looks for, and of anything."""
    return st.lists(st.sampled_from(words) | st.text(max_size=6), max_size=16).map("".join)


@bounded
@given(
    near(
        "http",
        "https",
        "://",
        ":",
        "@",
        "/",
        "?",
        "#",
        "[",
        "]",
        "::1",
        "11434",
        "99999",
        "user",
        "%41",
        "..",
        " ",
        "\\",
    )
)
def test_url(text: str) -> None:
    with suppress(UrlError):
        url = OllamaUrl.parse(text)
        assert OllamaUrl.parse(str(url)) == url
    without_credentials(text)


@bounded
@given(near("s", "m", "h", "ms", "1", "60", ".", "-", "e9", "inf", "nan", " ") | JSON)
def test_duration(value: Any) -> None:
    with suppress(ValueError):  # pydantic's own is one
        assert 0 < Instance.model_validate({"url": "http://h:1", "timeout": value}).timeout < float("inf")


CONFIG = near(
    "version: 1\n", "instances:\n", "  a:\n", "    url: ", "http://h:1\n", "consumers: ", "{b: ", "{env: ", "{U: ",
    '"{url}"', "}", "profiles: ", "use: ", "[", "]", "- ", "&x ", "*x", "!!binary ", "? ", "|\n", "<<: ", "${A}",
    "${A:-", "${file:x}", "${cmd:x}", "$$", "\t", "\n", "  ", "auth: ", "basic: ", "user: ", "\\u0000", "0x", "1e999",
    "null", "~", "'", "%", "---\n",
)  # fmt: skip


@bounded
@given(CONFIG)
def test_stackctl_yaml(text: str) -> None:
    with suppress(ConfigError):
        loading.load(loading.read_tree(text.encode("utf-8", "replace"), "f"), "f", {"A": text[:20]})
    with suppress(ConfigError, WrongInput, ValueError):
        add_instance(text, "new", {"url": "http://h:2"})


@bounded
@given(st.binary(max_size=200))
def test_stackctl_yaml_of_bytes(data: bytes) -> None:
    with suppress(ConfigError):
        loading.read_tree(data, "f")


@bounded
@given(
    st.dictionaries(
        st.sampled_from(["version", "instances", "consumers", "local", "roles", "network"]), keyed("url", "env", "a")
    )
)
def test_stackctl_yaml_of_any_shape(document: dict[str, Any]) -> None:
    text = json.dumps({"version": 1, **document}, default=str)
    with suppress(ConfigError):
        loading.load(loading.read_tree(text.encode("utf-8", "replace"), "f"), "f", {})


@bounded
@given(near("${", "}", "file:", "cmd:", "A", ":-", "?", "$", "$$", "{"))
def test_references(text: str) -> None:
    names_in(text)
    with suppress(ValueError):
        SecretRef.parse(text)


SERVICE = st.fixed_dictionaries(
    {"network_mode": near("service:", "a", "b", "host")},
    optional=dict.fromkeys(("image", "environment", "command", "networks", "depends_on"), JSON),
)


@bounded
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | SERVICE), st.dictionaries(TEXT, st.none()))
def test_compose_json(services: dict[str, Any], networks: dict[str, Any]) -> None:
    """Compose has checked the types; who shares whose network may go round in a circle."""
    document = {"name": "x", "services": services, "networks": networks}
    project = ComposeProject.from_config(document, directory="/x")
    for service in project:
        project.network_owner(service.name)


@bounded
@given(near("A", "=", "'", '"', "#", "export ", "\n", "\r", "$", "{", "}", "\\", " ", "name: ", "COMPOSE_FILE", "\0"))
def test_env_file(text: str) -> None:
    parse_env(text)
    parse_env(text, exact=True)
    name_written(text, {"A": text})
    name_from(text)
    plain(text)
    printable(text)


@bounded
@given(
    keyed("models", "name", "model", "details", "size", "digest", "capabilities", "model_info", "general.architecture")
)
@pytest.mark.parametrize("parser", [listing.tags, listing.loaded, listing.show_details])
def test_answers_of_ollama(parser: Callable[[Any], Any], document: Any) -> None:
    with suppress(OllamaError):
        parser(document)


HEAD = near(
    "HTTP/1.1 ",
    "200",
    " OK",
    "\r\n",
    "Transfer-Encoding: chunked",
    "Content-Type: ",
    "\r\n\r\n",
    "5",
    "\r\nab",
    "ffffffff",
    "-1",
    ";",
)


@bounded
@given(HEAD.map(lambda t: t.encode("latin-1", "replace")) | st.binary(max_size=200))
def test_answers_of_any_server(raw: bytes) -> None:
    reply = http_reply.read(raw)
    http_reply.model_names(reply)
    http_reply.version(reply)
    assert isinstance(reply.error, str)
    x509.read(raw)


def test_an_answer_in_a_million_chunks() -> None:
    body = b"1\r\nx\r\n" * 1_000_000
    assert len(http_reply.read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body).body) == 1_000_000


@bounded
@given(st.binary(max_size=400), st.integers(0, 300))
def test_backup_frames(noise: bytes, at: int) -> None:
    """A file of noise, and a true one with noise somewhere in it."""
    pieces: list[bytes] = []
    writer = frames.FrameWriter(lambda parts: pieces.extend(bytes(p) for p in parts))
    writer.add(b"some text " * 30)
    writer.close()
    true = b"".join(pieces)
    for data in (noise, true[:at] + noise + true[at + len(noise) :], true[:at]):
        with suppress(frames.Damaged, ExpectedFailure):
            for piece in frames.read_frames(partial(_read_at, data), len(data)):
                assert piece is not None


def _read_at(data: bytes, views: list[memoryview], where: int) -> int:
    part = data[where : where + len(views[0])]
    views[0][: len(part)] = part
    return len(part)


@bounded
@given(
    keyed("digest", "members", "fallback", "profile", "policy", "name", "slug"),
    near("# pxname", ",", "svname", "inner.", "\n", '"', "UP", "scur"),
)
def test_what_haproxy_says(head: Any, table: str) -> None:
    with suppress(ValueError):
        gateway_state.parse(json.dumps(head) + "\n" + table)


@bounded
@given(near("  sl  local_address", "\n", " ", "0100007F", ":", "2CAA", "0A", "zz", "-1", *string.hexdigits[:6]))
def test_tables_of_the_kernel(text: str) -> None:
    parse_proc_net_tcp(text)


@bounded
@given(keyed("schema", "stackctl.state/1", "project", "url", "pins", "networks", "profile", "override"))
def test_state_and_journal(document: Any) -> None:
    fields = document if isinstance(document, dict) else {"x": document}
    with suppress(WrongInput):
        state.parse(json.dumps({"schema": "stackctl.state/1", **fields}).encode(), "f")
    for lines in ({"event": "begin", "schema": journal.SCHEMA, **fields}, fields, document):
        with suppress(WrongInput):
            journal.pending(json.dumps(lines) + "\n" + json.dumps({"event": "start"}))


@bounded
@given(st.binary(max_size=1200))
def test_tar(data: bytes) -> None:
    place = [0]

    def read_into(view: memoryview) -> int:
        part = data[place[0] : place[0] + len(view)]
        view[: len(part)] = part
        place[0] += len(part)
        return len(part)

    def take(size: int) -> memoryview:
        view = memoryview(bytearray(size))
        return view[: read_into(view)]

    with suppress(tarstream.TarError):
        for _, payload in tarstream.entries(read_into, take):
            for _ in payload:
                pass

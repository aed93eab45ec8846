"""Lines of the three probes, and lines that are none."""

from __future__ import annotations

import base64
import json

from stackctl.config.url import OllamaUrl
from stackctl.diagnose.answers import parse
from stackctl.diagnose.checks import judge
from stackctl.diagnose.plan import ProbePlan, ladder
from stackctl.diagnose.render import for_python, for_shell

URL = OllamaUrl("http", "ollama", 11434)


def _raw(body: str) -> str:
    return base64.b64encode(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}".encode()).decode()


def test_python_lines() -> None:
    lines = [
        {"k": "facts", "files": {"/etc/hosts": "x"}, "tool": "python3 3.11.2", "now": 5.0},
        {"k": "resolve", "aim": "0", "host": "ollama", "ms": 2, "addresses": ["10.0.0.2"], "code": 0, "text": ""},
        {"k": "connect", "aim": "0", "address": "10.0.0.2", "port": 11434, "errno": "", "ms": 0.3},
        {
            "k": "ask",
            "aim": "0",
            "ask": "version",
            "address": "10.0.0.2",
            "ms": 1,
            "end": "complete",
            "raw": _raw('{"version":"0.33.0"}'),
        },
        {
            "k": "ask",
            "aim": "0",
            "ask": "tags",
            "address": "10.0.0.2",
            "ms": 1,
            "end": "complete",
            "raw": _raw('{"models":[{"name":"a:1b"}]}'),
        },
        {"k": "end", "complete": True},
    ]
    seen = parse("\n".join(["noise", *map(json.dumps, lines), "{broken"]).encode())
    assert (seen.vantage, seen.complete, seen.able) == ("exec:python3", True, True)
    reach = judge(seen, ladder(URL), "app", models=["a:1b", "b:1b"])
    assert not reach.ok
    assert reach.version == "0.33.0"
    assert reach.missing == ("b:1b",)
    assert reach.failed is not None
    assert reach.failed.id == "model"


def test_shell_lines() -> None:
    text = "\n".join(
        [
            "tool\tnc\tnslookup\tnone\t1700000000",
            "resolve\t0\tollama\tTIMEOUT\t5000\t\t",
            "connect\t\t10.0.0.9\t11434\tEHOSTUNREACH\t3050",
            f"file\t/etc/resolv.conf\t{base64.b64encode(b'search x').decode()}",
            "end\t1",
        ]
    )
    seen = parse(text.encode())
    assert (seen.vantage, seen.tls_able, seen.complete) == ("exec:sh", False, True)
    assert seen.aims["0"].resolved is not None
    assert seen.aims["0"].resolved.error == "TIMEOUT"
    assert seen.connects[0].error == "EHOSTUNREACH"
    assert seen.files["/etc/resolv.conf"] == "search x"


def test_nothing_seen_is_unknown_and_never_passed() -> None:
    reach = judge(parse(b""), ladder(URL), "app")
    assert not reach.ok
    assert {c.status for c in reach.checks} == {"unknown"}


def test_no_secret_in_the_arguments() -> None:
    plan = ProbePlan((ladder(URL, headers={"Authorization": "Bearer sesame-open-1"}),))
    for argv, stdin in (for_shell(plan), for_python(plan)):
        assert not any("sesame" in word for word in argv)
        assert b"sesame-open-1" in stdin

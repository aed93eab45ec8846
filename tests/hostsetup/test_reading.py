"""Sockets, units, OLLAMA_HOST: read as the kernel, systemd and Ollama read them."""

from __future__ import annotations

import pytest

from stackctl.hostsetup.ollama_host import parse_ollama_host
from stackctl.hostsetup.units import UnitFile, environment_of, mistakes_in, split_words
from stackctl.sockets import is_loopback, parse_proc_net_tcp, reaches

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEAD + (
    "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999   0 12345 1 0 100 0 0 10 0\n"
    "   1: 0100007F:2CAA 0100007F:D431 01 00000000:00000000 00:00000000 00000000   999        0 777 1 0 100 0 0 10 0\n"
    "   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0\n"
    "garbage\n"
)
TCP6 = HEAD + (
    "   0: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1 1 0\n"
    "   1: 00000000000000000000000001000000:2CAB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 2 1 0\n"
    "   2: 0000000000000000FFFF00000100007F:2CAC 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 3 1 0\n"
    "   3: B80D0120000000000000000001000000:2CAD 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4 1 0\n"
)


def test_listeners_of_either_family() -> None:
    four = parse_proc_net_tcp(TCP)
    assert [(s.address, s.port, s.inode, s.uid) for s in four] == [
        ("127.0.0.1", 11434, 12345, 999),
        ("0.0.0.0", 22, 22, 0),
    ]
    six = parse_proc_net_tcp(TCP6)
    assert [s.address for s in six] == ["::", "::1", "127.0.0.1", "2001:db8::1"]
    assert [s.port for s in six] == [11434, 11435, 11436, 11437]
    assert parse_proc_net_tcp("") == []


@pytest.mark.parametrize(
    ("bound", "wanted", "v6_only", "answer"),
    [
        ("0.0.0.0", "192.168.1.5", False, True),
        ("0.0.0.0", "fd00::1", False, False),
        ("::", "192.168.1.5", False, True),
        ("::", "192.168.1.5", True, False),
        ("::", "fd00::1", True, True),
        ("127.0.0.1", "127.0.0.1", False, True),
        ("127.0.0.1", "172.17.0.1", False, False),
        ("::ffff:10.0.0.1", "10.0.0.1", False, True),
    ],
)
def test_which_sockets_take_what(bound: str, wanted: str, v6_only: bool, answer: bool) -> None:
    assert reaches(bound, wanted, v6_only=v6_only) is answer


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    ("value", "host", "port", "surprised"),
    [
        (None, "127.0.0.1", 11434, False),
        ("", "127.0.0.1", 11434, False),
        ("0.0.0.0", "0.0.0.0", 11434, False),
        (":8080", "", 8080, False),
        ("http://localhost", "localhost", 80, True),
        ("https://h", "h", 443, True),
        ("example.com:443", "example.com", 443, False),
        ("h/base", "h", 11434, False),
        ("http://h:99/base/path", "h", 99, False),
        ("::1", "::1", 11434, False),
        ("[::1]", "::1", 11434, False),
        ("[::1]:99", "::1", 99, False),
        ("1.2.3.4:99999", "1.2.3.4", 11434, True),
        ("1.2.3.4:abc", "1.2.3.4", 11434, True),
        (":-1", "", 11434, True),
        ("ollama.com", "ollama.com", 443, False),
        ("11434", "11434", 11434, True),
        (' "0.0.0.0:1" ', "0.0.0.0", 1, False),
    ],
)
def test_ollama_host(value: str | None, host: str, port: int, surprised: bool) -> None:
    setting = parse_ollama_host(value)
    assert (setting.host, setting.port, bool(setting.surprise)) == (host, port, surprised)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"A=1" B=2', ["A=1", "B=2"]),
        ("'A=x y' \"B=z\"", ["A=x y", "B=z"]),
        ('"A=\\"q\\" \\\\"', ['A="q" \\']),
        ("", []),
        ('A="b"', ['A="b"']),
        ('""', [""]),
        (r"A=a\ b", ["A=a b"]),
    ],
)
def test_words(value: str, words: list[str]) -> None:
    assert split_words(value) == words


def test_the_last_assignment_wins_and_an_empty_one_clears() -> None:
    files = [
        UnitFile(
            "/u",
            '[Unit]\nEnvironment="A=no"\n[Service]\n# Environment="A=comment"\nEnvironment="A=1" \\\n  "B=100%%"\n',
        ),
        UnitFile("/d/a.conf", '[Service]\nEnvironment="A=2"\n', drop_in=True),
    ]
    found = environment_of(files)
    assert {name: (a.value, a.where) for name, a in found.items()} == {"A": ("2", "/d/a.conf:2"), "B": ("100%", "/u:5")}
    cleared = environment_of(
        [*files, UnitFile("/d/b.conf", '[Service]\nEnvironment=\nEnvironment="C=3"\n', drop_in=True)]
    )
    assert list(cleared) == ["C"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n', False),
        ('[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0 "OLLAMA_ORIGINS=a b"\n', False),
        ('[Service]\nEnvironment="FOO=“x”"\n', False),
        ("[Service]\nEnvironment=“OLLAMA_HOST=0.0.0.0”\n", True),
        ('[Install]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n', True),
        ("[Service]\nexport OLLAMA_HOST=0.0.0.0\n", True),
        ("[Service]\nOLLAMA_KEEP_ALIVE=24h\n", True),
        ("[Service]\n#OLLAMA_KEEP_ALIVE=24h\n", False),
        ("[Service]\nEnvironment=OLLAMA_HOST = 0.0.0.0\n", True),
    ],
)
def test_mistakes(text: str, wrong: bool) -> None:
    assert bool(mistakes_in([UnitFile("/d/o.conf", text, drop_in=True)])) is wrong

"""The double's `ollama` command: what a healthcheck and an operator see; and how a server fails to start."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.double import EXECUTABLE, Double, command, double

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

pytestmark = pytest.mark.double_only
_NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with double(tmp_path_factory.mktemp("double"), models=["tiny-chat", "qwen3:8b"]) as running:
        yield running


def test_list(server: Double) -> None:
    done = command("list", host=server.address)
    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert {row.split()[0] for row in rows} >= {"tiny-chat:latest", "qwen3:8b"}


def test_ps_and_stop(server: Double) -> None:
    assert command("run", "tiny-chat", "hello", host=server.address).stdout.startswith(f"This is {server.name}")
    rows = command("ps", host=server.address).stdout
    assert "tiny-chat:latest" in rows
    assert "100% CPU" in rows
    assert "minutes from now" in rows
    assert command("stop", "tiny-chat", host=server.address).returncode == 0
    assert "tiny-chat" not in command("ps", host=server.address).stdout


def test_pull_show_copy_remove(server: Double) -> None:
    done = command("pull", "tiny-tools", host=server.address)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "success")
    assert "tools" in command("show", "tiny-tools", host=server.address).stdout
    assert command("cp", "tiny-tools", "mine", host=server.address).returncode == 0
    done = command("rm", "mine", "tiny-tools", host=server.address)
    assert (done.returncode, done.stdout) == (0, "deleted 'mine'\ndeleted 'tiny-tools'\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("pull", "no-such-model"), "pull model manifest: file does not exist"),
        (("rm", "no-such-model"), "model 'no-such-model' not found"),
        (("show", "no-such-model"), "model 'no-such-model:latest' not found"),
        (("stop", "no-such-model"), 'couldn\'t find model "no-such-model" to stop'),
        (("ollama", "serve"), 'unknown command "ollama" for "ollama"'),
        (("/bin/sh",), 'unknown command "/bin/sh" for "ollama"'),
        (("pull",), "accepts 1 arg(s), received 0"),
        (("list", "--nonsense"), "unknown flag: --nonsense"),
    ],
)
def test_errors(server: Double, words: tuple[str, ...], error: str) -> None:
    done = command(*words, host=server.address)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: {error}"


@pytest.mark.parametrize("verb", ["list", "ps"])
def test_no_server(verb: str) -> None:
    done = command(verb, host=_NOBODY)
    assert done.returncode == 1
    assert done.stderr == "Error: could not connect to ollama server, run 'ollama serve' to start it\n"


def test_version_proves_nothing() -> None:
    done = command("--version", host=_NOBODY)
    assert done.returncode == 0
    assert done.stdout.startswith("Warning: could not connect to a running Ollama instance")


def test_version(server: Double) -> None:
    assert command("--version", host=server.address).stdout.startswith("ollama version is 0.")


def test_a_proxy_variable_breaks_the_command_unless_loopback(tmp_path: Path, server: Double) -> None:
    proxied = {"HTTP_PROXY": f"http://{_NOBODY}"}
    assert command("list", host=server.address, env=proxied).returncode == 0
    with double(tmp_path, host="0.0.0.0") as wild:
        assert command("list", host=f"0.0.0.0:{wild.port}").returncode == 0
        assert command("list", host=f"0.0.0.0:{wild.port}", env=proxied).returncode == 1


def _serve(home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(home), "OLLAMA_HOST": "127.0.0.1:0", **env}
    return subprocess.run([sys.executable, "-S", str(EXECUTABLE), "serve"], env=given, capture_output=True, text=True,
                          timeout=30, check=False, stdin=subprocess.DEVNULL)  # fmt: skip


def test_an_address_in_use(tmp_path: Path, server: Double) -> None:
    done = _serve(tmp_path, OLLAMA_HOST=server.address)
    assert done.returncode == 1
    assert done.stderr.endswith(f"Error: listen tcp {server.address}: bind: address already in use\n")


def test_an_address_of_somebody_else(tmp_path: Path) -> None:
    done = _serve(tmp_path, OLLAMA_HOST="192.0.2.1:11434")
    assert done.stderr.endswith("Error: listen tcp 192.0.2.1:11434: bind: cannot assign requested address\n")


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    done = _serve(tmp_path, OLLAMA_HOST="nobody.invalid:11434")
    assert done.stderr.endswith("Error: listen tcp: lookup nobody.invalid: no such host\n")


@pytest.mark.parametrize(
    ("origins", "text"),
    [
        ("example.com", "bad origin: origins must contain '*' or include http://,https://"),
        ("http://*.*", "only one * is allowed"),
    ],
)
def test_a_bad_origin_stops_the_start(tmp_path: Path, origins: str, text: str) -> None:
    done = _serve(tmp_path, OLLAMA_ORIGINS=origins)
    assert done.returncode == 2
    assert f"panic: {text}" in done.stderr


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _serve(tmp_path / "file")
    assert done.returncode == 1
    assert "could not create directory mkdir" in done.stderr


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _serve(tmp_path, OLLAMA_MODELS=str(tmp_path / "file" / "models"))
    assert done.returncode == 1
    assert done.stderr.endswith(": ensure path elements are traversable\n")


def test_wrong_knobs_stop_the_start(tmp_path: Path) -> None:
    done = _serve(tmp_path, OLLAMA_DOUBLE_FAULTS='{"nonsense": 1}')
    assert done.returncode == 1
    assert "unknown fault 'nonsense'" in done.stderr


@pytest.fixture(scope="module")
def hostaddr() -> ModuleType:
    path = EXECUTABLE.parent / "ollama_double" / "hostaddr.py"
    spec = importlib.util.spec_from_file_location("double_hostaddr", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("value", "host", "port", "url"),
    [
        (None, "127.0.0.1", 11434, "http://127.0.0.1:11434"),
        ("", "127.0.0.1", 11434, "http://127.0.0.1:11434"),
        (' "0.0.0.0" ', "0.0.0.0", 11434, "http://0.0.0.0:11434"),
        (":8080", "", 8080, "http://:8080"),
        ("http://localhost", "localhost", 80, "http://localhost:80"),
        ("https://h", "h", 443, "https://h:443"),
        ("example.com:443", "example.com", 443, "http://example.com:443"),
        ("h/base", "h", 11434, "http://h:11434/base"),
        ("http://h:99/base/path", "h", 99, "http://h:99/base/path"),
        ("::1", "::1", 11434, "http://[::1]:11434"),
        ("[::1]", "::1", 11434, "http://[::1]:11434"),
        ("[::1]:99", "::1", 99, "http://[::1]:99"),
        ("1.2.3.4:99999", "1.2.3.4", 11434, "http://1.2.3.4:11434"),
        ("1.2.3.4:abc", "1.2.3.4", 11434, "http://1.2.3.4:11434"),
        ("1.2.3.4:-1", "1.2.3.4", 11434, "http://1.2.3.4:11434"),
        ("ollama.com", "ollama.com", 443, "https://ollama.com:443"),
        ("11434", "11434", 11434, "http://11434:11434"),
    ],
)
def test_ollama_host(hostaddr: ModuleType, value: str | None, host: str, port: int, url: str) -> None:
    found = hostaddr.parse(value)
    assert (found.host, found.port, found.url) == (host, port, url)

"""The rendered nginx and Caddy in front of an Ollama that is bound to loopback and so checks the Host header."""

from __future__ import annotations

import hashlib
import itertools
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from stackctl.hostsetup import caddy, nginx
from stackctl.hostsetup.host_plan import HostPlan, Proxy
from stackctl.hostsetup.setup import Setup
from tests.host.lab import need, run, wait_for
from tests.host.ollama import Double, answers, free_port, running_double

NAME = "ollama.example.test"
TOKEN = "aB3.-_~+/x9="
SNI = {"sni_hostname": NAME}
CHAT = {"model": "tiny-chat", "messages": [{"role": "user", "content": "one two three four five six seven eight"}]}


@dataclass
class Front:
    """A proxy that runs, and what stands behind it."""

    kind: str
    port: int
    double: Double
    setup: Setup
    ca: Path

    def client(self, token: str | None = TOKEN, *, timeout: float = 30) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Host": NAME} | ({"Authorization": f"Bearer {token}"} if token is not None else {})
        base = f"https://127.0.0.1:{self.port}{self.prefix}"
        return httpx.Client(base_url=base, verify=context, headers=headers, trust_env=False, timeout=timeout)

    prefix: str = ""


def certificate(directory: Path) -> tuple[Path, Path]:
    need("openssl")
    made, key = directory / "server.crt", directory / "server.key"
    run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={NAME}",
            "-addext",
            f"subjectAltName=DNS:{NAME}",
            "-keyout",
            str(key),
            "-out",
            str(made),
        ]
    )
    return made, key


def put(setup: Setup, root: Path) -> dict[str, str]:
    """Files below ``root``; server path to real path, with the token include of nginx among them."""
    moved = {f.path: str(root / f.path.rpartition("/")[2]) for f in setup.files}
    moved["/etc/nginx/stackctl-renfield.token"] = str(root / "token.include")
    for file in setup.files:
        text = file.text
        for path, here in moved.items():
            text = text.replace(path, here)
        Path(moved[file.path]).write_text(text)
    return moved


@contextmanager
def process(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        running = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield running
        finally:
            running.terminate()
            running.wait(15)


@contextmanager
def nginx_front(root: Path, plan: HostPlan) -> Iterator[Setup]:
    need("nginx")
    setup = nginx.render(plan)
    moved = put(setup, root)
    for step in setup.steps:
        run(
            [
                moved.get(w, w).replace(
                    "/etc/nginx/stackctl-renfield.token", moved["/etc/nginx/stackctl-renfield.token"]
                )
                for w in step.run.argv
            ]
        )
    main = root / "nginx.conf"
    # gzip and buffering as a distribution may have them: the rendered file must stand against both.
    main.write_text(
        f"daemon off; pid {root}/nginx.pid; error_log stderr; worker_processes 1;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log {root}/access.log; gzip on; gzip_types application/json application/x-ndjson;\n"
        f"client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;\n"
        f"uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n"
        f"include {moved['/etc/nginx/conf.d/stackctl-renfield.conf']}; }}\n"
    )
    run(["nginx", "-t", "-p", str(root), "-c", str(main)])
    with process(["nginx", "-p", str(root), "-c", str(main)], root / "nginx.log"):
        yield setup


@contextmanager
def caddy_front(root: Path, plan: HostPlan) -> Iterator[Setup]:
    need("caddy")
    setup = caddy.render(plan)
    moved = put(setup, root)
    main = root / "Caddyfile"
    # No admin endpoint and no port 80: both are the machine's, and none of the rendered file's business.
    main.write_text(
        f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nimport {moved['/etc/caddy/stackctl-renfield.caddy']}\n"
    )
    run(
        ["caddy", "validate", "--config", str(main), "--adapter", "caddyfile"],
        env={"HOME": str(root), "PATH": "/usr/bin"},
    )
    argv = [
        "env",
        f"HOME={root}",
        f"XDG_DATA_HOME={root}/data",
        "caddy",
        "run",
        "--config",
        str(main),
        "--adapter",
        "caddyfile",
    ]
    with process(argv, root / "caddy.log"):
        yield setup


FRONTS = {"nginx": nginx_front, "caddy": caddy_front}


@contextmanager
def front_of(kind: str, root: Path, *, timeout: int = 3600, prefix: str = "", token: bool = True) -> Iterator[Front]:
    made, key = certificate(root)
    (root / "token").write_text(TOKEN + "\n")
    (root / "ollama").mkdir()
    port = free_port()
    with running_double(root / "ollama") as double:
        proxy = Proxy(
            NAME,
            port=port,
            prefix=prefix,
            upstream=f"127.0.0.1:{double.port}",
            certificate=str(made),
            key=str(key),
            token_file=str(root / "token") if token else "",
            timeout=timeout,
        )
        with FRONTS[kind](root, HostPlan("renfield", proxy=proxy)) as setup:
            wait_for(f"{kind} ({root})", lambda: answers(port))
            front = Front(kind, port, double, setup, made)
            front.prefix = prefix
            yield front


@pytest.fixture(params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    with front_of(request.param, tmp_path) as made:
        yield made


def get(front: Front, path: str, token: str | None = TOKEN, **headers: str) -> httpx.Response:
    with front.client(token) as client:
        return client.get(path, headers=headers, extensions=SNI)


@pytest.mark.parametrize(
    "wrong",
    [None, "wrong", TOKEN.lower(), TOKEN.upper(), TOKEN[:-1], TOKEN + "x", TOKEN.replace(".", "a"), f"{TOKEN}\\E|.*"],
)
def test_without_the_right_token_nobody_gets_in(front: Front, wrong: str | None) -> None:
    refused = get(front, "/api/version", wrong)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.json() == {"error": "unauthorized"}
    assert not [r for r in front.double.client.get("/_double/requests").json() if "/api/version" in str(r)]


def test_the_right_token_gets_in_although_the_name_is_one_that_ollama_refuses(front: Front) -> None:
    direct = front.double.client.get("/api/version", headers={"Host": NAME})
    assert direct.status_code == 403, "the double must check the Host header, or this test proves nothing"
    through = get(front, "/api/version")
    assert through.status_code == 200
    assert through.json()["version"]
    assert get(front, "/").text == "Ollama is running"
    assert get(front, "/api/nothing").status_code == 404


def test_the_token_reaches_neither_ollama_nor_a_file_of_the_set_up(front: Front, tmp_path: Path) -> None:
    get(front, "/api/version")
    asked = str(front.double.client.get("/_double/requests").json())
    assert "/api/version" in asked
    assert TOKEN not in asked
    assert all(TOKEN not in file.text for file in front.setup.files)
    holders = {p.name for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()}
    assert holders <= {"token", "token.include"}
    include = tmp_path / "token.include"
    assert not include.exists() or include.stat().st_mode & 0o077 == 0


def test_tokens_arrive_one_by_one(front: Front) -> None:
    front.double.faults(tokens_per_second=10)
    arrivals = []
    with front.client() as client, client.stream("POST", "/api/chat", json=CHAT, extensions=SNI) as answer:
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
        for line in answer.iter_lines():
            arrivals.append((time.monotonic(), line))
    assert '"done":true' in arrivals[-1][1].replace(" ", "")
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(arrivals)]
    assert len(arrivals) >= 5
    assert sum(gap > 0.04 for gap in gaps) >= len(gaps) * 0.6, f"they came in bursts: {[round(g, 3) for g in gaps]}"


def test_when_the_caller_leaves_the_generation_ends(front: Front) -> None:
    front.double.faults(tokens_per_second=2)
    with front.client() as client, client.stream("POST", "/api/chat", json=CHAT, extensions=SNI) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert front.double.active() == 1
    wait_for("the generation to end", lambda: front.double.active() == 0, seconds=2.5)


def test_a_blob_of_many_megabytes_goes_through(front: Front) -> None:
    block, count = bytes(1 << 20), 48
    digest = hashlib.sha256(block * count).hexdigest()
    with front.client() as client:
        stored = client.post(f"/api/blobs/sha256:{digest}", content=(block for _ in range(count)), extensions=SNI)
        assert stored.status_code == 201
        assert client.head(f"/api/blobs/sha256:{digest}", extensions=SNI).status_code == 200


def test_an_error_of_ollamas_own_passes_unchanged(front: Front) -> None:
    front.double.faults(
        routes=[{"match": "GET /api/ps", "status": 401, "body": {"error": "unauthorized", "signin_url": "x"}}]
    )
    answer = get(front, "/api/ps")
    assert answer.status_code == 401
    assert answer.json()["signin_url"] == "x"


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_the_timeout_is_the_one_of_the_plan(kind: str, tmp_path: Path) -> None:
    with front_of(kind, tmp_path, timeout=2) as front, front.client() as client:
        front.double.faults(first_token_seconds=1)
        assert client.post("/api/chat", json=CHAT, extensions=SNI).status_code == 200
        front.double.faults(first_token_seconds=6)
        began = time.monotonic()
        assert client.post("/api/chat", json=CHAT, extensions=SNI).status_code in (502, 504)
        assert 1.5 < time.monotonic() - began < 5.5


@pytest.mark.slow
def test_a_minute_of_silence_is_no_reason_to_give_up(tmp_path: Path) -> None:
    """nginx gives up after 60 s where it is told nothing."""
    seen: dict[str, int] = {}

    def ask(kind: str) -> None:
        root = tmp_path / kind
        root.mkdir()
        with front_of(kind, root) as front, front.client(timeout=90) as client:
            front.double.faults(first_token_seconds=63)
            seen[kind] = client.post("/api/chat", json=CHAT, extensions=SNI).status_code

    threads = [threading.Thread(target=ask, args=(kind,)) for kind in FRONTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"nginx": 200, "caddy": 200}


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_below_a_prefix(kind: str, tmp_path: Path) -> None:
    with front_of(kind, tmp_path, prefix="/ollama") as front:
        assert get(front, "/api/version").status_code == 200
        front.prefix = ""
        assert get(front, "/api/version").status_code == 404
        assert get(front, "/ollamas/api/version").status_code == 404


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_without_a_token_check_everybody_gets_in(kind: str, tmp_path: Path) -> None:
    with front_of(kind, tmp_path, token=False) as front:
        assert get(front, "/api/version", None).status_code == 200


def test_caddy_makes_a_certificate_of_its_own_where_none_is_named() -> None:
    need("caddy")
    setup = caddy.render(HostPlan("renfield", proxy=Proxy("gpu.lan", token_file="/etc/stackctl/t")))
    assert re.search(r"^\ttls internal$", setup.files[0].text, flags=re.MULTILINE)
    assert any("local/root.crt" in note for note in setup.notes)


def test_nginx_refuses_a_token_file_that_holds_more_than_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text('x"; return 200;\n')
    proxy = Proxy(NAME, certificate="/c", key="/k", token_file=str(tmp_path / "token"))
    step = nginx.render(HostPlan("renfield", proxy=proxy)).steps[0]
    done = run([w.replace("/etc/nginx", str(tmp_path)) for w in step.run.argv], check=False)
    assert done.returncode == 1
    assert "nothing else" in done.stderr
    assert not (tmp_path / "stackctl-renfield.token").exists()

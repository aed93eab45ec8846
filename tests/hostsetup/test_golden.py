"""The whole text of each set-up, as it is printed. UPDATE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackctl.hostsetup import ssh_tunnel, subjects
from stackctl.hostsetup.host_plan import HostPlan, Proxy, Tunnel, collapse, parse_network
from stackctl.hostsetup.script import printed
from stackctl.hostsetup.setup import Setup

GOLDEN = Path(__file__).parents[1] / "golden" / "hostsetup"
ALLOWED = collapse([parse_network(t) for t in ("172.18.0.0/16", "192.168.1.20", "fd00:7::/64")])
PROXY = Proxy(
    "ollama.example.com",
    certificate="/etc/stackctl/c.crt",
    key="/etc/stackctl/c.key",
    token_file="/etc/stackctl/renfield.token",
)
FULL = HostPlan(
    "renfield", allowed=ALLOWED, environment={"OLLAMA_KEEP_ALIVE": "24h"}, proxy=PROXY, tunnel=Tunnel("gpu.example.com")
)
BARE = HostPlan(
    "ren-field_2",
    bind="172.17.0.1",
    port=443,
    docker_address=True,
    exclusive=False,
    allowed=ALLOWED[:1],
    nft_chain=("inet", "filter", "input"),
    proxy=Proxy("gpu.lan", port=8443, prefix="/gpu"),
    tunnel=Tunnel("fd00::9", user="me", ssh_port=2200, networks=("back", "front")),
)


def render(name: str, plan: HostPlan) -> Setup:
    return ssh_tunnel.render_compose(plan) if name == "ssh-tunnel-compose" else subjects.RENDER[name](plan)


CASES = [
    (f"{name}-{kind}", name, plan)
    for kind, plan in (("full", FULL), ("bare", BARE))
    for name in (*subjects.RENDER, "ssh-tunnel-compose")
    if (name, kind) != ("nginx", "bare")
]


@pytest.mark.parametrize(("file", "name", "plan"), CASES, ids=[case[0] for case in CASES])
def test_printed_text(file: str, name: str, plan: HostPlan) -> None:
    text = printed(render(name, plan))
    path = GOLDEN / f"{file}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(("file", "name", "plan"), CASES, ids=[case[0] for case in CASES])
def test_every_set_up_is_a_json_document_and_can_be_undone(file: str, name: str, plan: HostPlan) -> None:
    setup = render(name, plan)
    document = setup.document()
    assert document["summary"]
    assert [f["path"] for f in document["files"]] == [f.path for f in setup.files]
    undone = " ".join(u["command"] for u in document["undo"])
    assert all(f.path in undone for f in setup.files)
    assert all(word not in str(document) for word in ("sudo sudo", "None", "{plan", "{proxy"))


def test_nginx_without_a_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="certificate"):
        render("nginx", BARE)


@pytest.mark.parametrize("name", ["nginx", "caddy", "ssh-tunnel"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"--ssh|server name"):
        render(name, HostPlan("x"))


def test_names_stay_within_what_the_kernel_takes_and_apart() -> None:
    long, other = HostPlan("a" * 60), HostPlan("a" * 59 + "b")
    for prefix, limit in (("stackctl-", 28), ("sct-", 17)):
        assert len(long.short(prefix, limit)) == limit
        assert long.short(prefix, limit) != other.short(prefix, limit)
    assert HostPlan("a-b_c").variable != HostPlan("a_b-c").variable
    assert HostPlan("web").short("stackctl-", 28) == "stackctl-web"


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.0/33", "nonsense", ""])
def test_a_network_that_limits_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_network(text)


def test_networks_are_joined() -> None:
    joined = collapse(
        [parse_network(t) for t in ("10.0.1.0/24", "fd00::/65", "10.0.0.0/24", "10.0.0.7", "fd00::8000:0:0:0/65")]
    )
    assert [str(n) for n in joined] == ["10.0.0.0/23", "fd00::/64"]

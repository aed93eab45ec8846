"""Quoting, credentials, upstreams, the Compose service, state, control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.secrets import Secret, SecretRef
from stackctl.config.target import resolve
from stackctl.errors import StepFailed, UsageError
from stackctl.gateway import control, scripts, service, state
from stackctl.gateway.credentials import GatewaySecret, gateway_secrets, header_format
from stackctl.gateway.haproxy import Rendered
from stackctl.gateway.instance import undo_rules
from stackctl.gateway.quoting import quoted
from stackctl.gateway.upstream import Group, group
from stackctl.ports import Completed
from stackctl.project.yamltext import dump

# -- quoting and credentials ---------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-1.2:3/x", "plain-1.2:3/x"),
        ("", "''"),
        ("two words", "'two words'"),
        ("it's", "'it'\"'\"'s'"),
        ('"$HOME" # \\n', "'\"$HOME\" # \\n'"),
    ],
)
def test_quoted(value: str, expected: str) -> None:
    assert quoted(value) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("plain", "plain"),
        ("100%", "100%%"),
        ("$$5", "$5"),
        ("id-${KEY}/x", "id-%[var(proc.stackctl_secret_KEY)]/x"),
        ("${A}${B}", "%[var(proc.stackctl_secret_A)]%[var(proc.stackctl_secret_B)]"),
        ("a $ alone", "a $ alone"),
    ],
)
def test_header_format(header: str, expected: str) -> None:
    assert header_format(header) == expected


def test_a_default_in_a_header_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\$\{A:-b\} cannot stand in a header"):
        header_format("${A:-b}")


def test_secrets_of_all_enabled_instances_each_once(config: StackConfig) -> None:
    assert [s.reference for s in gateway_secrets(config)] == [
        SecretRef("env", "API_KEY"),
        SecretRef("env", "GPU_BOX_TOKEN"),
        SecretRef("file", "/run/keys/ollama"),
    ]


# -- upstreams -------------------------------------------------------------------


def test_members_are_best_first_and_the_fallback_apart(group_of: Callable[[str], Group]) -> None:
    found = group_of("all")
    assert [u.name for u in found.members] == ["gpu-box", "behind-proxy", "old-box", "sixth", "this-host"]
    assert found.fallback is not None
    assert found.fallback.connect == "ollama-local"


def test_where_to_connect(group_of: Callable[[str], Group]) -> None:
    by_name = {u.name: u for u in group_of("all").all}
    assert by_name["gpu-box"].connect == "192.168.1.100"
    assert by_name["gpu-box"].url.netloc == "cuda.local:11434"
    assert by_name["this-host"].connect == "host.docker.internal"
    assert not by_name["this-host"].by_name
    assert by_name["behind-proxy"].by_name


def test_only_a_time_that_the_user_wrote_cuts_a_request_short(group_of: Callable[[str], Group]) -> None:
    by_name = {u.name: u for u in group_of("all").all}
    assert by_name["gpu-box"].silence == 90
    assert by_name["sixth"].silence == 600


def test_a_fallback_that_is_a_member_too_is_the_fallback() -> None:
    config = StackConfig.model_validate(
        {
            "version": 1,
            "gateway": True,
            "instances": {"a": {"url": "http://a:1"}, "b": {"url": "http://b:1"}},
            "profiles": {"p": {"use": ["a", "b"], "fallback": "a"}},
        }
    )
    found = group(config, resolve(config, "p"))
    assert [u.name for u in found.members] == ["b"]
    assert found.fallback is not None
    assert found.fallback.name == "a"


def test_a_fallback_that_is_disabled_is_none() -> None:
    instances = {"a": {"url": "http://a:1"}, "b": {"url": "http://b:1", "enabled": False}}
    config = StackConfig.model_validate(
        {
            "version": 1,
            "gateway": True,
            "instances": instances,
            "profiles": {"p": {"use": ["a"], "fallback": "b"}},
        }
    )
    assert group(config, resolve(config, "p")).fallback is None


def test_a_ca_file_that_was_not_read_is_an_error(config: StackConfig) -> None:
    with pytest.raises(UsageError, match="the ca_file of behind-proxy was not read"):
        group(config, resolve(config, "behind-proxy"))


def test_undo_gives_a_request_its_first_form(group_of: Callable[[str], Group]) -> None:
    by_name = {u.name: u for u in group_of("all").all}
    rules = list(undo_rules(by_name["behind-proxy"]))
    assert rules[:3] == ["del-header X-Api-Key", "del-header X-Cost", "del-header Authorization"]
    assert "set-path %[path,bytes(9)] if { path_beg /team/llm/ }" in rules
    assert "set-path /api/chat if { var(txn.path) -m str /team/llm/api/v1/chat }" in rules


# -- the Compose service ------------------------------------------------------------


def test_the_service() -> None:
    made = service.fragment(project="p", image="i", networks={"default": ["ollama"]})
    assert made.service["networks"] == {"default": {"aliases": ["ollama"]}, "stackctl-inner": None}
    assert made.service["read_only"] is True
    assert made.service["labels"] == {"io.stackctl.project": "p", "io.stackctl.role": "gateway"}
    assert "ports" not in made.service
    json.dumps(made.service)


def test_what_starts_it_can_be_read_in_the_override() -> None:
    made = service.fragment(project="p", image="i", networks={})
    words = [*made.service["entrypoint"], *made.service["command"], *made.service["healthcheck"]["test"]]
    assert all(word.count("\n") <= 3 and len(word) <= 300 for word in words)
    lines = dump(made.service).splitlines()
    assert lines.count("    exec haproxy -W -f secrets.cfg -f gateway.cfg") == 1
    assert len(lines) < 100


def test_every_dollar_of_the_scripts_is_escaped_for_compose() -> None:
    made = service.fragment(project="p", image="i", networks={}).service
    for text in (*made["entrypoint"], *made["healthcheck"]["test"], *made["environment"].values()):
        assert "$" not in text.replace("$$", "")


def test_publish() -> None:
    made = service.fragment(project="p", image="i", networks={}, publish="127.0.0.1:11434")
    assert made.service["ports"] == ["127.0.0.1:11434:11434"]


def test_local_networks() -> None:
    assert service.local_networks(["data"]) == {"data": None, "stackctl-inner": {"aliases": ["ollama-local"]}}


@pytest.mark.parametrize(
    ("wanted", "present", "running", "expected"),
    [
        (None, [], None, "haproxy:3.2-alpine"),
        (None, ["stackctl.local/gateway:dev"], None, "stackctl.local/gateway:dev"),
        (None, ["stackctl.local/gateway:dev", "haproxy:3.2-alpine"], None, "haproxy:3.2-alpine"),
        (None, ["haproxy:3.2-alpine"], "stackctl.local/gateway:dev", "stackctl.local/gateway:dev"),
        ("mine:1", ["haproxy:3.2-alpine"], "stackctl.local/gateway:dev", "mine:1"),
    ],
)
def test_image(wanted: str | None, present: list[str], running: str | None, expected: str) -> None:
    assert control.image(wanted, present, running) == expected


# -- control ---------------------------------------------------------------------


def _secret(name: str) -> GatewaySecret:
    return GatewaySecret.of(SecretRef("env", name))


def test_stale_secrets() -> None:
    digest = hashlib.sha256(b"    set-var-fmt proc.stackctl_secret_A same\n").hexdigest()
    output = f"{digest} stackctl_secret_A\n{digest} stackctl_secret_B\n"
    values = {_secret("A"): Secret("same"), _secret("B"): Secret("other"), _secret("C"): Secret("same")}
    assert [s.reference.argument for s in control.stale_secrets(output, values)] == ["B", "C"]
    assert list(control.secret_digests(output)) == ["stackctl_secret_A", "stackctl_secret_B"]
    assert control.stale_secrets("", {}) == []


def test_what_is_sent_to_the_gateway() -> None:
    given = control.apply_input("# all of it\n", {_secret("B"): Secret("50%'s\r\n"), _secret("A"): Secret("ä")})
    assert given.decode().splitlines() == [
        "global",
        "    set-var-fmt proc.stackctl_secret_A 'ä'",
        "    set-var-fmt proc.stackctl_secret_B '50%%'\"'\"'s'",
        "#@configuration",
        "# all of it",
    ]
    with pytest.raises(ValueError, match="control characters"):
        control.apply_input("", {_secret("A"): Secret("a\0b")})


def test_secret_names(rendered: Callable[[str], Rendered]) -> None:
    assert control.secret_names(rendered("gpu-box").text) == {"stackctl_secret_GPU_BOX_TOKEN"}
    assert control.secret_names(rendered("local").text) == set()


def test_argv_holds_no_configuration_and_no_secret() -> None:
    assert control.apply_argv("d1g3st")[:2] == ("sh", "-c")
    assert control.apply_argv("d1g3st")[-1] == "d1g3st"
    assert len(control.apply_argv("x")) == 5


def test_addresses_as_the_kernel_shows_them() -> None:
    argv = control.requests_argv(["172.18.0.3", "fd00::6"], 11434)
    assert argv[-2:] == ("030012AC:2CAA:01", "000000FD000000000000000006000000:2CAA:01")


def test_check_applied_says_what_haproxy_says() -> None:
    control.check_applied(Completed(0))
    stderr = b"[NOTICE]   (9) : haproxy\n[ALERT]    (9) : config : parsing [next.cfg:9] : unknown keyword 'x'\n"
    with pytest.raises(StepFailed, match=r"refuses the gateway's configuration: config : parsing \[next.cfg:9\]"):
        control.check_applied(Completed(control.REFUSED, stderr=stderr))
    with pytest.raises(StepFailed, match=r"was not reloaded: no worker"):
        control.check_applied(Completed(4, stderr=b"no worker"))
    with pytest.raises(StepFailed, match=r"in time"):
        control.check_applied(Completed(-9, timed_out=True))


def test_the_scripts_carry_nothing_of_a_target() -> None:
    for script in (scripts.BOOT, scripts.APPLY, scripts.STATE):
        assert "gpu" not in script


# -- state -----------------------------------------------------------------------

ABOUT = {
    "digest": "abc",
    "profile": "all",
    "policy": "priority",
    "worker": 9,
    "fallback": {"name": "local", "slug": "local"},
    "members": [{"name": "a", "slug": "a"}, {"name": "http://b", "slug": "url-1"}],
}


def _output(rows: dict[str, tuple[str, str]], about: dict[str, object] = ABOUT) -> str:
    lines = ["# pxname,svname,status,lastchg,scur,check_status,check_code,check_duration,-"]
    lines += ["inner.a,another:1,no check,0,0,,,,-", "inner.a,BACKEND,UP,0,0,,,,-", "front,FRONTEND,OPEN,0,1,,,,-"]
    lines += [f"inner.{slug},{slug},{status},7,2,{check},-" for slug, (status, check) in rows.items()]
    # HAProxy 2.6 puts the lengths of chunks between the lines.
    return json.dumps(about) + "\n\r\n1f4\r\n" + "\r\n".join(lines) + "\r\n0\r\n\r\n"


def test_state_all_up() -> None:
    up = ("UP", "L7OK,200,3")
    seen = state.parse(_output({"a": up, "url-1": up, "local": up}))
    assert seen.serving == ("a",)
    assert not seen.on_fallback
    assert seen.notice is None
    assert seen.instances[0] == state.InstanceState("a", up=True, why="L7OK/200 in 3ms", seconds=7, active=2)
    assert seen.instances[1].name == "http://b"


def test_state_next_in_line() -> None:
    rows = {"a": ("DOWN", "L4CON,,0"), "url-1": ("UP 1/2", "INI,,"), "local": ("UP", "L7OK,200,1")}
    seen = state.parse(_output(rows))
    assert seen.serving == ("http://b",)
    assert not seen.instances[1].checked
    assert seen.notice == "all is served by http://b; down: a (L4CON in 0ms)"


def test_state_of_a_check_that_was_not_timed() -> None:
    seen = state.parse(_output({"a": ("DOWN", "L4TOUT,,18446744073709551615")}))
    assert seen.instances[0].why == "L4TOUT"


def test_state_on_the_fallback_says_so() -> None:
    rows = {"a": ("DOWN", "L7STS,401,2"), "url-1": ("MAINT (resolution)", ",,"), "local": ("UP", "L7OK,200,1")}
    seen = state.parse(_output(rows))
    assert seen.serving == ("local",)
    assert seen.on_fallback
    assert seen.notice == (
        "local serves as the fallback of all; down: a (L7STS/401 in 2ms), http://b (its name does not resolve)"
    )


def test_state_nobody() -> None:
    seen = state.parse(_output(dict.fromkeys(("a", "url-1", "local"), ("DOWN", "L4TOUT,,2001"))))
    assert seen.serving == ()
    assert (seen.notice or "").startswith("no instance of all is healthy; down: a (L4TOUT in 2001ms)")


def test_state_least_conn_serves_all_that_are_up() -> None:
    up = ("UP", "L7OK,200,3")
    assert state.parse(_output({"a": up, "url-1": up}, {**ABOUT, "policy": "least_conn"})).serving == ("a", "http://b")


def test_state_before_the_first_configuration() -> None:
    nothing = {"digest": "none", "profile": None, "policy": None, "members": [], "fallback": None, "worker": 1}
    seen = state.parse(_output({}, nothing))
    assert seen.digest == "none"
    assert seen.notice == "the gateway has no configuration yet"


@pytest.mark.parametrize("output", ["", "no json", "<html>"])
def test_state_of_something_else(output: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        state.parse(output)

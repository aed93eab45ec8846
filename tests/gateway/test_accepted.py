"""HAProxy itself takes every configuration, and the shell scripts are sound."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackctl.config.models import StackConfig
from stackctl.config.target import resolve
from stackctl.gateway import scripts
from stackctl.gateway.haproxy import Rendered, render, waiting
from stackctl.gateway.names import SOCKETS_DIR
from stackctl.gateway.upstream import group
from tests.support.gatewaylab import IMAGE, certificate

CHECK = f"{scripts.COMMON}\ncd /tmp; mkdir -p {SOCKETS_DIR}; cat >g.cfg; write_files g.cfg; haproxy -c -f g.cfg\n"


def check(text: str) -> str:
    """What HAProxy complains of; that there is no DNS here is left out."""
    options = ["--rm", "-i", "--network", "none", "--label", "io.stackctl.test=1"]
    command = ["docker", "run", *options, IMAGE, "sh", "-c", CHECK]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=60)
    lines = (done.stdout + done.stderr).decode().splitlines()
    known = ("could not resolve", "for nameserver")
    complaints = [x for x in lines if "[ALERT]" in x or ("[WARNING]" in x and not any(k in x for k in known))]
    assert done.returncode == 0, "\n".join(complaints)
    return "\n".join(complaints)


@pytest.mark.engine
@pytest.mark.parametrize("profile", ["local", "gpu-box", "all", "spread", "spread-or-local", "mixed"])
def test_haproxy_takes_it_without_a_word(profile: str, config: StackConfig) -> None:
    pem = certificate("ca")[0]
    assert check(render(group(config, resolve(config, profile), ca={"behind-proxy": pem})).text) == ""


@pytest.mark.engine
def test_haproxy_takes_the_waiting_one() -> None:
    assert check(waiting()) == ""


HOSTILE = 'a\' "b" ${HOME} %[env(PATH)] %t \\ # { } ; `id` $(id) é'


@pytest.mark.engine
def test_no_value_ends_its_own_argument() -> None:
    instances = {
        f"i{number}": {
            "url": f"http://host{number}.example:11434/p'%25()$&,;=",
            "headers": {"X-Hostile": HOSTILE.replace("$", "$$")},
            "auth": {"basic": {"user": HOSTILE, "password": "${P}"}},
            "endpoints": {"chat": "/c'{}%\"$\\x", "health": "/h'%20\"x"},
        }
        for number in range(2)
    }
    config = StackConfig.model_validate(
        {"version": 1, "gateway": True, "instances": instances, "profiles": {"p": {"use": ["i0", "i1"]}}}
    )
    assert check(render(group(config, resolve(config, "p"))).text) == ""


NAMES = ["BOOT", "APPLY", "HEALTHY", "STATE", "RUNNING", "REQUESTS", "SECRET_DIGESTS"]
UNUSED_PARTS = "SC2034,SC2317,SC2329,SC2016"
"""Not every script uses all of what they have in common; and the quotes are for bash."""


@pytest.mark.parametrize("name", NAMES)
def test_shellcheck(name: str) -> None:
    tool = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [str(tool), "-s", "sh", "-e", UNUSED_PARTS, "-"],
        input=getattr(scripts, name),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_waiting_is_json(rendered: Callable[[str], Rendered]) -> None:
    assert "stackctl up" in waiting()
    assert waiting() != rendered("local").text

"""ufw and firewalld themselves, each in a namespace of its own with its own configuration below it."""

from __future__ import annotations

import shutil
from pathlib import Path

from stackctl.hostsetup import firewalld, ufw
from tests.host.lab import Lab, need, wait_for
from tests.host.test_firewalls import OPEN, REFUSED, place, plan_for

DROPPED = {**OPEN, "stranger4": "timeout", "stranger6": "timeout"}


def with_ufw(lab: Lab, tmp_path: Path) -> None:
    """A server on which ufw is active and drops what it was not told to let in."""
    need("ufw", "iptables")
    for target, name in (("/etc/ufw", "ufw"), ("/etc/default", "default")):
        shutil.copytree(target, tmp_path / name)
        lab.server.binds[target] = tmp_path / name
    lab.server.run("ufw", "--force", "reset")
    lab.server.run("ufw", "allow", "22/tcp")
    lab.server.run("ufw", "--force", "enable")


def with_firewalld(lab: Lab, tmp_path: Path) -> None:
    """A server on which firewalld runs, on a bus of its own."""
    need("firewalld", "firewall-cmd", "dbus-daemon", "nft")
    shutil.copytree("/etc/firewalld", tmp_path / "firewalld")
    lab.server.binds["/etc/firewalld"] = tmp_path / "firewalld"
    # Without the list of services the bus starts no policy daemon for it.
    for target in ("/run", "/var/log", "/usr/share/dbus-1/system-services"):
        lab.server.binds[target] = tmp_path / target.strip("/").replace("/", "-")
        lab.server.binds[target].mkdir()
    bus = lab.server.binds["/run"] / "dbus"
    bus.mkdir()
    lab.server.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
    wait_for("the bus", (bus / "system_bus_socket").exists)
    lab.server.start("firewalld", "--nofork", "--nopid")
    wait_for(
        "firewalld",
        lambda: lab.server.run("firewall-cmd", "--state", check=False).stdout.strip() == "running",
        seconds=40,
    )


def test_ufw_lets_the_stack_in_and_nobody_else(lab: Lab, tmp_path: Path) -> None:
    with_ufw(lab, tmp_path)
    lab.server.listen(11434)
    before = lab.server.run("ufw", "show", "added").stdout
    setup = ufw.render(plan_for(lab))
    for step in setup.steps:
        lab.server.run(*step.run.argv)
    assert lab.verdicts() == DROPPED
    added = lab.server.run("ufw", "show", "added").stdout
    for step in setup.steps:
        assert step.present is not None
        assert any(step.present.needle in line for line in added.splitlines()), step.present
    for step in reversed(setup.steps):
        assert step.undo is not None
        lab.server.run(*step.undo.argv)
    assert lab.server.run("ufw", "show", "added").stdout == before


def test_ufw_rules_come_before_a_rule_that_lets_everybody_in(lab: Lab, tmp_path: Path) -> None:
    with_ufw(lab, tmp_path)
    lab.server.listen(11434)
    lab.server.run("ufw", "allow", "11434")
    assert lab.verdicts() == OPEN
    for step in ufw.render(plan_for(lab)).steps:
        lab.server.run(*step.run.argv)
    assert lab.verdicts() == DROPPED


def test_firewalld_lets_the_stack_in_and_nobody_else_in_whatever_zone(lab: Lab, tmp_path: Path) -> None:
    with_firewalld(lab, tmp_path)
    lab.server.listen(11434)
    before = lab.verdicts()
    assert {before["stack4"], before["stranger4"]} == {"EHOSTUNREACH"}
    setup = firewalld.render(plan_for(lab))
    policy = place(setup, tmp_path)[setup.files[0].path]
    target = tmp_path / "firewalld" / "policies" / policy.name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(policy, target)
    for command in setup.finish:
        lab.server.run(*command.argv)
    assert lab.verdicts() == REFUSED
    device = f"s2{lab.server.name.rsplit('-', 1)[-1]}"
    lab.server.run("firewall-cmd", "--zone=trusted", f"--change-interface={device}")
    assert lab.verdicts() == REFUSED, "a zone that accepts everything must not open the port"
    target.unlink()
    for command in setup.finish:
        lab.server.run(*command.argv)
    assert lab.verdicts()["stack4"] == "EHOSTUNREACH"

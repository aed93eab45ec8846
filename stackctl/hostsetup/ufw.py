"""Rules of ufw, put before those that are there: the first rule that matches decides."""

from __future__ import annotations

from stackctl.hostsetup.host_plan import HostPlan
from stackctl.hostsetup.setup import Command, Need, Present, Setup, Step


def render(plan: HostPlan) -> Setup:
    """Rules for ``plan``, the denial prepended first so that it ends up last."""
    steps = [_step("allow", f"from {network}", plan) for network in plan.allowed]
    if plan.exclusive:
        steps.insert(0, _step("deny", "from any", plan))
    return Setup(
        subject="ufw",
        summary=summary(plan),
        steps=tuple(steps),
        needs=(Need("program", "ufw", "apt-get install ufw, or use the firewall that this machine has"),),
        touches=("/etc/ufw/user.rules", "/etc/ufw/user6.rules"),
        notes=(
            "ufw is not switched on by this: where `ufw status` says inactive, allow SSH first, then `ufw enable`.",
            "A port that a container publishes is forwarded, not received: for callers on the LAN ufw does not see it.",
        ),
    )


def summary(plan: HostPlan) -> str:
    """One line on what a packet filter does for ``plan``."""
    sources = ", ".join(str(n) for n in plan.allowed)
    rest = "; everybody else is refused" if plan.exclusive else ""
    return f"port {plan.port}/tcp is open for {sources}{rest}"


def _step(action: str, source: str, plan: HostPlan) -> Step:
    rule = f"{source} to any port {plan.port} proto tcp"
    words = (*rule.split(), "comment", plan.label)
    why = "lets the stack in" if action == "allow" else "drops what comes from anywhere else"
    return Step(
        run=Command(("ufw", "prepend", action, *words), why),
        undo=Command(("ufw", "delete", action, *rule.split())),
        present=Present(("ufw", "show", "added"), f"{action} {_shown(source, plan)}"),
    )


def _shown(source: str, plan: HostPlan) -> str:
    """The rule as ``ufw show added`` prints it: "any to any" is shortened to the port."""
    if source == "from any":
        return f"{plan.port}/tcp"
    host = source.removesuffix("/32").removesuffix("/128")
    return f"{host} to any port {plan.port} proto tcp"

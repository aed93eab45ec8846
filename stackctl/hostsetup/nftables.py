"""nftables: a table of our own, put in force at every boot by a unit.

A verdict of ``accept`` in one table does not overrule a ``drop`` in another, so
a ruleset that drops by default must be told in its own chain
(``HostPlan.nft_chain``); a ruleset that accepts by default needs the table only.
"""

from __future__ import annotations

from stackctl.hostsetup.host_plan import ETC, HostPlan, Network
from stackctl.hostsetup.setup import Command, HostFile, Need, Setup, Step, command, unit_steps
from stackctl.hostsetup.systemd import quote
from stackctl.hostsetup.ufw import summary


def table(plan: HostPlan) -> str:
    """The table's family and name."""
    return f"inet {plan.variable}"


def render(plan: HostPlan) -> Setup:
    """The table's file, a unit that loads it, and the opening in an existing chain where there is one."""
    rules = f"{ETC}/nftables-{plan.project}.nft"
    unit = f"{plan.label}-nftables.service"
    opening, closing = _opening(plan), _closing(plan)
    return Setup(
        subject="nftables",
        summary=summary(plan),
        files=(
            HostFile(rules, _ruleset(plan)),
            HostFile(f"/etc/systemd/system/{unit}", _unit(plan, rules, opening, closing)),
        ),
        settle=(command("systemctl daemon-reload", "systemd reads the unit"),),
        steps=(
            Step(Command(("nft", "--check", "--file", rules), "nft reads the rules without acting on them")),
            *unit_steps(
                unit, at_boot="the rules come back at boot", start="puts the rules in force", stop="takes the rules out"
            ),
        ),
        needs=(
            Need("program", "nft", "apt-get install nftables"),
            Need("program", "systemctl", f"without systemd, write the files and run `nft --file {rules}` at boot"),
        ),
        notes=_notes(plan),
    )


def _set(name: str, kind: str, networks: tuple[Network, ...]) -> list[str]:
    if not networks:
        return []
    elements = ", ".join(str(n) for n in networks)
    return [f"\tset {name} {{", f"\t\ttype {kind}", "\t\tflags interval", f"\t\telements = {{ {elements} }}", "\t}"]


def _ruleset(plan: HostPlan) -> str:
    lines = [
        "#!/usr/sbin/nft -f",
        f'# Written by `stackctl host-setup nftables` for the project "{plan.project}".',
        "# Declared and deleted before it is defined: loading this twice is loading it once.",
        f"table {table(plan)}",
        f"delete table {table(plan)}",
        f"table {table(plan)} {{",
        *_set("stack4", "ipv4_addr", plan.allowed4),
        *_set("stack6", "ipv6_addr", plan.allowed6),
        "\tchain input {",
        "\t\ttype filter hook input priority filter - 5; policy accept;",
        f"\t\ttcp dport {plan.port} jump ollama",
        "\t}",
        "\tchain ollama {",
        '\t\tiif "lo" accept',
    ]
    if plan.allowed4:
        lines.append("\t\tip saddr @stack4 counter accept")
    if plan.allowed6:
        lines.append("\t\tip6 saddr @stack6 counter accept")
    if plan.exclusive:
        lines.append("\t\tcounter reject with icmpx type admin-prohibited")
    return "\n".join([*lines, "\t}", "}", ""])


def _opening(plan: HostPlan) -> list[str]:
    """Commands that let the stack through a chain of somebody else's."""
    if plan.nft_chain is None:
        return []
    where = " ".join(plan.nft_chain)
    lines = []
    for family, networks in (("ip", plan.allowed4), ("ip6", plan.allowed6)):
        if networks:
            sources = ", ".join(str(n) for n in networks)
            lines.append(
                f"insert rule {where} {family} saddr {{ {sources} }} tcp dport {plan.port} counter accept "
                f'comment "{plan.label}"'
            )
    return lines


def _closing(plan: HostPlan) -> str:
    """A shell line that deletes the opening again: a rule can only be deleted by its handle."""
    if plan.nft_chain is None:
        return ""
    where = " ".join(plan.nft_chain)
    return (
        f"nft --handle list chain {where} | "
        f"sed -n '/comment \"{plan.label}\"/s/.*# handle //p' | "
        f'while read -r handle; do nft delete rule {where} handle "$handle"; done'
    )


def _unit(plan: HostPlan, rules: str, opening: list[str], closing: str) -> str:
    lines = [
        f'# Written by `stackctl host-setup nftables` for the project "{plan.project}".',
        "[Unit]",
        f"Description=Who may reach the port of Ollama, for the stack {plan.project}",
        "# nftables.service empties the whole ruleset when it starts or reloads.",
        "After=nftables.service",
        "PartOf=nftables.service",
        "Before=ollama.service",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart=nft --file {rules}",
    ]
    if closing:
        lines.append(f"ExecStart=-sh -c {_unit_quote(closing)}")
    lines += [f"ExecStart=nft {_unit_quote(line)}" for line in opening]
    if closing:
        lines.append(f"ExecStop=-sh -c {_unit_quote(closing)}")
    lines += [f"ExecStop=nft delete table {table(plan)}", "", "[Install]", "WantedBy=multi-user.target", ""]
    return "\n".join(lines)


def _unit_quote(text: str) -> str:
    """One argument of an ``Exec`` line (systemd.service(5): ``$`` doubled besides)."""
    return quote(text).replace("$", "$$")


def _notes(plan: HostPlan) -> tuple[str, ...]:
    reload = "`nft flush ruleset` takes these rules away too; restart the unit after it."
    if plan.nft_chain:
        return (reload,)
    return (
        (
            "A ruleset of your own that drops by default still drops: name its chain with "
            "`--nft-chain 'inet filter input'`, and the stack is let in there too."
        ),
        reload,
    )

"""Caddy as a TLS proxy: a site file of our own, imported by one line of the Caddyfile.

The token is read from its file at every request, by Caddy's ``{file.…}``
placeholder (Caddy 2.8 or newer; an older one knows no such placeholder and
refuses everybody). The environment is no place for it: the packaged unit
starts Caddy with ``--environ``, which writes every variable to the journal.
"""

from __future__ import annotations

import ipaddress

from stackctl.hostsetup.host_plan import HostPlan, Proxy, open_way
from stackctl.hostsetup.proxy import host_header, needs, notes, proxy_of, summary
from stackctl.hostsetup.setup import Command, HostFile, Need, Present, Setup, Step, shell

CADDYFILE = "/etc/caddy/Caddyfile"


def render(plan: HostPlan) -> Setup:
    """The site file for ``plan.proxy``; without a certificate Caddy's own CA signs one."""
    proxy = proxy_of(plan, "caddy")
    path = f"/etc/caddy/{plan.label}.caddy"
    line = f"import {path}"
    steps = [
        Step(
            shell(f"printf '\\n%s\\n' '{line}' >>{CADDYFILE}", "the Caddyfile imports the site"),
            Command(("sed", "-i", f"\\|^{line}$|d", CADDYFILE)),
            Present(("cat", CADDYFILE), line),
        )
    ]
    secrets = [path for path in (proxy.token_file, proxy.key) if path]
    if secrets:
        reading = shell(_give(secrets, "caddy", "0640"), "Caddy runs as its own user, and must read these")
        steps.insert(0, Step(reading, shell(_give(secrets, "root", "0600"))))
    return Setup(
        subject="caddy",
        summary=summary(proxy),
        files=(HostFile(path, _site(plan, proxy)),),
        steps=tuple(steps),
        finish=(
            Command(
                ("caddy", "validate", "--config", CADDYFILE, "--adapter", "caddyfile"),
                "Caddy reads the whole configuration without acting on it",
            ),
            Command(("systemctl", "reload-or-restart", "caddy"), "puts it in force; streams under way end in peace"),
        ),
        needs=(
            Need("program", "caddy", "Caddy 2.8 or newer: https://caddyserver.com/docs/install"),
            Need("file", CADDYFILE, "comes with Caddy's package"),
            *needs(proxy),
        ),
        touches=(CADDYFILE,),
        notes=(*_own(proxy), *notes(plan, proxy)),
    )


def _give(files: list[str], group: str, mode: str) -> str:
    return f"{open_way(*files)}chgrp {group} {' '.join(files)}; chmod {mode} {' '.join(files)}"


def _own(proxy: Proxy) -> list[str]:
    said = ["Caddy older than 2.8 cannot read the token file and answers 401 to everybody."] if proxy.token_file else []
    if not proxy.certificate:
        said.append(
            "Caddy signs with a CA of its own; the stack needs its root as tls.ca_file: "
            "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt."
        )
    return said


def _address(proxy: Proxy) -> str:
    """The site's address; an IPv6 literal is bracketed."""
    try:
        name = f"[{proxy.server_name}]" if ipaddress.ip_address(proxy.server_name).version == 6 else proxy.server_name
    except ValueError:
        name = proxy.server_name
    return f"https://{name}:{proxy.port}"


def _site(plan: HostPlan, proxy: Proxy) -> str:
    certificate = f"{proxy.certificate} {proxy.key}" if proxy.certificate else "internal"
    lines = [
        f'# Written by `stackctl host-setup caddy` for the project "{plan.project}".',
        f"{_address(proxy)} {{",
        f"\ttls {certificate}",
    ]
    if proxy.token_file:
        lines += [
            f'\t@unauthorised not header Authorization "Bearer {{file.{proxy.token_file}}}"',
            "\thandle @unauthorised {",
            '\t\theader WWW-Authenticate `Bearer realm="ollama"`',
            "\t\theader Content-Type application/json",
            '\t\trespond `{"error":"unauthorized"}` 401',
            "\t}",
        ]
    lines += [f"\thandle_path {proxy.prefix}/* {{" if proxy.prefix else "\thandle {"]
    lines += [
        f"\t\treverse_proxy {proxy.upstream} {{",
        "\t\t\t# A server on loopback answers 403 to a Host that it does not know.",
        f"\t\t\theader_up Host {host_header(proxy)}",
    ]
    if proxy.token_file:
        lines.append("\t\t\theader_up -Authorization")
    lines += [
        "\t\t\t# Over HTTP/1.1 Go gives up the rest of a request once it answers, and Caddy then cuts the stream,",
        "\t\t\t# now and then on a busy machine (caddyserver/caddy#5431); what it holds is not given up.",
        "\t\t\trequest_buffers 32MiB",
        "\t\t\t# No flush_interval: a response without a length is flushed at once by itself, and with -1",
        "\t\t\t# Caddy 2.6 lets a generation run on whose caller has left.",
        "\t\t\ttransport http {",
        "\t\t\t\tversions 1.1",
        "\t\t\t\tdial_timeout 5s",
        f"\t\t\t\tresponse_header_timeout {proxy.timeout}s",
        f"\t\t\t\tread_timeout {proxy.timeout}s",
        f"\t\t\t\twrite_timeout {proxy.timeout}s",
        "\t\t\t\tcompression off",
        "\t\t\t}",
        "\t\t}",
        "\t}",
    ]
    if proxy.prefix:
        lines += ["\thandle {", "\t\trespond 404", "\t}"]
    return "\n".join([*lines, "}", ""])

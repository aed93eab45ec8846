"""nginx as a TLS proxy that streams: a file in ``conf.d``, and the token in an include that only root reads."""

from __future__ import annotations

from stackctl.hostsetup.host_plan import HostPlan, Proxy
from stackctl.hostsetup.proxy import host_header, needs, notes, proxy_of, summary
from stackctl.hostsetup.setup import Command, HostFile, Need, Setup, Step, shell

# What RFC 6750 allows in a bearer token; none of it can end a quoted regular expression.
B68_CHARACTERS = "A-Za-z0-9._~+/=-"


def render(plan: HostPlan) -> Setup:
    """The server block for ``plan.proxy``, which must name a certificate."""
    proxy = proxy_of(plan, "nginx")
    if not proxy.certificate:
        raise ValueError("nginx needs a certificate and its key")
    include = f"/etc/nginx/{plan.label}.token"
    steps = (Step(_token_step(proxy.token_file, include), Command(("rm", "-f", include))),) if proxy.token_file else ()
    return Setup(
        subject="nginx",
        summary=summary(proxy),
        files=(HostFile(f"/etc/nginx/conf.d/{plan.label}.conf", _config(plan, proxy, include)),),
        steps=steps,
        finish=(
            Command(("nginx", "-t"), "nginx reads the whole configuration without acting on it"),
            Command(("systemctl", "reload-or-restart", "nginx"), "puts it in force; requests under way end in peace"),
        ),
        needs=(Need("program", "nginx", "apt-get install nginx-light"), *needs(proxy)),
        notes=notes(plan, proxy),
    )


def _token_step(token_file: str, include: str) -> Command:
    """Turn the token file into an nginx include; the token is never an argument of a process."""
    # The shell's printf is no process of its own, so that the token is in no list of processes.
    script = (
        f"umask 077; token=$(cat {token_file}); "
        f"case $token in '' | *[!{B68_CHARACTERS}]*) "
        f"echo '{token_file} must hold a bearer token and nothing else' >&2; exit 1 ;; esac; "
        f'printf \'"~^(?i:Bearer) +\\\\Q%s\\\\E$" 1;\\n\' "$token" >{include}'
    )
    return shell(script, "the token as nginx reads it, for root's eyes only; run it again when the token changes")


def _config(plan: HostPlan, proxy: Proxy, include: str) -> str:
    v = plan.variable
    lines = [f'# Written by `stackctl host-setup nginx` for the project "{plan.project}".']
    if proxy.token_file:
        lines += [
            "# A plain string in a map is compared without regard to case, so the token is a regular expression.",
            f"map $http_authorization ${v}_known {{",
            "    default 0;",
            f"    include {include};",
            "}",
            "",
        ]
    lines += [
        f"upstream {v} {{",
        f"    server {proxy.upstream} max_fails=0;",
        "    keepalive 16;",
        "}",
        "",
        "server {",
        f"    listen {proxy.port} ssl;",
        f"    listen [::]:{proxy.port} ssl;",
        f"    server_name {proxy.server_name};",
        f"    ssl_certificate {proxy.certificate};",
        f"    ssl_certificate_key {proxy.key};",
        "    ssl_protocols TLSv1.2 TLSv1.3;",
        "",
        "    # Blobs of models are many gigabytes, and go through as they come.",
        "    client_max_body_size 0;",
        f"    client_body_timeout {proxy.timeout}s;",
        "    gzip off;",
        "",
    ]
    if proxy.token_file:
        lines += [
            f"    if (${v}_known = 0) {{ return 401; }}",
            "    error_page 401 @unauthorised;",
            "    location @unauthorised {",
            "        default_type application/json;",
            "        add_header WWW-Authenticate 'Bearer realm=\"ollama\"' always;",
            '        return 401 \'{"error":"unauthorized"}\';',
            "    }",
            "",
        ]
    slash = "/" if proxy.prefix else ""
    lines += [
        f"    location {proxy.prefix}/ {{",
        f"        proxy_pass http://{v}{slash};",
        "        proxy_http_version 1.1;",
        "        proxy_set_header Connection '';",
        "        # A server on loopback answers 403 to a Host that it does not know.",
        f"        proxy_set_header Host {host_header(proxy)};",
        "        proxy_set_header X-Forwarded-For $remote_addr;",
        "        proxy_set_header X-Forwarded-Proto $scheme;",
    ]
    if proxy.token_file:
        lines.append("        proxy_set_header Authorization '';")
    lines += [
        "        # Tokens are passed on one by one, and a model may take minutes to load before the first.",
        "        proxy_buffering off;",
        "        proxy_request_buffering off;",
        "        proxy_cache off;",
        "        proxy_connect_timeout 5s;",
        f"        proxy_send_timeout {proxy.timeout}s;",
        f"        proxy_read_timeout {proxy.timeout}s;",
        f"        send_timeout {proxy.timeout}s;",
        "        # A generation is never asked for twice.",
        "        proxy_next_upstream off;",
        "    }",
    ]
    if proxy.prefix:
        lines.append("    location / { return 404; }")
    lines += ["}", ""]
    return "\n".join(lines)

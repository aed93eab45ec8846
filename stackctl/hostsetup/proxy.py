"""What the TLS proxies have in common."""

from __future__ import annotations

from pathlib import PurePosixPath

from stackctl.hostsetup.host_plan import HostPlan, Proxy
from stackctl.hostsetup.setup import Need


def proxy_of(plan: HostPlan, subject: str) -> Proxy:
    """The plan's proxy; ``ValueError`` where it has none."""
    if plan.proxy is None:
        raise ValueError(f"{subject} needs a server name")
    return plan.proxy


def host_header(proxy: Proxy) -> str:
    """A Host that Ollama accepts wherever it listens (ollama/ollama: server/routes.go, allowedHostsMiddleware)."""
    return f"localhost:{proxy.upstream.rpartition(':')[2]}"


def summary(proxy: Proxy) -> str:
    """One line on what the proxy does."""
    port = "" if proxy.port == 443 else f":{proxy.port}"
    door = "with the right bearer token" if proxy.token_file else "without a token: anybody who reaches the port"
    return f"https://{proxy.server_name}{port}{proxy.prefix} passes to Ollama on {proxy.upstream}, {door}"


def needs(proxy: Proxy) -> tuple[Need, ...]:
    """Files that must be on the server beforehand."""
    found = []
    if proxy.certificate:
        how = f"a certificate for {proxy.server_name}, from your CA or by `{_self_made(proxy)}`"
        found += [Need("file", proxy.certificate, how), Need("file", proxy.key, "comes with the certificate")]
    if proxy.token_file:
        place = PurePosixPath(proxy.token_file).parent
        how = f"`mkdir -p {place}; (umask 077; openssl rand -hex 32 >{proxy.token_file})`"
        found.append(Need("file", proxy.token_file, f"{how}, and the same value in the stack's environment"))
    return tuple(found)


def notes(plan: HostPlan, proxy: Proxy) -> tuple[str, ...]:
    """What the user must do at both ends."""
    said = [
        (
            f"Let Ollama listen on {proxy.upstream} only, so that nobody goes around the proxy: "
            "`stackctl host-setup systemd --bind 127.0.0.1`."
        ),
        _instance(proxy),
    ]
    if plan.exclusive:
        said.append(f"Limit the port to the stack: `stackctl host-setup ufw --port {proxy.port}`, or another firewall.")
    return tuple(said)


def _instance(proxy: Proxy) -> str:
    port = "" if proxy.port == 443 else f":{proxy.port}"
    url = f"https://{proxy.server_name}{port}{proxy.prefix}"
    auth = ', auth: {bearer: "${OLLAMA_TOKEN}"}' if proxy.token_file else ""
    entry = f"{{NAME: {{url: {url}{auth}, tls: {{ca_file: CA.pem}}}}}}"
    return f"In stackctl.yaml: instances: {entry} (ca_file for a private CA)."


def _self_made(proxy: Proxy) -> str:
    return (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj /CN={proxy.server_name} "
        f"-addext subjectAltName={_san(proxy.server_name)} -keyout {proxy.key} -out {proxy.certificate}"
    )


def _san(name: str) -> str:
    return f"IP:{name.strip('[]')}" if name.replace(".", "").isdigit() or ":" in name else f"DNS:{name}"

"""Causes at the listener: who holds the port, on which address."""

from stackctl.diagnose.causes.model import Cause

_REFUSED_HOST = ("target.host", "connect.refused")

ROWS = (
    Cause(
        "snap-ollama-env-ignored", "connect", (*_REFUSED_HOST, "host.snap", "host.loopback_only"),
        "Ollama is a snap and listens on loopback only",
        "Set it the snap's way.", ("sudo snap set ollama host=0.0.0.0:11434", "sudo snap restart ollama"),
    ),
    Cause(
        "systemd-env-not-applied", "connect", (*_REFUSED_HOST, "unit.not_applied", "host.loopback_only|host.no_listener"),
        "OLLAMA_HOST is set for Ollama's unit, and the running server does not have it",
        "Set it in a drop-in with straight quotes, reload and restart.",
        ("sudo systemctl edit ollama   # [Service] Environment=\"OLLAMA_HOST=0.0.0.0:11434\"", "sudo systemctl daemon-reload",
         "sudo systemctl restart ollama"), evidence=("host.loopback_only",),
    ),
    Cause(
        "systemd-override-lost-on-update", "connect", (*_REFUSED_HOST, "unit.rewritten", "host.loopback_only"),
        "an update of Ollama rewrote its unit file: it listens on loopback again",
        "Put the setting into a drop-in, which updates leave alone.", ("stackctl host-setup systemd", "sudo systemctl restart ollama"),
        evidence=("host.loopback_only",),
    ),
    Cause(
        "bind-before-docker0", "connect", (*_REFUSED_HOST, "unit.bind_failed", "host.no_listener"),
        "Ollama could not bind to an address that was not there yet when it started",
        "Start it after Docker, or listen on 0.0.0.0 behind a firewall.",
        ("sudo systemctl edit ollama   # [Unit] After=docker.service Requires=docker.service", "sudo systemctl restart ollama"),
    ),
    Cause(
        "published-on-loopback-only", "connect", (*_REFUSED_HOST, "host.published_loopback"),
        "{target_container} publishes {port} on the host's loopback only",
        "Share a network and use the name.", ("environment:", "  {variable}: {target_url}"), fix="join-and-name",
    ),
    Cause(
        "bindv6only", "connect", (*_REFUSED_HOST, "host.v6_only"),
        "the server listens on IPv6 only (net.ipv6.bindv6only)",
        "Listen on 0.0.0.0, or switch the setting off.", ("sudo sysctl -w net.ipv6.bindv6only=0", "OLLAMA_HOST=0.0.0.0:11434"),
    ),
    Cause(
        "bindv6only", "connect", ("v4.refused_v6_ok",),
        "the server takes IPv6 only",
        "Listen on 0.0.0.0.", ("OLLAMA_HOST=0.0.0.0:11434",), without=("connect.ok",),
    ),
    Cause(
        "host-ollama-loopback-only", "connect", (*_REFUSED_HOST, "host.loopback_only"),
        "Ollama on the host listens on loopback only; containers come in through {address}",
        "Let it listen on all addresses, and close the port to the outside.",
        ("stackctl host-setup systemd", "sudo systemctl edit ollama   # [Service] Environment=\"OLLAMA_HOST=0.0.0.0:11434\"",
         "sudo systemctl restart ollama"),
        without=("host.published",),
    ),
    Cause(
        "bound-to-one-lan-ip", "connect", (*_REFUSED_HOST, "host.one_address"),
        "Ollama listens on {listen} only, not on {address}",
        "Use that address, or let it listen on all.", ("environment:", "  {variable}: {listen_url}"), fix="set-listen",
    ),
    Cause(
        "url-port-omitted-or-80", "connect", (*_REFUSED_HOST, "host.no_listener", "host.other_port"),
        "Ollama listens on port {inner} of the host, not on {port}",
        "Name the port that it listens on (OLLAMA_HOST with http:// and no port means 80).",
        ("environment:", "  {variable}: {inner_url}"), fix="set-inner",
    ),
    Cause(
        "ollama-not-running", "connect", (*_REFUSED_HOST, "host.no_listener"),
        "nothing listens on port {port} of the host: Ollama does not run",
        "Start it.", ("sudo systemctl enable --now ollama", "journalctl -u ollama -n 50"),
    ),
    Cause(
        "ollama-not-running", "connect", ("net.host", "connect.refused", "host.no_listener|inside.no_listener"),
        "nothing listens on port {port} of the host: Ollama does not run",
        "Start it.", ("sudo systemctl enable --now ollama",),
    ),
    Cause(
        "host-port-used-inside-network", "connect", ("target.container", "connect.refused", "port.is_published"),
        "{port} is the port on the host; inside the network {target_container} listens on {inner}",
        "Use the container's port with its name.", ("environment:", "  {variable}: {inner_url}"), fix="set-inner",
    ),
    Cause(
        "container-ollama-binds-loopback", "connect", ("target.container", "connect.refused", "inside.loopback"),
        "{target_container} listens on its own loopback only",
        "Let it listen on all addresses.", ("services:", "  {target_service}:", "    environment: {{OLLAMA_HOST: 0.0.0.0:11434}}"), fix="bind-all",
    ),
    Cause(
        "bound-to-one-lan-ip", "connect", ("target.container", "connect.refused", "inside.one_address"),
        "{target_container} listens on {listen} only",
        "Let it listen on all addresses.", ("services:", "  {target_service}:", "    environment: {{OLLAMA_HOST: 0.0.0.0:11434}}"), fix="bind-all",
    ),
    Cause(
        "url-port-omitted-or-80", "connect", ("target.container", "connect.refused", "inside.no_listener", "inside.other_port"),
        "{target_container} listens on {inner}, not on {port}",
        "Name the port that it listens on.", ("environment:", "  {variable}: {inner_url}"), fix="set-inner",
    ),
    Cause(
        "ollama-not-running", "connect", ("target.container", "connect.refused", "inside.no_listener"),
        "{target_container} runs, and nothing in it listens on {port}",
        "Read its log, and start the server in it.", ("{compose} logs --tail 50 {target_service}", "{compose} restart {target_service}"),
    ),
    Cause(
        "ollama-not-running", "connect", ("target.container", "connect.refused"),
        "{target_container} refuses port {port}",
        "Read its log.", ("{compose} logs --tail 50 {target_service}",), also=("container-ollama-binds-loopback",),
        decide="docker exec {target_container} cat /proc/net/tcp",
    ),
    Cause(
        "cross-network-ip", "connect", ("target.docker", "connect.unreachable.slow|connect.timeout|connect.bad", "url.ip"),
        "{address} is a container's address that nobody has any more",
        "Use the name.", ("environment:", "  {variable}: {good}"), fix="set-good",
    ),
    Cause(
        "host-ollama-loopback-only", "connect", (*_REFUSED_HOST, "host.unseen"),
        "the host refuses {address}:{port}; from here it cannot be seen whether Ollama runs there",
        "Start it, or let it listen on all addresses.", ("sudo ss -ltnp 'sport = :{port}'   # on the engine's host",),
        also=("ollama-not-running", "bound-to-one-lan-ip", "firewall-rejects-ehostunreach"),
        decide="ss -ltnp 'sport = :{port}'   # on the engine's host",
    ),
    Cause(
        "firewall-rejects-ehostunreach", "connect", (*_REFUSED_HOST, "host.listens"),
        "the host listens, and still refuses: a firewall answers for it",
        "Look for the rule.", ("sudo iptables -S INPUT", "sudo nft list ruleset"), without=("host.published_loopback", "host.v6_only"),
    ),
    Cause(
        "ollama-not-running", "connect", ("target.lan|target.public", "connect.refused"),
        "{address} is up and refuses port {port}: Ollama does not run there, or listens on its loopback only",
        "Start it, or let it listen on all addresses.",
        ("ssh {host} 'ss -ltnp | grep {port}; systemctl status ollama'", "stackctl host-setup systemd"),
        also=("host-ollama-loopback-only",), decide="ssh {host} ss -ltn 'sport = :{port}'",
    ),
    Cause(
        "http-on-tls-port", "tls", ("plain.tls_answers", "http.reset|400.tls|http.garbage|status.400"),
        "{host}:{port} speaks TLS, and {variable} says http",
        "Write https.", ("environment:", "  {variable}: {https_url}"), fix="set-https",
    ),
    Cause(
        "accept-then-reset", "http", ("http.reset",),
        "{host}:{port} accepts and closes at once: what forwards the port has nothing behind it",
        "Look at the mapping and at the server behind it.", ("docker ps --format '{{{{.Names}}}} {{{{.Ports}}}}'",),
        without=("plain.tls_answers",),
    ),
)

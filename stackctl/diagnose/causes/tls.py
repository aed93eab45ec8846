"""Causes in TLS."""

from stackctl.diagnose.causes.model import Cause

ROWS = (
    Cause(
        "https-on-plain-http", "tls", ("tls.not_spoken",),
        "{variable} says https, and {host}:{port} speaks plain HTTP",
        "Write http, or put a TLS proxy in front.", ("environment:", "  {variable}: {http_url}", "stackctl host-setup caddy"),
        evidence=("tls.plain_answers",), fix="set-http",
    ),
    Cause(
        "cert-expired", "tls", ("tls.expired",),
        "the certificate of {host} expired on {not_after}",
        "Renew it, and reload the server that presents it.", ("openssl s_client -connect {host}:{port} </dev/null | openssl x509 -noout -dates",),
        evidence=("cert.seen",),
    ),
    Cause(
        "cert-not-yet-valid-clock", "tls", ("tls.not_yet",),
        "the certificate of {host} is valid from {not_before} only: a clock is wrong",
        "Set the clock.", ("timedatectl status", "sudo systemctl restart systemd-timesyncd"), evidence=("cert.seen",),
    ),
    Cause(
        "cert-hostname-mismatch", "tls", ("tls.name",),
        "the certificate is for {names}, not for {host}",
        "Use a name of the certificate, or have it issued for {host}.", ("environment:", "  {variable}: {san_url}"),
        evidence=("cert.seen",), fix="set-san",
    ),
    Cause(
        "runtime-ignores-system-store", "tls", ("tls.system_ok",),
        "the image's system store trusts the server, the runtime of {consumer} does not look there",
        "Point the runtime at the system store.",
        ("environment:", "  {trust_variable}: /etc/ssl/certs/ca-certificates.crt", "  REQUESTS_CA_BUNDLE: /etc/ssl/certs/ca-certificates.crt"),
        fix="trust-system",
    ),
    Cause(
        "self-signed-cert", "tls", ("tls.self_signed",),
        "the certificate of {host} is signed by itself",
        "Give the container the certificate as a CA, or issue one from a CA.",
        ("volumes: [./ollama.pem:/etc/ssl/ollama.pem:ro]", "environment: {{SSL_CERT_FILE: /etc/ssl/ollama.pem, REQUESTS_CA_BUNDLE: /etc/ssl/ollama.pem}}"),
        evidence=("cert.seen",), fix="trust-file",
    ),
    Cause(
        "incomplete-chain", "tls", ("tls.unknown_ca", "cert.alone", "tls.untrusted_with_ca|issuer.not_given"),
        "the server sends its certificate without the intermediate that issued it",
        "Serve the full chain.", ("cat leaf.pem intermediate.pem > fullchain.pem   # on {host}, then reload",),
        evidence=("cert.seen",), without=("issuer.given", "issuer.host"),
    ),
    Cause(
        "private-ca-missing", "tls", ("tls.unknown_ca",),
        "{consumer} does not know the CA that issued the certificate of {host} ({issuer})",
        "Mount the CA into the container and name it.",
        ("volumes: [/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro]",
         "environment: {{SSL_CERT_FILE: /etc/ssl/certs/ca-certificates.crt, REQUESTS_CA_BUNDLE: /etc/ssl/certs/ca-certificates.crt, "
         "NODE_EXTRA_CA_CERTS: /etc/ssl/certs/ca-certificates.crt}}"),
        evidence=("cert.seen", "issuer.host", "issuer.given"), fix="trust-file",
    ),
    Cause(
        "self-signed-cert", "tls", ("tls.refused",),
        "the certificate of {host} is refused: {tls_error}",
        "Look at it.", ("openssl s_client -connect {host}:{port} -showcerts </dev/null",), also=("private-ca-missing",),
        decide="openssl s_client -connect {host}:{port} </dev/null",
    ),
)

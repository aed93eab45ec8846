"""Turns a connection that failed or broke off into an :class:`OllamaError`."""

from __future__ import annotations

import ssl

from stackctl.ollama.errors import Kind, OllamaError
from stackctl.ollama.text import plain

_TLS_REASONS = (
    ("certificate has expired", "its certificate has expired", "renew the certificate on the server"),
    ("not yet valid", "its certificate is not valid yet", "compare the clocks of both machines: date -u"),
    (
        "hostname mismatch",
        "its certificate is for another name",
        "set `tls: {server_name: NAME}`, or use that name in `url`",
    ),
    (
        "ip address mismatch",
        "its certificate is for another name",
        "set `tls: {server_name: NAME}`, or use that name in `url`",
    ),
    ("self-signed certificate", "nobody we trust signed its certificate", "give its CA as `tls: {ca_file: PATH}`"),
    ("self signed certificate", "nobody we trust signed its certificate", "give its CA as `tls: {ca_file: PATH}`"),
    ("unable to get", "nobody we trust signed its certificate", "give its CA as `tls: {ca_file: PATH}`"),
    ("wrong_version_number", "it does not speak TLS on this port", "write http:// in `url`"),
    ("wrong version number", "it does not speak TLS on this port", "write http:// in `url`"),
    ("record layer failure", "it does not speak TLS on this port", "write http:// in `url`"),
    ("http_request", "it does not speak TLS on this port", "write http:// in `url`"),
    ("unrecognized_name", "it serves no certificate for this name", "set `tls: {server_name: NAME}`"),
)


def from_tls(url: str, error: BaseException) -> OllamaError:
    """The error for a failed TLS handshake."""
    text = str(error)
    lower = text.lower()
    for token, reason, hint in _TLS_REASONS:
        if token in lower:
            return OllamaError(Kind.TLS, f"no TLS with {url}: {reason}", hint=hint)
    return OllamaError(Kind.TLS, f"no TLS with {url}: {plain(text, 200)}", hint="look at `tls` of the instance")


def from_connect(url: str, host: str, error: BaseException) -> OllamaError:
    """The error for a failed connection; ``error`` is what the transport raised."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLError) or (cause is None and "ssl" in str(error).lower()):
        return from_tls(url, cause or error)
    text = str(cause or error).lower()
    if (
        "name or service not known" in text
        or "nodename" in text
        or "name resolution" in text
        or "no address" in text
        or "bad address" in text
    ):
        return OllamaError(
            Kind.NAME,
            f'the name "{host}" does not resolve here',
            hint="look at the host in `url`, or pin it with `address`",
        )
    if "refused" in text:
        return OllamaError(
            Kind.REFUSED,
            f"nothing listens at {url} (connection refused)",
            hint="is Ollama running there, and bound to more than loopback (OLLAMA_HOST=0.0.0.0)?",
        )
    if "no route" in text or "unreachable" in text:
        return OllamaError(Kind.NO_ROUTE, f"no route to {url}", hint="look at the network and VPN of this machine")
    if "timed out" in text or "timeout" in text:
        return timeout(url, "connect")
    if "reset" in text or "eof" in text or "closed" in text or "broken pipe" in text:
        return OllamaError(
            Kind.CUT, f"{url} takes the connection and drops it", hint="is it the right port, and http or https?"
        )
    return OllamaError(Kind.NO_ROUTE, f"no connection to {url}: {plain(str(cause or error), 200)}")


def timeout(url: str, phase: str) -> OllamaError:
    """The error for a missing answer: ``phase`` is ``connect``, ``answer`` or ``body``."""
    if phase == "connect":
        return OllamaError(
            Kind.TIMEOUT, f"{url} does not answer in time", hint="is the machine on, and does a firewall drop the port?"
        )
    if phase == "answer":
        return OllamaError(
            Kind.TIMEOUT,
            f"{url} takes the connection but sends no answer in time",
            hint="a server that starts up or loads a model does so; raise `timeout` of the instance",
        )
    return OllamaError(Kind.TIMEOUT, f"{url} stopped sending in the middle of an answer")

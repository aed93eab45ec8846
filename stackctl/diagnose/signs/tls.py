"""Signs of TLS: what the handshake said, with which trust store, and what the certificate itself shows."""

from __future__ import annotations

import re
import ssl
from datetime import datetime

from stackctl.diagnose import http_reply as http
from stackctl.diagnose import x509
from stackctl.diagnose.answers import Shaken
from stackctl.diagnose.sign import Sign
from stackctl.diagnose.signs.board import Board, Case
from stackctl.diagnose.words import DEFAULTS

_REFUSALS = {
    2: Sign.TLS_UNKNOWN_CA,
    9: Sign.TLS_NOT_YET,
    10: Sign.TLS_EXPIRED,
    18: Sign.TLS_SELF_SIGNED,
    19: Sign.TLS_UNKNOWN_CA,
    20: Sign.TLS_UNKNOWN_CA,
    21: Sign.TLS_UNKNOWN_CA,
    62: Sign.TLS_NAME,
    64: Sign.TLS_NAME,
}
"""By OpenSSL's code of the verification."""


def read(case: Case, board: Board) -> None:
    """The verdict of the consumer's own store first, then the certificate."""
    if case.setting.url is None:
        return
    if case.setting.url.scheme == "http":
        _plain(case, board)
        return
    first = next(iter(case.aim.shaken), None)
    if first is None:
        return
    if first.ok:
        _runtimes(case, board, ok=True)
        return
    board.note(
        Sign.TLS_BAD,
        f"the TLS handshake fails: {first.text or first.error}, {case.where}",
        tls_error=first.text or first.error,
    )
    if first.error == "TIMEOUT":
        board.note(Sign.TLS_STALLS, f"the TLS handshake gets no answer in {first.ms:.0f} ms, {case.where}")
    if first.error != "VERIFY":
        _no_tls(case, board, first)
        return
    board.note(
        _REFUSALS.get(first.verify or 0, Sign.TLS_REFUSED),
        f"verification fails ({first.verify}: {first.text}), {case.where}",
    )
    _certificate(case, board)
    _runtimes(case, board, ok=False)
    given = [s for s in case.further_aim("trust").shaken if s.store == "given"]
    if given and given[0].ok and not case.setting.trust:
        board.note(
            Sign.TLS_HOST_TRUSTS,
            f"with the CA certificates of the host ({case.scene.host.trust_path}) verification succeeds",
            host_store=case.scene.host.trust_path,
        )
    elif given and case.setting.trust:
        board.note(
            Sign.TLS_TRUSTED_WITH_CA if given[0].ok else Sign.TLS_UNTRUSTED_WITH_CA,
            f"with the CA given to it, verification {'succeeds' if given[0].ok else 'fails all the same'}",
        )


def _no_tls(case: Case, board: Board, shaken: Shaken) -> None:
    """Where there was no handshake to judge: whether what answers there speaks plain HTTP."""
    plain = case.aim.ask("plain")
    answer = http.read(plain.raw) if plain else None
    if shaken.error == "WRONG_VERSION_NUMBER" or (answer and answer.status):
        board.note(
            Sign.TLS_NOT_SPOKEN, f"what answers at {case.host}:{case.port} is no TLS ({shaken.error}), {case.where}"
        )
    if answer and answer.status:
        board.note(
            Sign.TLS_PLAIN_ANSWERS, f"a plain GET / on the same port answers {answer.status}: {_short(answer.text)}"
        )


def _plain(case: Case, board: Board) -> None:
    swapped = case.further_aim("tls")
    shaken = next(iter(swapped.shaken), None)
    if shaken is not None and (shaken.ok or shaken.error == "VERIFY"):
        board.note(Sign.PLAIN_TLS_ANSWERS, f"a TLS handshake on the same port succeeds, {case.where}")


def _certificate(case: Case, board: Board) -> None:
    chain = [c for s in case.aim.shaken for c in [s.chain] if c]
    known = next((s.chain_known for s in case.aim.shaken if s.chain), False)
    if not chain:
        return
    certificates = [c for c in (x509.read(der) for der in chain[0]) if c is not None]
    if not certificates:
        return
    leaf = certificates[0]
    board.words.update(
        {
            "issuer": leaf.issuer,
            "names": ", ".join(leaf.names) or leaf.subject,
            "not_after": _date(leaf.not_after),
            "not_before": _date(leaf.not_before),
            "san": next((n for n in leaf.names if "*" not in n), leaf.names[0] if leaf.names else leaf.subject),
        }
    )
    board.note(
        Sign.CERT_SEEN, f"the certificate is for {', '.join(leaf.names) or leaf.subject}, issued by {leaf.issuer}"
    )
    if known and len(certificates) == 1 and not leaf.self_issued:
        board.note(Sign.CERT_ALONE, "the server sends its own certificate alone, without an intermediate")
        _issuer(case, board, leaf)


def _issuer(case: Case, board: Board, leaf: x509.Certificate) -> None:
    """Is the leaf's issuer itself one of the CAs that this consumer was given, or that the host trusts?"""
    for sign, text, said in (
        (Sign.ISSUER_GIVEN, case.setting.trust, "it was given"),
        (Sign.ISSUER_HOST, case.scene.host.trust, "the host trusts"),
    ):
        if leaf.issuer_raw in {c.subject_raw for c in certificates_of(text)}:
            board.note(sign, f"its issuer {leaf.issuer} is a CA that {said}")
    if case.setting.trust and Sign.ISSUER_GIVEN not in board.on:
        board.note(
            Sign.ISSUER_NOT_GIVEN, f"its issuer {leaf.issuer} is none of the CAs that {case.setting.consumer} was given"
        )


def certificates_of(pem: str) -> list[x509.Certificate]:
    """Every certificate of a PEM text."""
    found = []
    for block in re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL):
        try:
            certificate = x509.read(ssl.PEM_cert_to_DER_cert(block))
        except ValueError:
            continue
        if certificate is not None:
            found.append(certificate)
    return found


def _runtimes(case: Case, board: Board, *, ok: bool) -> None:
    """Stores that differ: the system's and the runtime's own, where the probe ran in the consumer's own image."""
    if case.seen is None or not case.seen.vantage.startswith("exec"):
        return  # these would be the stores of the probe's image
    by: dict[str, Shaken] = {s.store: s for s in case.aim.shaken}
    tool = case.seen.tool
    system, certifi = by.get("system"), by.get("certifi")
    if (not ok and system is not None and system.ok) or (ok and certifi is not None and not certifi.ok):
        runtime = "Node's bundled roots" if tool.startswith("node") else "certifi"
        board.note(
            Sign.TLS_SYSTEM_OK,
            f"the image's system store trusts it, {runtime} does not, {case.where}",
            trust_variable="NODE_EXTRA_CA_CERTS" if tool.startswith("node") else "SSL_CERT_FILE",
        )


def _date(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else DEFAULTS["not_after"]


def _short(text: str) -> str:
    return " ".join(text.split())[:60]

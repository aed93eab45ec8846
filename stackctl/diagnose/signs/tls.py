"""Signs of TLS: what the handshake said, with which trust store, and what the certificate itself shows."""

from __future__ import annotations

import re
import ssl

from stackctl.diagnose import reply as http
from stackctl.diagnose import x509
from stackctl.diagnose.answers import Shaken
from stackctl.diagnose.signs.board import Board, Case


def read(case: Case, board: Board) -> None:
    """The verdict of the consumer's own store first, then the certificate."""
    if case.told.url is None:
        return
    if case.told.url.scheme == "http":
        _plain(case, board)
        return
    first = next(iter(case.aim.shaken), None)
    if first is None:
        return
    if first.ok:
        board.note("tls.ok")
        _runtimes(case, board, ok=True)
        return
    board.note(
        "tls.bad",
        f"the TLS handshake fails: {first.text or first.error}, {case.where}",
        tls_error=first.text or first.error,
    )
    if first.error == "TIMEOUT":
        board.note("tls.stalls", f"the TLS handshake gets no answer in {first.ms:.0f} ms, {case.where}")
    if first.error != "VERIFY":
        plain = case.aim.ask("plain")
        answer = http.read(plain.raw) if plain else None
        if first.error == "WRONG_VERSION_NUMBER" or (answer and answer.status):
            board.note(
                "tls.not_spoken", f"what answers at {case.host}:{case.port} is no TLS ({first.error}), {case.where}"
            )
        if answer and answer.status:
            board.note(
                "tls.plain_answers", f"a plain GET / on the same port answers {answer.status}: {_short(answer.text)}"
            )
        return
    sign = {
        18: "tls.self_signed",
        19: "tls.unknown_ca",
        20: "tls.unknown_ca",
        21: "tls.unknown_ca",
        2: "tls.unknown_ca",
        10: "tls.expired",
        9: "tls.not_yet",
        62: "tls.name",
        64: "tls.name",
    }.get(first.verify or 0, "tls.refused")
    board.note(sign, f"verification fails ({first.verify}: {first.text}), {case.where}", verify=first.verify)
    _certificate(case, board)
    _runtimes(case, board, ok=False)
    given = [s for s in case.further_aim("trust").shaken if s.store == "given"]
    if given and given[0].ok and not case.told.trust:
        board.note(
            "tls.host_trusts",
            f"with the CA certificates of the host ({case.scene.host.trust_path}) verification succeeds",
            host_store=case.scene.host.trust_path,
        )
    elif given and case.told.trust:
        board.note(
            "tls.trusted_with_ca" if given[0].ok else "tls.untrusted_with_ca",
            f"with the CA given to it, verification {'succeeds' if given[0].ok else 'fails all the same'}",
        )


def _plain(case: Case, board: Board) -> None:
    swapped = case.further_aim("tls")
    shaken = next(iter(swapped.shaken), None)
    if shaken is not None and (shaken.ok or shaken.error == "VERIFY"):
        board.note("plain.tls_answers", f"a TLS handshake on the same port succeeds, {case.where}")


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
        subject=leaf.subject,
        issuer=leaf.issuer,
        names=", ".join(leaf.names) or leaf.subject,
        not_after=leaf.not_after.strftime("%Y-%m-%d %H:%M UTC") if leaf.not_after else "?",
        not_before=leaf.not_before.strftime("%Y-%m-%d %H:%M UTC") if leaf.not_before else "?",
        san=next((n for n in leaf.names if "*" not in n), leaf.names[0] if leaf.names else leaf.subject),
    )
    board.note("cert.seen", f"the certificate is for {', '.join(leaf.names) or leaf.subject}, issued by {leaf.issuer}")
    if known and len(certificates) == 1 and not leaf.self_issued:
        board.note("cert.alone", "the server sends its own certificate alone, without an intermediate")
        _issuer(case, board, leaf)


def _issuer(case: Case, board: Board, leaf: x509.Certificate) -> None:
    """Is the leaf's issuer itself one of the CAs that this consumer was given, or that the host trusts?"""
    for label, text in (("given", case.told.trust), ("host", case.scene.host.trust)):
        subjects = {c.subject_raw for c in certificates_of(text)}
        if leaf.issuer_raw in subjects:
            board.note(
                f"issuer.{label}",
                f"its issuer {leaf.issuer} is a CA that {'it was given' if label == 'given' else 'the host trusts'}",
            )
    if case.told.trust and "issuer.given" not in board.on:
        board.note(
            "issuer.not_given", f"its issuer {leaf.issuer} is none of the CAs that {case.told.consumer} was given"
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
    """Stores that differ: the system's and the runtime's own."""
    by: dict[str, Shaken] = {s.store: s for s in case.aim.shaken}
    tool = case.seen.tool if case.seen else ""
    system, certifi = by.get("system"), by.get("certifi")
    if (not ok and system is not None and system.ok) or (ok and certifi is not None and not certifi.ok):
        runtime = "Node's bundled roots" if tool.startswith("node") else "certifi"
        board.note(
            "tls.system_ok",
            f"the image's system store trusts it, {runtime} does not, {case.where}",
            runtime=runtime,
            trust_variable="NODE_EXTRA_CA_CERTS" if tool.startswith("node") else "SSL_CERT_FILE",
        )


def _short(text: str) -> str:
    return " ".join(text.split())[:60]

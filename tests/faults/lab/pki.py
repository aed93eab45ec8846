"""The lab's certificates: a CA, an intermediate, and leaves with one thing wrong each. Made with openssl."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.lab.shell import run
from tests.faults.lab.world import SERVER

_CONFIG = """\
[ca]
default_ca = own
[own]
new_certs_dir = {room}
database = {room}/index.txt
serial = {room}/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = none
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


def make(room: Path) -> Path:
    """Every certificate as PEM files in ``room``; ``bundle.pem`` is a trust store with the CA in it."""
    room.mkdir(parents=True, exist_ok=True)
    (room / "index.txt").write_text("")
    (room / "serial").write_text("1000\n")
    (room / "openssl.cnf").write_text(_CONFIG.format(room=room))
    _authority(room, "ca", "Lab Root CA", None)
    _authority(room, "sub", "Lab Issuing CA", "ca")
    now = datetime.now(UTC)
    names = f"DNS:gpu.lan,IP:{SERVER}"
    for name, issuer, san, start, end in (
        ("leaf", "sub", names, -1, 30),
        ("direct", "ca", "DNS:gpu.lan", -1, 30),
        ("public", "ca", names, -1, 30),
        ("othername", "ca", "DNS:other.lan", -1, 30),
        ("expired", "ca", names, -30, -1),
        ("future", "ca", names, 5, 30),
    ):
        _leaf(room, name, issuer, san, now + timedelta(days=start), now + timedelta(days=end))
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{room}/self.key",
        "-out",
        f"{room}/self.pem",
        "-days",
        "30",
        "-subj",
        "/CN=gpu.lan",
        "-addext",
        f"subjectAltName={names}",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    )
    (room / "full.pem").write_text((room / "leaf.pem").read_text() + (room / "sub.pem").read_text())
    (room / "bundle.pem").write_text((room / "ca.pem").read_text())
    return room


def _authority(room: Path, name: str, subject: str, issuer: str | None) -> None:
    run(
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{room}/{name}.key",
        "-out",
        f"{room}/{name}.csr",
        "-subj",
        f"/CN={subject}",
        "-config",
        f"{room}/openssl.cnf",
    )
    signer = (
        ["-selfsign", "-keyfile", f"{room}/{name}.key"]
        if issuer is None
        else ["-cert", f"{room}/{issuer}.pem", "-keyfile", f"{room}/{issuer}.key"]
    )
    run(
        "openssl",
        "ca",
        "-batch",
        "-notext",
        "-config",
        f"{room}/openssl.cnf",
        *signer,
        "-in",
        f"{room}/{name}.csr",
        "-out",
        f"{room}/{name}.pem",
        "-days",
        "60",
        "-extensions",
        "authority",
    )


def _leaf(room: Path, name: str, issuer: str, san: str, start: datetime, end: datetime) -> None:
    run(
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{room}/{name}.key",
        "-out",
        f"{room}/{name}.csr",
        "-subj",
        "/CN=lab server",
        "-addext",
        f"subjectAltName={san}",
        "-config",
        f"{room}/openssl.cnf",
    )
    run(
        "openssl",
        "ca",
        "-batch",
        "-notext",
        "-config",
        f"{room}/openssl.cnf",
        "-cert",
        f"{room}/{issuer}.pem",
        "-keyfile",
        f"{room}/{issuer}.key",
        "-in",
        f"{room}/{name}.csr",
        "-out",
        f"{room}/{name}.pem",
        "-startdate",
        start.strftime("%Y%m%d%H%M%SZ"),
        "-enddate",
        end.strftime("%Y%m%d%H%M%SZ"),
    )

"""What the user trusts, in the user's state directory and never in a project; and the key that signs journals."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from stackctl.adapters.files import LocalFiles
from stackctl.errors import StackctlError, WrongInput

LIMIT = 64 << 10


class TrustStore:
    """Records in ``$XDG_STATE_HOME/stackctl/trust``, or below ``~/.local/state``.

    Behind :class:`stackctl.commands.context.session.Trust`.

    A record is named after the real path of the ``stackctl.yaml`` that it is
    about, and holds the digest of the text that the user trusted.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables, self._files = variables, LocalFiles()

    def trusted(self, path: Path, digest: str) -> bool:
        """Whether the user has trusted this very text of the file."""
        try:
            data = self._files.read(self._record(path), limit=LIMIT)
            record = json.loads(data or b"{}")
        except (WrongInput, ValueError, RecursionError):
            return False
        return isinstance(record, dict) and record.get("digest") == digest

    def add(self, path: Path, digest: str) -> None:
        """Trust this text, and no longer an earlier one."""
        record = {"path": str(path.resolve()), "digest": digest}
        self._files.write(self._record(path), json.dumps(record).encode() + b"\n")

    def revoke(self, path: Path) -> bool:
        """Trust the file no longer; returns whether it was trusted."""
        record = self._record(path)
        there = self._files.read(record, limit=0) is not None
        self._files.remove(record)
        return there

    def sign(self, text: str) -> str:
        """An HMAC with a key of this user's; empty where there is no place to keep one."""
        try:
            key = self._files.read(self._home() / "key", limit=LIMIT)
            if not key:
                key = secrets.token_hex(32).encode()
                self._files.write(self._home() / "key", key)
        except StackctlError:
            return ""
        return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether the signature is that of this user and this text."""
        own = self.sign(text)
        return bool(own) and hmac.compare_digest(own.encode(), signature.encode("utf-8", "replace"))

    def leads_outside(self, path: Path, directory: Path) -> bool:
        """Whether ``path``, its links followed, is anywhere but in ``directory``."""
        try:
            return not path.resolve().is_relative_to(directory.resolve())
        except (OSError, RuntimeError, ValueError):  # a circle of links, a name that no path may have
            return True

    def _record(self, path: Path) -> Path:
        name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
        return self._home() / "trust" / f"{name}.json"

    def _home(self) -> Path:
        # A relative XDG_STATE_HOME counts as none (XDG Base Directory Specification 0.8).
        named = Path(self._variables.get("XDG_STATE_HOME") or "")
        home = named if named.is_absolute() else Path(self._variables.get("HOME") or Path.home()) / ".local" / "state"
        return home / "stackctl"

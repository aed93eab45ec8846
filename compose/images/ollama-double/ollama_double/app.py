"""What every handler shares: the settings, the faults, the store, the runners, the downloads."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ollama_double import VERSION, gojson
from ollama_double.godata import quote
from ollama_double.net.web import ApiError, Request
from ollama_double.store import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ollama_double.faults import Faults
    from ollama_double.runners.scheduler import Scheduler
    from ollama_double.settings import Settings
    from ollama_double.store.catalogue import Entry
    from ollama_double.store.disk import Model, Store
    from ollama_double.store.pull import Downloads

_NO_HOST = "dial tcp: lookup ollama.com: no such host"


@dataclass
class App:
    """One double."""

    settings: Settings
    faults: Faults
    store: Store
    catalogue: dict[str, Entry]
    scheduler: Scheduler
    downloads: Downloads
    name: str
    dice: Random
    journal: list[dict[str, Any]] = field(default_factory=list)
    active: int = 0
    served: int = 0

    @property
    def version(self) -> str:
        """The version that it claims to be."""
        return self.faults.version or VERSION

    def at_least(self, *release: int) -> bool:
        """Say whether the version that it claims is that release or a later one."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3]) >= release

    async def body(self, request: Request, shape: gojson.Struct) -> dict[str, Any]:
        """Decode the request's JSON body, or raise the real server's 400."""
        try:
            return gojson.decode(await request.body.read(), shape)
        except gojson.NoBodyError:
            raise ApiError(400, "missing request body") from None
        except gojson.BadJSONError as error:
            raise ApiError(400, str(error)) from None

    def find(self, sent: str, missing: str, *, remote_what: str = "model is unavailable", call: str = "") -> Model:
        """Return the stored model that `sent` names; `missing` is the 404 text.

        A cloud name ends here: this server has no way to ollama.com.
        """
        reference = refer(sent)
        if not reference.name.valid:
            raise ApiError(400, "invalid model name")
        if reference.source is names.Source.CLOUD:
            raise self.cloud_error(remote_what, call)
        model = self.store.find(reference.name)
        if model is None or (reference.source is names.Source.LOCAL and model.remote):
            raise ApiError(404, missing)
        return model

    def cloud_switches(self) -> tuple[bool, bool]:
        """Say whether the cloud is switched off by the environment, and by `~/.ollama/server.json`."""
        try:
            value = json.loads((self.settings.home / ".ollama" / "server.json").read_text())
            config = bool(value.get("disable_ollama_cloud"))
        except (OSError, ValueError, AttributeError):
            config = False
        return self.settings.no_cloud, config

    def cloud_error(self, what: str, path: str) -> ApiError:
        """Return what a call that needs ollama.com ends with."""
        error = self._cloud_error(what, path)
        error.plain = True
        return error

    def _cloud_error(self, what: str, path: str) -> ApiError:
        if any(self.cloud_switches()):
            return ApiError(403, f"ollama cloud is disabled: remote {what}")
        if self.faults.cloud == "signed-out":
            url = f"https://ollama.com/connect?name={self.name}&key=none"
            return ApiError(401, "unauthorized", signin_url=url)
        return ApiError(502, f"Post {quote(f'https://ollama.com:443{path}')}: {_NO_HOST}")

    def check_remote(self, model: Model, path: str) -> None:
        """Refuse a stub as the real server does: host not allowed, cloud off, or out of reach."""
        if model.remote is None:
            return
        host = urlsplit(model.remote[0]).hostname or ""
        if host not in self.settings.remotes:
            raise ApiError(400, "this server cannot run this remote model")
        error = self.cloud_error("model is unavailable", path)
        if error.status == 502:
            error = ApiError(500, error.message, "application/x-ndjson")
        raise error


def refer(sent: str) -> names.Reference:
    """Read a model reference, or raise the 400 for one with both marks."""
    try:
        return names.reference(sent)
    except names.ConflictError as error:
        raise ApiError(400, str(error)) from None


def own_name(env: Mapping[str, str] | None = None) -> str:
    """Return the double's name: OLLAMA_DOUBLE_NAME, else the machine's."""
    return (os.environ if env is None else env).get("OLLAMA_DOUBLE_NAME") or socket.gethostname()

"""Where models come from: the double's own registry, in-process, or a real one over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from ollama_double.godata import quote
from ollama_double.net import fetch as httpget
from ollama_double.store import bundle
from ollama_double.store.names import DEFAULT_HOST, DEFAULT_NAMESPACE, Name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.faults import Faults
    from ollama_double.settings import Settings
    from ollama_double.store.catalogue import Entry

_CHUNK = 1 << 16
_NEWER = (
    "The model you are attempting to pull requires a newer version of Ollama.\n\n"
    "Please download the latest version at:\n\n\thttps://ollama.com/download\n"
)
_NETWORK = {
    "dns": "dial tcp: lookup registry.ollama.ai on 127.0.0.11:53: no such host",
    "refused": "dial tcp 104.21.75.227:443: connect: connection refused",
    "timeout": "dial tcp 104.21.75.227:443: i/o timeout",
    "unreachable": "dial tcp 104.21.75.227:443: connect: network is unreachable",
    "tls": "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    "proxy": "proxyconnect tcp: dial tcp 127.0.0.1:7890: connect: connection refused",
}
_SAID = {
    "html": "invalid character '<' looking for beginning of value",
    "401": "unauthorized: access denied",
    "key": "ssh: no key found",
}
_BODIES = {"412": _NEWER, "429": "too many requests", "500": "internal server error"}


class PullError(Exception):
    """A pull fails with this text."""


class LostError(PullError):
    """A download broke off in a way that another try may mend."""


class Source(Protocol):
    """A registry, seen for one model."""

    async def manifest(self) -> bytes:
        """Return the manifest; PullError says why not."""

    def read(self, digest: str, offset: int, total: int) -> AsyncIterator[bytes]:
        """Yield a blob from `offset`; PullError says why it stops."""


def manifest_url(name: Name, scheme: str) -> str:
    """Return the URL of a manifest."""
    return f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"


class OwnRegistry:
    """The double's own registry: the catalogue, at the pace and with the faults that it is told."""

    def __init__(self, name: Name, catalogue: dict[str, Entry], faults: Faults, settings: Settings) -> None:
        self._name = name
        self._catalogue = catalogue
        self._faults = faults
        self._settings = settings
        self._bundle: bundle.Bundle | None = None

    async def manifest(self) -> bytes:
        """Return the manifest of a catalogue entry."""
        await self._reach()
        entry = None
        if self._name.namespace == DEFAULT_NAMESPACE:
            entry = self._catalogue.get(f"{self._name.model}:{self._name.tag}".lower())
        if entry is None:
            raise PullError("pull model manifest: file does not exist")
        self._bundle = await asyncio.to_thread(bundle.build, entry)
        return self._bundle.manifest

    async def _reach(self) -> None:
        kind = self._faults.registry
        prefix = f"Get {quote(manifest_url(self._name, 'https'))}: "
        key = self._settings.home / ".ollama" / "id_ed25519"
        if key.is_file() and key.stat().st_size == 0:
            kind = "key"
        if kind in _NETWORK:
            raise PullError(f"pull model manifest: {prefix}{_NETWORK[kind]}")
        if kind in _SAID:
            raise PullError(f"pull model manifest: {_SAID[kind]}")
        if kind in _BODIES:
            raise PullError(f"pull model manifest: {kind}: {self._faults.registry_body or _BODIES[kind]}")
        await self._through_proxy(prefix)

    async def _through_proxy(self, prefix: str) -> None:
        # The real server goes to the registry through HTTPS_PROXY; a proxy that refuses is seen here too.
        proxy = self._settings.proxies.get("HTTPS_PROXY", "")
        exempt = [part.strip().lstrip(".") for part in self._settings.proxies.get("NO_PROXY", "").split(",")]
        if not proxy or any(part == "*" or (part and DEFAULT_HOST.endswith(part)) for part in exempt):
            return
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        url = f"{parts.scheme}://{parts.hostname}:{parts.port or 80}"
        try:
            answer = await httpget.request("CONNECT", f"{url}/{DEFAULT_HOST}:443")
        except httpget.FetchError as error:
            raise PullError(f"pull model manifest: {prefix}proxyconnect tcp: {str(error).split(': ', 1)[1]}") from None
        answer.close()
        if answer.status != 200:
            raise PullError(f"pull model manifest: {prefix}{answer.status}")

    async def read(self, digest: str, offset: int, total: int) -> AsyncIterator[bytes]:
        """Yield the blob's bytes at the pace of `pull_bytes_per_second`."""
        if self._bundle is None:
            await self.manifest()
        blob = self._bundle.blobs[digest]  # type: ignore[union-attr]
        loop, begun, sent = asyncio.get_running_loop(), asyncio.get_running_loop().time(), 0
        big = total >= 1 << 16
        while offset < blob.size:
            faults = self._faults
            if big and 0 <= faults.pull_cut_after <= offset:
                raise PullError("max retries exceeded: unexpected EOF")
            if big and 0 <= faults.pull_stall_after <= offset:
                await asyncio.sleep(0.1)
                begun, sent = loop.time(), 0
                continue
            piece = blob.read(offset, _CHUNK)
            offset += len(piece)
            sent += len(piece)
            if faults.pull_corrupt and offset >= blob.size:
                piece = piece[:-1] + bytes([piece[-1] ^ 0xFF])
            yield piece
            rate = faults.pull_bytes_per_second
            await asyncio.sleep(max(0.0, begun + sent / rate - loop.time()) if rate > 0 else 0)


class HttpRegistry:
    """A real registry: bearer token on 401, blobs by a 307 to another host, ranges to resume."""

    def __init__(self, name: Name, *, insecure: bool) -> None:
        self._name = name
        self._base = f"{'http' if insecure else 'https'}://{name.host}/v2/{name.namespace}/{name.model}"
        self._token: str | None = None

    def _headers(self, **more: str) -> dict[str, str]:
        return more | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    async def _call(self, method: str, url: str) -> httpget.Answer:
        headers = self._headers(Accept=bundle.MANIFEST)
        answer = await httpget.request(method, url, headers)
        if answer.status == 401 and self._token is None:
            await self._login(answer.headers.get("www-authenticate", ""))
            answer.close()
            answer = await httpget.request(method, url, self._headers(Accept=bundle.MANIFEST))
        if answer.status == 401:
            answer.close()
            raise PullError("unauthorized: access denied")
        return answer

    async def _login(self, challenge: str) -> None:
        _, _, rest = challenge.partition(" ")
        pairs = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        values = {key.lower(): value.strip('"') for key, value in pairs.items()}
        realm = values.get("realm", "")
        wanted = urlsplit(realm).netloc
        if not realm.startswith("http"):
            raise PullError("unauthorized: access denied")
        if wanted != self._name.host:
            raise PullError(f"realm host {quote(wanted)} does not match original host {quote(self._name.host)}")
        query = "&".join(f"{key}={values[key]}" for key in ("service", "scope") if key in values)
        answer = await httpget.request("GET", f"{realm}?{query}" if query else realm)
        body = await answer.read()
        if answer.status != 200:
            raise PullError("unauthorized: access denied")
        value: dict[str, Any] = json.loads(body)
        self._token = str(value.get("token") or value.get("access_token") or "")

    async def manifest(self) -> bytes:
        """Return the manifest as the registry has it."""
        try:
            answer = await self._call("GET", f"{self._base}/manifests/{self._name.tag}")
            body = await answer.read()
        except (httpget.FetchError, PullError) as error:
            raise PullError(f"pull model manifest: {error}") from None
        if answer.status == 404:
            raise PullError("pull model manifest: file does not exist")
        if answer.status >= 400:
            raise PullError(f"pull model manifest: {answer.status}: {body.decode('utf-8', 'replace')}")
        try:
            value = json.loads(body)
            [layer["digest"] for layer in [*value["layers"], value["config"]]]
        except (ValueError, KeyError, TypeError):
            first = body[:1].decode("utf-8", "replace")
            raise PullError(
                f"pull model manifest: invalid character '{first}' looking for beginning of value"
            ) from None
        return body

    async def read(self, digest: str, offset: int, total: int) -> AsyncIterator[bytes]:
        """Yield the blob, from where the registry redirects to, starting at `offset`."""
        try:
            where = await self._location(digest)
            headers = {"Range": f"bytes={offset}-{total - 1}"}
            answer = await httpget.request("GET", where, headers)
            if answer.status >= 400:
                answer.close()
                raise LostError(f"max retries exceeded: {answer.status}")
            skip = offset if answer.status == 200 else 0
            try:
                async for piece in answer.chunks():
                    kept, skip = piece[skip:], max(0, skip - len(piece))
                    if kept:
                        yield kept
            finally:
                answer.close()
        except httpget.FetchError as error:
            raise LostError(f"max retries exceeded: {error}") from None

    async def _location(self, digest: str) -> str:
        url = f"{self._base}/blobs/{digest}"
        answer = await self._call("GET", url)
        answer.close()
        if answer.status == 307:
            where = answer.headers.get("location", "")
            if where:
                return where if "://" in where else f"{urlsplit(url).scheme}://{urlsplit(url).netloc}{where}"
        elif answer.status >= 300:
            raise PullError(f"unexpected status code {answer.status}")
        raise PullError("http: no Location header in response")


def source(name: Name, catalogue: dict[str, Entry], faults: Faults, settings: Settings, *, insecure: bool) -> Source:
    """Return the registry that `name` belongs to."""
    if name.host == DEFAULT_HOST:
        return OwnRegistry(name, catalogue, faults, settings)
    return HttpRegistry(name, insecure=insecure)

"""Pushing a model to a registry over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from ollama_double.net import fetch as httpget
from ollama_double.store import bundle
from ollama_double.store.pull import layers_of
from ollama_double.store.registry import PullError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ollama_double.store.disk import Model
    from ollama_double.store.names import Name

DENIED = "you are not authorized to push to this namespace, create the model under a namespace you own"


async def send(model: Model, name: Name, *, insecure: bool) -> AsyncIterator[dict[str, Any]]:
    """Upload blobs that the registry lacks, then the manifest, yielding lines of progress."""
    base = f"{'http' if insecure else 'https'}://{name.host}/v2/{name.namespace}/{name.model}"
    manifest = (model.store.manifests / model.name.path).read_bytes()
    try:
        for layer in layers_of(manifest):
            digest, total = layer["digest"], layer["size"]
            line = {"status": f"pushing {digest[7:19]}", "digest": digest, "total": total}
            yield line
            known = await httpget.request("HEAD", f"{base}/blobs/{digest}")
            known.close()
            if known.status != 200:
                await _upload(base, digest, model.store.blob(digest).read_bytes())
            yield line | {"completed": total}
        yield {"status": "pushing manifest"}
        answer = await httpget.request(
            "PUT", f"{base}/manifests/{name.tag}", {"Content-Type": bundle.MANIFEST}, manifest
        )
        await _accepted(answer)
    except httpget.FetchError as error:
        raise PullError(str(error)) from None


async def _upload(base: str, digest: str, data: bytes) -> None:
    begun = await httpget.request("POST", f"{base}/blobs/uploads/")
    await _accepted(begun)
    where = urljoin(f"{base}/blobs/uploads/", begun.headers.get("location", ""))
    mark = "&" if "?" in where else "?"
    headers = {"Content-Type": "application/octet-stream"}
    await _accepted(await httpget.request("PUT", f"{where}{mark}digest={digest}", headers, data))


async def _accepted(answer: httpget.Answer) -> None:
    body = await answer.read()
    if answer.status == 401:
        raise PullError("unauthorized: access denied")
    if answer.status >= 400:
        raise PullError(f"{answer.status}: {body.decode('utf-8', 'replace')}")

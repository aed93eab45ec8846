"""``stackctl models backup|restore``: the local Ollama's models to a file and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from stackctl.commands.context.session import Session
from stackctl.commands.context.state_directory import workspace
from stackctl.commands.servers.known_servers import Inventory, gather
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama import model_names
from stackctl.ollama.backup.contents import Contents
from stackctl.ollama.backup.frames import TRAILER_SIZE, Buffer, check_trailer
from stackctl.ollama.backup.location import StoreLocation
from stackctl.ollama.backup.pack import pack
from stackctl.ollama.backup.unpack import Sink, Source, peek, unpack
from stackctl.ollama.text import human_bytes, rfc3339
from stackctl.outcome import Block, Line, Outcome, Table
from stackctl.ports import Container, Progress
from stackctl.project.compose import ComposeProject
from stackctl.project.localollama import DEFAULT_VOLUME, STORE

DEFAULT_IMAGE = "ollama/ollama:0.33.0"
_REPORT_EVERY = 0.2
"""Seconds."""


class Store(Protocol):
    """A model store, read and written as a tar stream."""

    def reading(self) -> AbstractContextManager[Callable[[memoryview], int]]:
        """Read it, ``manifests`` first."""

    def writing(self) -> AbstractContextManager[Sink]:
        """Write it; the store changes only once the end mark of the stream has arrived."""


class BackupFiles(Protocol):
    """Backup files of this machine."""

    def writing(self, path: Path) -> AbstractContextManager[Callable[[Sequence[Buffer]], None]]:
        """A new file, which appears only once it is complete."""

    def reading(self, path: Path) -> AbstractContextManager[Source]:
        """Open one for reading."""

    def tail(self, path: Path, count: int) -> bytes:
        """Its last bytes."""


Open = Callable[[StoreLocation], Store]


def backup(
    session: Session, path: Path, models: Sequence[str], open_store: Open, files: BackupFiles, *, yes: bool
) -> Outcome:
    """All models, or those named, into a file. Raises ``ExpectedFailure``, and then leaves no file."""
    inventory = gather(session)
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint=f"stackctl models backup {path}/models.tar.zst")
    if path.exists() and not yes and not session.reporter.ask(f"{path} exists. Replace it?"):
        raise UsageError(f"{path} exists", hint="add --yes to replace it")
    location = locate_store(session, inventory)
    begun = session.clock()
    # The order matters: the file gets its name only after the container that reads the store has succeeded.
    with (
        session.reporter.step(f"backing up the models to {path}"),
        files.writing(path) as write,
        open_store(location).reading() as read_into,
    ):
        contents = pack(read_into, write, wanted=models, created=rfc3339(begun), mtime=int(begun), say=_Meter(session))
    size = path.stat().st_size
    seconds = max(session.clock() - begun, 0.001)
    text = (
        f"{len(contents.models)} models, {human_bytes(contents.size)} in {path} ({human_bytes(size)}), {seconds:.1f} s"
    )
    blocks: list[Block] = [Line(text, "ok"), _table(contents)]
    return Outcome(
        "stackctl.models-backup/1",
        {"file": str(path), "size": size, "seconds": round(seconds, 2), **_document(contents)},
        blocks,
        [f"stackctl models restore {path}"],
    )


def restore(session: Session, path: Path, open_store: Open, files: BackupFiles) -> Outcome:
    """A backup into the local Ollama, running or not. Raises ``Damaged``, and then the store is as it was."""
    inventory = gather(session)
    contents_of(path, files)
    location = locate_store(session, inventory, make=True)
    begun = session.clock()
    with (
        workspace(session, f"models restore {path.name}"),
        session.reporter.step(f"restoring the models from {path}"),
        files.reading(path) as file,
        open_store(location).writing() as store,
    ):
        contents = unpack(file, store, say=_Meter(session))
    seconds = max(session.clock() - begun, 0.001)
    blocks: list[Block] = [
        Line(f"{len(contents.models)} models, {human_bytes(contents.size)} restored in {seconds:.1f} s", "ok"),
        _table(contents),
    ]
    seen = _seen(inventory, contents)
    if seen is not None:
        lacking = [name for name in contents.models if not seen(name)]
        if lacking:
            raise ExpectedFailure(
                f"restored, but the server does not list {', '.join(lacking)}", hint="stackctl logs ollama"
            )
        blocks.append(Line("the running Ollama lists them all", "dim"))
    data = {"file": str(path), "seconds": round(seconds, 2), "verified": seen is not None, **_document(contents)}
    next_steps = ["stackctl models list -i local"] if seen is not None else ["stackctl up local"]
    return Outcome("stackctl.models-restore/1", data, blocks, next_steps)


def contents_of(path: Path, files: BackupFiles) -> Outcome:
    """List what a backup holds, from its manifest; its payload is not read. Raises ``Damaged``."""
    with files.reading(path) as file:
        check_trailer(files.tail(path, TRAILER_SIZE), file.size)
        contents, size = peek(file), file.size
    blocks: list[Block] = [Line(f"{path}: made {contents.created}, {human_bytes(contents.size)}"), _table(contents)]
    return Outcome("stackctl.models-backup/1", {"file": str(path), "size": size, **_document(contents)}, blocks)


def _table(contents: Contents) -> Table:
    return Table(["model", "digest"], [[name, digest[:12]] for name, digest in contents.models.items()])


def _document(contents: Contents) -> dict[str, Any]:
    models = [{"name": name, "digest": digest} for name, digest in contents.models.items()]
    return {"created": contents.created, "bytes": contents.size, "models": models, "files": len(contents.files)}


def _seen(inventory: Inventory, contents: Contents) -> Callable[[str], bool] | None:
    """Whether the running server lists a model as it is in the backup; None where none runs."""
    if inventory.local is None:
        return None
    try:
        with inventory.connect(inventory.server("local")) as client:
            listed = {model_names.key(model.name): model.digest for model in client.tags()}
    except StackctlError:
        return None
    return lambda name: listed.get(model_names.key(name)) == contents.models[name]


class _Meter:
    """Reports progress and speed, a few times a second."""

    def __init__(self, session: Session) -> None:
        self._session, self._reported, self._begun = session, 0.0, session.clock()

    def __call__(self, done: int, total: int) -> None:
        now = self._session.clock()
        if now - self._reported < _REPORT_EVERY:
            return
        self._reported = now
        rate = done / max(now - self._begun, 0.001)
        label = f"{human_bytes(done)} of {human_bytes(total)}, {human_bytes(rate)}/s"
        self._session.reporter.progress(Progress(label, done, total, "bytes"))


# -- where the store is ----------------------------------------------------


def locate_store(session: Session, inventory: Inventory, *, make: bool = False) -> StoreLocation:
    """The store of the stack's own Ollama: that of its container, or the volume that the first ``up`` will use.

    Where that volume does not exist, ``make`` creates it; otherwise ``ExpectedFailure`` is raised.
    """
    service = inventory.stack.config.local.service
    found = [c for c in inventory.containers() if c.service == service]
    if found:
        return _of_container(found[0])
    return _of_project(session, inventory, service, make=make)


def _store_path(environment: dict[str, str]) -> str:
    own = environment.get("OLLAMA_MODELS", "").strip(" \"'")
    return own or f"{environment.get('HOME') or '/root'}/.ollama/models"


def _of_container(container: Container) -> StoreLocation:
    path = _store_path(container.environment)
    mounts = [str(mount.get("Destination") or "") for mount in container.raw.get("Mounts") or []]
    if not any(path == m or path.startswith(m.rstrip("/") + "/") for m in mounts if m):
        raise ExpectedFailure(
            f"the models of {container.service} are in no volume ({path} is in the container's own layer)",
            hint=f"mount a volume on {path} first",
        )
    image = str(container.raw.get("Image") or (container.raw.get("Config") or {}).get("Image") or "")
    return StoreLocation(("--volumes-from", container.id), path, image)


def _of_project(session: Session, inventory: Inventory, service: str, *, make: bool) -> StoreLocation:
    project, stack = inventory.project()
    local, own = stack.config.local, project.services.get(service)
    environment = {k: v or "" for k, v in own.environment.items()} if own else {}
    path = _store_path(environment)
    source, target = local.volume or DEFAULT_VOLUME, STORE
    for mount in own.volumes if own else []:
        inside = str(mount.get("target") or "")
        if path == inside or path.startswith(inside.rstrip("/") + "/"):
            source, target = str(mount.get("source") or ""), inside
    if not source:
        raise ExpectedFailure(f"the models of {service} would be in no volume", hint="set `local: {volume: NAME}`")
    mounted = source if source.startswith("/") else _volume(session, project, source, make=make)
    images = [local.image, own.image if own else None, DEFAULT_IMAGE]
    image = next((i for i in images if i and session.engine.image(i) is not None), None)
    if image is None:
        wanted = next(i for i in images if i)
        raise ExpectedFailure(f"the image {wanted} is not on the engine yet", hint=f"docker pull {wanted}")
    return StoreLocation(("--volume", f"{mounted}:{target}"), path, image)


def _volume(session: Session, project: ComposeProject, source: str, *, make: bool) -> str:
    """The engine's name of a volume; with ``make`` it is created as Compose would create it."""
    name = str(project.volumes.get(source, {}).get("name") or f"{project.name}_{source}")
    if session.engine.volume(name) is None:
        if not make:
            raise ExpectedFailure(
                f"the local Ollama has no models yet: there is no volume {name}", hint="stackctl up local"
            )
        labels = {"com.docker.compose.project": project.name, "com.docker.compose.volume": source}
        session.engine.create_volume(name, labels=labels)
    return name

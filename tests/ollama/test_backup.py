"""Backups: what comes back is what went in, and no changed or missing byte passes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from stackctl.adapters import backupfile
from stackctl.errors import ExpectedFailure, StackctlError, UsageError
from stackctl.ollama.backup import tarstream
from stackctl.ollama.backup.contents import COMPLETE, MANIFEST, Contents, File
from stackctl.ollama.backup.frames import (
    BLOCK,
    CHUNK,
    TRAILER_SIZE,
    Damaged,
    FrameWriter,
    Raw,
    check_trailer,
    read_frames,
)
from stackctl.ollama.backup.pack import pack
from stackctl.ollama.backup.unpack import TAIL, peek, unpack


def blob(store: dict[str, bytes], data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    store[f"blobs/sha256-{digest}"] = data
    return {"digest": f"sha256:{digest}", "size": len(data)}


def made(*models: tuple[str, list[bytes]]) -> dict[str, bytes]:
    store: dict[str, bytes] = {}
    for name, layers in models:
        document = {"config": blob(store, name.encode()), "layers": [blob(store, data) for data in layers]}
        store[f"manifests/{name}"] = json.dumps(document).encode()
    return dict(sorted(store.items(), key=lambda item: item[0].startswith("blobs/")))


LONG = f"hf.co/{'u' * 70}/{'m' * 70}/Q4"
NOISE = random.Random(1).randbytes(3 * CHUNK + 12345)
STORE = made(
    ("registry.ollama.ai/library/a/latest", [NOISE, b"text " * 400_000, b""]),
    ("registry.ollama.ai/me/b/7b", [NOISE, b"small"]),
    (LONG, [os.urandom(700)]),
)


def tar(store: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for folder in ("manifests", "blobs"):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name, data in store.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def reader(data: bytes, at_most: int = 1 << 30) -> Callable[[memoryview], int]:
    stream = io.BytesIO(data)

    def read_into(view: memoryview) -> int:
        return stream.readinto(view[:at_most])

    return read_into


def packed(store: dict[str, bytes], *wanted: str, form: int = tarfile.GNU_FORMAT, at_most: int = 1 << 30) -> bytes:
    out = io.BytesIO()
    pack(
        reader(tar(store, form), at_most), out.writelines, wanted=wanted, created="now", mtime=1,
        say=lambda _done, _total: None,
    )  # fmt: skip
    return out.getvalue()


@contextmanager
def opened(data: bytes) -> Iterator[backupfile.Reading]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "b"
        path.write_bytes(data)
        with backupfile.reading(path) as file:
            yield file


class Sink(io.BytesIO):
    """A tar stream in memory; what is moved is read from the file at once."""

    moved = 0

    def move(self, handle: int, at: int, count: int) -> int:
        data = os.pread(handle, min(count, 50_000), at)
        self.moved += len(data)
        return self.write(data)


def unpacked(data: bytes) -> tuple[Contents, dict[str, bytes]]:
    check_trailer(data[-TRAILER_SIZE:], len(data))
    out = Sink()
    with opened(data) as file:
        contents = unpack(file, out, say=lambda _done, _total: None)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
    return contents, files


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("at_most", [1000, 65536, 1 << 30])
def test_there_and_back(form: int, at_most: int) -> None:
    contents, files = unpacked(packed(STORE, form=form, at_most=at_most))
    assert files.pop(COMPLETE) == b""
    assert files == STORE
    assert sorted(contents.models) == ["a:latest", LONG.replace("/Q4", ":Q4"), "me/b:7b"]


def test_one_model_takes_its_blobs_only() -> None:
    _, files = unpacked(packed(STORE, "me/b:7b"))
    assert len(files) == 1 + 1 + 3
    with pytest.raises(UsageError, match="no model c"):
        packed(STORE, "c")


def test_what_does_not_compress_is_not_blown_up_and_what_does_is_small() -> None:
    assert len(packed(made(("h/n/m/t", [NOISE])))) < len(NOISE) * 1.001 + 2000
    assert len(packed(made(("h/n/m/t", [b"text " * 400_000])))) < 20_000


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd program to show that it reads the file")
def test_any_zstd_reads_it(tmp_path: Path) -> None:
    (tmp_path / "b.tar.zst").write_bytes(packed(STORE))
    plain = subprocess.run(["zstd", "-dc", tmp_path / "b.tar.zst"], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert set(STORE) < set(archive.getnames())


def test_partial_and_orphaned_blobs_stay_out() -> None:
    extra = {**STORE, "blobs/sha256-" + "0" * 64: b"orphan", "blobs/sha256-" + "1" * 64 + "-partial": b"half"}
    assert unpacked(packed(extra))[1].keys() == unpacked(packed(STORE))[1].keys()


@pytest.mark.parametrize("what", ["missing", "short", "changed"])
def test_a_store_that_is_damaged_makes_no_backup(what: str) -> None:
    store = dict(STORE)
    path = next(p for p, data in store.items() if data == NOISE)
    if what == "missing":
        del store[path]
    else:
        store[path] = NOISE[:-1] if what == "short" else b"x" + NOISE[1:]
    with pytest.raises(ExpectedFailure):
        packed(store)


def test_no_changed_byte_passes() -> None:
    small = made(("h/n/m/t", [random.Random(2).randbytes(70_000), b"z" * 3000]))
    data = packed(small)
    rng = random.Random(3)
    places = [*range(400), *range(len(data) - 1200, len(data)), *(rng.randrange(len(data)) for _ in range(600))]
    for place in places:
        bad = bytearray(data)
        bad[place] ^= 1 << rng.randrange(8)
        with pytest.raises(StackctlError):
            unpacked(bytes(bad))


def test_no_cut_and_no_addition_passes() -> None:
    data = packed(made(("h/n/m/t", [random.Random(2).randbytes(70_000)])))
    for size in [0, 1, 31, TRAILER_SIZE, len(data) // 2, len(data) - TRAILER_SIZE, len(data) - 1]:
        with pytest.raises(StackctlError):
            unpacked(data[:size])
    for more in (b"\0", data, data[-TRAILER_SIZE:], bytes(4096)):
        with pytest.raises(StackctlError):
            unpacked(data + more)


def test_the_mark_comes_last_and_only_when_all_is_well() -> None:
    data = bytearray(packed(STORE))
    data[len(data) // 2] ^= 1
    out = Sink()
    with pytest.raises(Damaged), opened(bytes(data)) as file:
        unpack(file, out, say=lambda _d, _t: None)
    assert COMPLETE.encode() not in out.getvalue()


HEAVY = made(("h/n/m/t", [random.Random(4).randbytes(2 * TAIL + 4321)]))


def test_weights_go_from_the_file_to_the_stream_by_themselves_but_for_the_last() -> None:
    out = Sink()
    with opened(packed(HEAVY)) as file:
        unpack(file, out, say=lambda _d, _t: None)
    assert TAIL - 2 * CHUNK < out.moved <= TAIL + CHUNK
    assert unpacked(packed(HEAVY))[1].items() >= HEAVY.items()


@pytest.mark.parametrize("place", [CHUNK // 2, 3 * CHUNK, 7 * CHUNK])
def test_a_changed_byte_of_what_is_moved_is_refused(place: int) -> None:
    data = bytearray(packed(HEAVY))
    data[place] ^= 16
    with pytest.raises(Damaged, match="another SHA-256"):
        unpacked(bytes(data))


def test_a_changed_mark_between_blocks_of_what_is_moved_is_refused() -> None:
    data = bytearray(packed(HEAVY))
    frame = next(p for p in read_frames(reads(data), len(data)) if isinstance(p, Raw))
    (_, first), (second, _) = list(frame.blocks())[:2]
    data[second - 2] ^= 1
    assert first == BLOCK
    with pytest.raises(Damaged, match="head is wrong"):
        unpacked(bytes(data))


def test_a_file_that_is_written_to_meanwhile_is_refused() -> None:
    data, out = packed(HEAVY), Sink()
    with opened(data) as file:
        path = f"/proc/self/fd/{file.handle}"

        def same_byte_again(_done: int, _total: int) -> None:
            with Path(path).open("r+b") as other:
                other.write(data[:1])

        with pytest.raises(Damaged, match="written to while it was read"):
            unpack(file, out, say=same_byte_again)
    assert COMPLETE.encode() not in out.getvalue()


def test_a_file_that_is_cut_meanwhile_is_refused() -> None:
    out = Sink()
    with opened(packed(HEAVY)) as file:

        def cut(_done: int, _total: int) -> None:
            os.truncate(f"/proc/self/fd/{file.handle}", 2 * CHUNK)

        with pytest.raises(Damaged):
            unpack(file, out, say=cut)
    assert COMPLETE.encode() not in out.getvalue()


def reads(data: bytes | bytearray) -> Callable[[list[memoryview], int], int]:
    def read_at(views: list[memoryview], at: int) -> int:
        stream = io.BytesIO(data)
        stream.seek(at)
        return sum(stream.readinto(view) for view in views)

    return read_at


def test_a_raw_frame_can_be_no_head_of_a_file() -> None:
    """Nothing but a digest guards its bytes, and a head has none."""
    manifest, store = listed(SMALL)
    (path, text), *_ = store.items()
    out = io.BytesIO()
    writer = FrameWriter(out.writelines)
    for name, data in ((MANIFEST, manifest), (path, text)):
        writer.add(tarstream.header(name, len(data), 0) + data + tarstream.padding(len(data)))
    writer.add(random.Random(5).randbytes(140 * tarstream.BLOCK), guarded=True)
    writer.add(tarstream.END)
    writer.close()
    with pytest.raises(Damaged, match="a raw frame where no weights are"):
        unpacked(out.getvalue())


SMALL = made(("registry.ollama.ai/library/a/latest", [b"weights"]))


def listed(store: dict[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
    """A backup's manifest for a store, and that store."""
    with opened(packed(store)) as file:
        return peek(file).to_json(), store


def forged(manifest: bytes, store: dict[str, bytes], head: Callable[[str, int], bytes] | None = None) -> bytes:
    """A backup whose framing is whole and whose contents are made up."""
    out = io.BytesIO()
    writer = FrameWriter(out.writelines)
    for name, data in ((MANIFEST, manifest), *store.items()):
        front = head(name, len(data)) if head and name != MANIFEST else tarstream.header(name, len(data), 0)
        writer.add(front + data + tarstream.padding(len(data)))
    writer.add(tarstream.END)
    writer.close()
    return out.getvalue()


def test_what_is_forged_well_is_a_backup() -> None:
    assert unpacked(forged(*listed(SMALL)))[1].items() >= SMALL.items()


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another name": lambda d: d["models"][0].update(name="b:latest"),
    "another digest": lambda d: d["models"][0].update(digest="0" * 64),
    "one model more": lambda d: d["models"].append({"name": "b:latest", "digest": "0" * 64}),
    "one model twice": lambda d: d["models"].append(d["models"][0]),
    "no model": lambda d: d["models"].clear(),
    "a name that is no text": lambda d: d["models"][0].update(name=["a"]),
    "a file that no model needs": lambda d: d["files"].update({f"blobs/sha256-{'0' * 64}": BLANK}),
    "a file less": lambda d: d["files"].pop(next(p for p in d["files"] if p.startswith("blobs/"))),
    "a name with a blank": lambda d: d["files"].update({"manifests/h/n/m/t ": BLANK}),
    "a name that goes up": lambda d: d["files"].update({"manifests/h/n/../t": BLANK}),
    "a name with a line end": lambda d: d["files"].update({f"blobs/sha256-{'0' * 64}\n": BLANK}),
    "a size in text": lambda d: sizes(d, "7 "),
    "a size beyond numbers": lambda d: sizes(d, float("inf")),
    "a size that is true": lambda d: sizes(d, True),
    "a size below nothing": lambda d: sizes(d, -1),
    "files in a row": lambda d: d.update(files=[]),
}
BLANK = {"size": 0, "sha256": "0" * 64}


def sizes(document: dict[str, Any], size: object) -> None:
    for entry in document["files"].values():
        entry["size"] = size


@pytest.mark.parametrize("what", FORGERIES)
def test_a_list_that_differs_from_the_contents_is_refused_before_the_rest_is_read(what: str) -> None:
    manifest, store = listed(SMALL)
    document = json.loads(manifest)
    FORGERIES[what](document)
    text = json.dumps(document).replace("Infinity", "1e999").encode()
    with pytest.raises(Damaged), opened(forged(text, store)) as file:
        peek(file)


@pytest.mark.parametrize("size", [b"soon", b"7 ", b"-7", b"1e999", b"9" * 5000, b""])
@pytest.mark.parametrize("length", [b"", b" ", b"0", b"99999999", b"x"])
def test_a_damaged_extended_header_is_refused(size: bytes, length: bytes) -> None:
    record = b" size=" + size + b"\n"
    text = (length or str(len(record) + len(str(len(record) + 3))).encode()) + record

    def head(name: str, count: int) -> bytes:
        extended = tarfile.TarInfo("pax")
        extended.type, extended.size = tarfile.XHDTYPE, len(text)
        front = extended.tobuf(tarfile.GNU_FORMAT) + text + tarstream.padding(len(text))
        return front + tarstream.header(name, count, 0)

    with pytest.raises(Damaged), opened(forged(*listed(SMALL), head)) as file:
        peek(file)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "manifests/../../x/y/z", "blobs/x", "manifests/a/b/c/../d", ".complete"]
)
def test_a_forged_manifest_writes_nowhere_else(path: str) -> None:
    text = b"evil"
    forged = Contents({path: File(4, hashlib.sha256(text).hexdigest())})
    out = io.BytesIO()
    writer = FrameWriter(out.writelines)
    manifest = forged.to_json()
    for name, data in (("stackctl-backup.json", manifest), (path, text)):
        writer.add(tarstream.header(name, len(data), 0) + data + tarstream.padding(len(data)))
    writer.add(tarstream.END)
    writer.close()
    with pytest.raises(Damaged):
        unpacked(out.getvalue())


def test_peek_reads_the_manifest_alone() -> None:
    data = packed(STORE)
    with opened(data) as file:
        assert peek(file).size == sum(len(v) for v in STORE.values())
    with opened(data[:100_000] + bytes(len(data) - 100_000)) as file:
        assert peek(file).size == sum(len(v) for v in STORE.values())


def _half(write: Callable[[list[bytes]], None]) -> None:
    write([b"half"])
    raise RuntimeError


class TestFile:
    def test_there_only_when_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "b"
        with pytest.raises(RuntimeError), backupfile.writing(path) as write:
            _half(write)
        assert list(tmp_path.iterdir()) == []
        path.write_bytes(b"old")
        with backupfile.writing(path) as write:
            write([b"ne", b"w"])
            assert path.read_bytes() == b"old"
            assert [p.name for p in tmp_path.iterdir()] == ["b"]
        assert path.read_bytes() == b"new"
        assert path.stat().st_mode & 0o777 == 0o600

    def test_killed_half_way_leaves_nothing(self, tmp_path: Path) -> None:
        script = (
            "import os, sys\nfrom pathlib import Path\nfrom stackctl.adapters import backupfile\n"
            "with backupfile.writing(Path(sys.argv[1])) as write:\n"
            "    write([bytes(1 << 20)])\n    os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=False)
        assert done.returncode == -9
        assert list(tmp_path.iterdir()) == []

    def test_no_room(self, tmp_path: Path) -> None:
        if not Path("/dev/full").exists() or os.geteuid() != 0:
            pytest.skip("needs root to mount a small file system")
        small = tmp_path / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=True)
        try:
            with pytest.raises(ExpectedFailure, match="disk is full"), backupfile.writing(small / "b") as write:
                write([bytes(1 << 20)] * 4)
            assert list(small.iterdir()) == []
        finally:
            subprocess.run(["umount", str(small)], check=True)

    @pytest.mark.parametrize("name", ["nope", "."])
    def test_not_readable(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError), backupfile.reading(tmp_path / name):
            pass

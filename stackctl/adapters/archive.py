"""Write files into a ``.tar.gz``, mode 0600."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from stackctl.errors import ExpectedFailure


def write(path: str, files: Mapping[str, bytes]) -> None:
    """Write ``files`` by name to a new file.

    Raises :class:`ExpectedFailure` where something is there already, a link too, or where it cannot be written.
    """
    target = Path(path).expanduser()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(f"stackctl-diagnosis/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(stream.getvalue())
    except FileExistsError:
        raise ExpectedFailure(f"{path} is there already, and is not overwritten", hint="--bundle FILE") from None
    except OSError as error:
        raise ExpectedFailure(f"{path} cannot be written: {error.strerror}", hint="--bundle FILE") from None

"""Runs stackctl again and again in one process inside the lab's host, so that imports are paid once."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time


def main() -> None:
    from stackctl.cli.boundary import run  # noqa: PLC0415  (after the streams are set up)

    channel = os.fdopen(os.dup(1), "w")
    base = dict(os.environ)
    for line in sys.stdin:
        job = json.loads(line)
        os.environ.clear()
        os.environ.update(base)
        for key, value in job["env"].items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
        out, err, begun = io.StringIO(), io.StringIO(), time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(job["argv"])
        channel.write(
            json.dumps(
                {"code": code, "out": out.getvalue(), "err": err.getvalue(), "seconds": time.monotonic() - begun}
            )
            + "\n"
        )
        channel.flush()


main()

"""The `ollama` command: serve, and the client verbs that a healthcheck or an operator uses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ollama_double import VERSION
from ollama_double.command import CliError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE = """Large language model runner (this is a test double of it)

Usage:
  ollama [flags]
  ollama [command]

Available Commands:
  serve       Start Ollama
  show        Show information for a model
  run         Run a model
  stop        Stop a running model
  pull        Pull a model from a registry
  list        List models
  ps          List running models
  cp          Copy a model
  rm          Remove a model
  help        Help about any command

Flags:
  -h, --help      help for ollama
  -v, --version   Show version information
"""


def main(argv: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    words = list(argv)
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(USAGE)
        return 0
    verb, rest = words[0], words[1:]
    if verb in {"serve", "start"}:
        from ollama_double.server import serve  # noqa: PLC0415 - the client verbs must start fast

        return serve()
    try:
        if verb in {"-v", "--version"}:
            return _version()
        return _client(verb, rest)
    except CliError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _client(verb: str, words: list[str]) -> int:
    verbs: dict[str, tuple[Callable[..., Any], int, int]] = {
        "list": (_list, 0, 1), "ls": (_list, 0, 1), "ps": (_ps, 0, 0), "pull": (_pull, 1, 1), "show": (_show, 1, 1),
        "rm": (_rm, 1, 999), "cp": (_cp, 2, 2), "stop": (_stop, 1, 1), "run": (_run, 1, 999),
    }  # fmt: skip
    if verb not in verbs:
        raise CliError(f'unknown command "{verb}" for "ollama"')
    handler, least, most = verbs[verb]
    flags = [word for word in words if word.startswith("--")]
    plain = [word for word in words if not word.startswith("--")]
    for flag in flags:
        if flag not in {
            "--insecure",
            "--verbose",
            "--modelfile",
            "--parameters",
            "--template",
            "--system",
            "--license",
        }:
            raise CliError(f"unknown flag: {flag}")
    if not least <= len(plain) <= most:
        wanted = f"{least} arg(s)" if least == most else f"at least {least} arg(s), only"
        raise CliError(
            f"accepts {wanted}, received {len(plain)}" if least == most else f"requires {wanted} received {len(plain)}"
        )
    handler(plain, flags)
    return 0


def _version() -> int:
    from ollama_double.command import client  # noqa: PLC0415

    try:
        answer = client.call("GET", "/api/version")
        sys.stdout.write(f"ollama version is {answer['version']}\n")
        if answer["version"] != VERSION:
            sys.stdout.write(f"Warning: client version is {VERSION}\n")
    except CliError:
        sys.stdout.write(
            f"Warning: could not connect to a running Ollama instance\nWarning: client version is {VERSION}\n"
        )
    return 0


def _list(words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client, table  # noqa: PLC0415

    client.heartbeat()
    wanted = words[0].lower() if words else ""
    rows = [
        (
            m["name"],
            m["digest"][:12],
            "-" if m.get("remote_model") else table.size(m["size"]),
            table.ago(m["modified_at"]),
        )
        for m in client.call("GET", "/api/tags")["models"]
        if m["name"].lower().startswith(wanted)
    ]
    table.write(("NAME", "ID", "SIZE", "MODIFIED"), rows)


def _ps(_words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client, table  # noqa: PLC0415

    client.heartbeat()
    rows = [
        (m["name"], m["digest"][:12], table.size(m["size"]), table.processor(m["size"], m["size_vram"]),
         str(m.get("context_length", "")), table.until(m["expires_at"]))
        for m in client.call("GET", "/api/ps")["models"]
    ]  # fmt: skip
    table.write(("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"), rows)


def _pull(words: list[str], flags: list[str]) -> None:
    from ollama_double.command import client, table  # noqa: PLC0415

    client.heartbeat()
    shown = ""
    for line in client.lines("POST", "/api/pull", {"model": words[0], "insecure": "--insecure" in flags}):
        text = line.get("status", "")
        if line.get("total"):
            done = line.get("completed", 0)
            text = f"{text}: {100 * done // line['total']:3d}% {table.size(done)}/{table.size(line['total'])}"
        if text != shown:
            sys.stderr.write(text + "\n")
            shown = text


def _show(words: list[str], flags: list[str]) -> None:
    from ollama_double.command import client, table  # noqa: PLC0415

    client.heartbeat()
    found = client.call("POST", "/api/show", {"model": words[0], "verbose": "--verbose" in flags})
    for part in ("modelfile", "parameters", "template", "system", "license"):
        if f"--{part}" in flags:
            sys.stdout.write(found.get(part, "") + "\n")
            return
    table.show(found)


def _rm(words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client  # noqa: PLC0415

    client.heartbeat()
    for word in words:
        client.call("POST", "/api/generate", {"model": word, "keep_alive": 0}, missing_is_fine=True)
        client.call("DELETE", "/api/delete", {"model": word})
        sys.stdout.write(f"deleted '{word}'\n")


def _cp(words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client  # noqa: PLC0415

    client.heartbeat()
    client.call("POST", "/api/copy", {"source": words[0], "destination": words[1]})
    sys.stdout.write(f"copied '{words[0]}' to '{words[1]}'\n")


def _stop(words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client  # noqa: PLC0415

    client.heartbeat()
    try:
        client.call("POST", "/api/generate", {"model": words[0], "keep_alive": 0})
    except CliError as error:
        if "not found" in str(error):
            raise CliError(f'couldn\'t find model "{words[0]}" to stop') from None
        raise


def _run(words: list[str], _flags: list[str]) -> None:
    from ollama_double.command import client  # noqa: PLC0415

    client.heartbeat()
    prompt = " ".join(words[1:]) or (sys.stdin.read() if not sys.stdin.isatty() else "")
    try:
        client.call("POST", "/api/show", {"model": words[0]})
    except CliError as error:
        if "not found" not in str(error):
            raise
        _pull([words[0]], [])
    for line in client.lines("POST", "/api/generate", {"model": words[0], "prompt": prompt}):
        sys.stdout.write(line.get("response", ""))
        sys.stdout.flush()
    sys.stdout.write("\n")

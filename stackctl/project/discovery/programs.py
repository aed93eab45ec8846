"""Addresses that stand in a mounted program: which of them the program really calls, whatever its environment says."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from itertools import islice

from stackctl.project.compose import Service
from stackctl.project.discovery import names
from stackctl.project.discovery.source import Reader

CODE = (".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".rb", ".php", ".sh", ".lua", ".pl")
_LANGUAGES = (*CODE, ".tsx", ".jsx", ".java", ".kt", ".cs", ".rs", ".ex", ".exs", ".scala", ".properties")
_MAX_SOURCES = 400
_MAX_DEPTH = 6
_FROM_ENVIRONMENT = (
    r"getenv|environ|process\.env|ENV\[|\$\{[A-Za-z_]\w*(?::?[-?]|\})|import\.meta\.env|\$ENV|lookup_env|env\("
)
# Settings classes take each field from the variable of its name, and what is written there is the default.
_SETTINGS_CLASS = r"\bBaseSettings\b|\bpydantic_settings\b|\benviron\.Env\b|\bdynaconf\b|\bdecouple\b"
_READS = (
    r"(?i)(?:getenv|environ|process\.env|ENV)\W{1,9}(?:get\W{1,4})?"
    r"\w*OLLAMA\w*(?:URL|URI|HOST|BASE|ENDPOINT|SERVER|API)"
)
_ASSIGNED = (
    r"(?:^|[\s,{(])(?:export\s+|const\s+|let\s+|var\s+|self\.)?['\"]?([A-Za-z_][\w.-]*)['\"]?"
    r"\s*(?::\s*\w+\s*)?[:=]\s*[fr]?['\"`]?$"
)
_CALLS = r"(?i)(?:get|post|put|request|fetch|curl|wget|urlopen|axios|connect|client|open|chat|generate)\w*[\s(.'\"]"
_ASIDE = re.compile(
    r"(?i)(?:^|/)(?:tests?|__tests__|testing|specs?|fixtures|mocks?|docs?|examples?|samples?|benchmarks?|node_modules|"
    r"__pycache__|site-packages|dist|build|migrations)/|(?:^|/)(?:test_[^/]*|conftest\.py|[^/]*(?:_test|[._-](?:test|spec))\.\w+)$"
)


def is_aside(path: str) -> bool:
    """Whether a path within a mounted folder is one of tests, documents or a build: no part of the program."""
    return bool(_ASIDE.search(path))


def is_code(path: str) -> bool:
    """Whether the file is a program by its name."""
    return path.lower().endswith(CODE)


def mentioned(service: Service, wanted: frozenset[str], reader: Reader, home: str) -> frozenset[str] | None:
    """Which of ``wanted`` the service's own source names; None where no source of it is there to be read."""
    build = service.raw.get("build")
    roots = [str(build.get("context") or "")] if isinstance(build, Mapping) else []
    roots += [str(v.get("source") or "") for v in service.volumes if v.get("type") == "bind"]
    found: set[str] = set()
    seen = 0
    for root in dict.fromkeys(posixpath.normpath(r) for r in roots if r):
        if root != home and not root.startswith(home.rstrip("/") + "/"):
            continue
        for path in islice(_sources(root, root, reader, 0), _MAX_SOURCES):
            text = reader.text(path)
            if text is not None:
                seen += 1
                lower = text.lower()  # a settings class has them in lower case
                found.update(name for name in wanted if name.lower() in lower)
    return frozenset(found) if seen else None


def _sources(root: str, folder: str, reader: Reader, depth: int) -> Iterator[str]:
    for name in reader.names(folder):
        path = posixpath.join(folder, name.rstrip("/"))
        inside = posixpath.relpath(path, root)
        if name.endswith("/"):
            if depth < _MAX_DEPTH and not name.startswith(".") and not is_aside(inside + "/"):
                yield from _sources(root, path, reader, depth + 1)
        elif name.lower().endswith(_LANGUAGES) and not is_aside(inside):
            yield path


def is_program_folder(entries: list[str]) -> bool:
    """Whether a folder with these names holds the source of a program rather than its configuration."""
    marks = {"dockerfile", "package.json", "pyproject.toml", "requirements.txt", "go.mod", "main.py", "app.py"}
    return any(name.lower() in marks for name in entries)


def takes_from_environment(text: str) -> bool:
    """Whether a program reads the address from a variable, so that what is written in it is only the default."""
    return bool(re.search(_READS, text) or re.search(_SETTINGS_CLASS, text))


def is_default(lines: list[str], index: int) -> bool:
    """Whether the line is, or goes on with, an expression that asks the environment first."""
    if re.search(_FROM_ENVIRONMENT, lines[index]):
        return True
    before = lines[max(0, index - 3) : index]
    return any(re.search(_FROM_ENVIRONMENT, line) and _open(before[at:]) for at, line in enumerate(before))


def interpolated(before: str) -> bool:
    """Whether the address is the default of an interpolation that the line begins with."""
    return bool(re.search(_FROM_ENVIRONMENT, before))


def assigned_to(before: str) -> str | None:
    """The name that the address is given to, from what stands before it on its line."""
    match = re.search(_ASSIGNED, before)
    return match[1] if match else None


def is_called(name: str | None, line: str) -> bool:
    """Whether the address is one to call: given to a name of an address, or handed to what calls it."""
    if name is None:
        return bool(re.search(_CALLS, line))
    return names.is_address(name) or names.says_ollama(name)


def is_run(path: str, words: str) -> bool:
    """Whether a shell script is the one that the service's command line names: others beside it are for people."""
    return posixpath.basename(path) in words


def _open(lines: list[str]) -> bool:
    text = "".join(lines)
    return text.count("(") > text.count(")") or text.rstrip().endswith(("or", "||", "??", "\\"))

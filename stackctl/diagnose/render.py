"""From a plan to the process that carries it out: argv and standard input, for a shell or for python3."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from stackctl.diagnose.plan import FILES, Aim, Ask, ProbePlan, as_document, request_bytes

_HERE = Path(__file__).with_name("vantage")
PYTHON_LINE = (
    "import sys\n"
    "s,PLAN=sys.stdin.buffer.read().decode().split('\\n@plan\\n',1)\n"
    "exec(compile(s,'probe','exec'),{'PLAN':PLAN,'__name__':'probe'})"
)


@cache
def script(name: str) -> str:
    """The text of a probe: ``probe.py``, ``probe.js`` or ``probe.sh``."""
    return (_HERE / name).read_text(encoding="utf-8")


def for_shell(plan: ProbePlan) -> tuple[list[str], bytes]:
    """Argv for a container with some ``sh``, and its standard input. No secret is in the argv."""
    text = "\n".join(_shell_lines(plan))
    body = f"{text}\n@json\n{script('probe.py')}\n@node\n{script('probe.js')}\n@plan\n{_document(plan)}"
    return ["sh", "-c", script("probe.sh"), "stackctl-probe"], body.encode("utf-8", "surrogateescape")


def for_python(plan: ProbePlan, interpreter: str = "python3") -> tuple[list[str], bytes]:
    """Argv for an image known to have python3, and its standard input."""
    body = f"{script('probe.py')}\n@plan\n{_document(plan)}"
    return [interpreter, "-I", "-B", "-S", "-c", PYTHON_LINE], body.encode("utf-8", "surrogateescape")


def _document(plan: ProbePlan) -> str:
    return json.dumps(as_document(plan))


def _shell_lines(plan: ProbePlan) -> list[str]:
    rows: list[tuple[str, ...]] = [("budget", _whole(plan.budget))]
    if plan.facts:
        rows += [("file", path) for path in FILES]
        rows += [("space", path) for path in plan.paths]
    for aim in plan.aims:
        rows.append(_aim_row(aim, plan))
        rows += [_ask_row(aim, ask) for ask in aim.asks]
    rows += [("name", name, _whole(plan.resolve_timeout)) for name in plan.names]
    rows += [("connect", address, str(port), _whole(plan.connect_timeout)) for address, port in plan.connects]
    rows.append(("end",))
    return ["\t".join(_flat(cell) for cell in row) for row in rows]


def _aim_row(aim: Aim, plan: ProbePlan) -> tuple[str, ...]:
    tls = (aim.server_name or aim.url.host) if aim.url.scheme == "https" else "-"
    return (
        "aim",
        aim.id,
        aim.url.host,
        str(aim.url.port),
        ",".join(aim.addresses) or "-",
        _whole(plan.resolve_timeout),
        _whole(plan.connect_timeout),
        tls,
    )


def _ask_row(aim: Aim, ask: Ask) -> tuple[str, ...]:
    proxy = f"{ask.proxy[0]} {ask.proxy[1]}" if ask.proxy else "-"
    return (
        "ask",
        ask.id,
        _whole(ask.timeout),
        str(ask.limit),
        "1" if ask.everywhere else "0",
        proxy,
        _octal(request_bytes(aim, ask)),
    )


def _whole(seconds: float) -> str:
    return str(max(1, round(seconds)))


def _flat(cell: str) -> str:
    return "".join(c for c in cell if c >= " " and c != "\x7f") or "-"


def _octal(data: bytes) -> str:
    r"""As a format for the shell's printf: printable ASCII stays, all else is ``\\ooo``."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b"%\\" else f"\\{b:03o}" for b in data)

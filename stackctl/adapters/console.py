"""The only writer to standard output and standard error.

Results go to standard output, everything on the way there to standard error.
Whatever comes from outside is stripped of control characters before it is drawn.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from stackctl.redaction import Redactor

if TYPE_CHECKING:
    from stackctl.errors import Problem, StackctlError
    from stackctl.outcome import Outcome, Tone
    from stackctl.ports import Progress

_CODES = {"ok": "32", "warn": "33", "bad": "31", "dim": "2", "strong": "1", "plain": ""}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NOT_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def printable(text: str) -> str:
    """``text`` with every control and direction character made visible, line feeds and tabs kept."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)


class Console:
    """Behind :class:`stackctl.ports.Reporter`, and the presenter of outcomes and errors."""

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, verbose: int = 0, color: bool | None = None
    ) -> None:
        self.as_json, self.quiet, self.verbose = as_json, quiet, verbose
        allowed = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb" and color is not False
        forced = bool(os.environ.get("FORCE_COLOR")) and allowed
        self._color_out = forced or (allowed and sys.stdout.isatty())
        self._color_err = forced or (allowed and sys.stderr.isatty())
        self.live = sys.stderr.isatty() and not quiet and os.environ.get("TERM") != "dumb"
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty() and not as_json
        self._lock = threading.RLock()
        self._current = ""
        self._detail = ""
        self._started = 0.0
        self._last_progress = 0.0
        self.redactor = Redactor()

    def _safe(self, text: str) -> str:
        return printable(self.redactor.text(text))

    def paint(self, text: str, tone: Tone, *, error: bool = False) -> str:
        """``text`` in the tone's colour where colour is wanted."""
        code = _CODES[tone] if (self._color_err if error else self._color_out) else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text

    # -- on the way: standard error ---------------------------------------

    def _line(self, text: str, tone: Tone = "plain", *, sign: str = "", sign_tone: Tone = "plain") -> None:
        """One line on standard error: a sign in its own colour, then the text, made safe."""
        with self._lock:
            self._erase()
            head = f"{self.paint(sign, sign_tone, error=True)} " if sign else ""
            _write(sys.stderr, f"{head}{self.paint(self._safe(text), tone, error=True)}\n")
            self._draw()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show a step while it runs; tick or cross it with its time."""
        outer = (self._current, self._started, self._detail)
        self._current, self._started, self._detail = text, time.monotonic(), ""
        stop = threading.Event()
        spinner = threading.Thread(target=self._spin, args=(stop,), daemon=True)
        if self.live:
            spinner.start()
        sign: tuple[str, Tone] = ("✗", "bad")
        try:
            yield
            sign = ("✓", "ok")
        finally:
            took = time.monotonic() - self._started
            stop.set()
            if self.live:
                spinner.join()
            with self._lock:
                self._erase()
                self._current, self._started, self._detail = outer
            if not self.quiet and (self.live or self.verbose or took > 1 or sign[0] == "✗"):
                self._line(f"{text}{_took(took)}", sign=sign[0], sign_tone=sign[1])

    def progress(self, progress: Progress) -> None:
        """A bar in a terminal; elsewhere one line every five seconds."""
        text = _bar(progress) if self.live else _bar(progress, width=0)
        if self.live:
            with self._lock:
                self._detail = f"{progress.label} {text}"
        elif not self.quiet and (time.monotonic() - self._last_progress > 5 or progress.done >= progress.total > 0):
            self._last_progress = time.monotonic()
            self._line(f"  {progress.label} {text}")

    def note(self, text: str) -> None:
        """Worth knowing."""
        if not self.quiet:
            self._line(f"· {text}")

    def warn(self, text: str) -> None:
        """Will bite later; said in quiet mode too."""
        self._line(f"! {text}", "warn")

    def detail(self, text: str) -> None:
        """For ``-v``; in a terminal the running step shows the last one."""
        if not text:
            return
        if self.verbose:
            self._line(f"  {text}", "dim")
        elif self.live:
            with self._lock:
                self._detail = text

    def ask(self, question: str, *, default: bool = False) -> bool:
        """Ask in a terminal; take the default elsewhere."""
        if not self.interactive:
            return default
        self._erase()
        answer = _answer(f"{self._safe(question)} [{'Y/n' if default else 'y/N'}] ").lower()
        return default if not answer else answer in ("y", "yes")

    def choose(self, question: str, options: Sequence[str], *, default: int = 0) -> int:
        """Let one be picked by its number."""
        if not self.interactive:
            return default
        self._line(question)
        for number, option in enumerate(options, 1):
            self._line(f"  {number}) {option}")
        while True:
            answer = _answer(f"number [{default + 1}]: ")
            if not answer:
                return default
            if answer.isdigit() and 1 <= int(answer) <= len(options):
                return int(answer) - 1

    def _spin(self, stop: threading.Event) -> None:
        frame = 0
        # Steps of a tenth of a second would only flicker.
        while not stop.wait(0.1):
            with self._lock:
                self._frame = _FRAMES[frame % len(_FRAMES)]
                self._erase()
                self._draw()
            frame += 1

    def _erase(self) -> None:
        if self.live:
            _write(sys.stderr, "\r\x1b[2K")

    def _draw(self) -> None:
        if not (self.live and self._current):
            return
        took = time.monotonic() - self._started
        if took < 0.1:
            return
        width = max(20, _columns() - 1)
        text = f"{getattr(self, '_frame', '·')} {self._current}{_took(took)}"
        if self._detail:
            text += f"  {self._detail}"
        _write(sys.stderr, self._safe(text)[:width])

    # -- at the end: standard output ---------------------------------------

    def clear(self) -> None:
        """An empty screen, in a terminal."""
        if sys.stdout.isatty() and not self.as_json:
            _write(sys.stdout, "\x1b[H\x1b[2J")

    def present(self, outcome: Outcome) -> int:
        """Print an outcome and return its exit code."""
        if self.as_json:
            _write(sys.stdout, self._json(outcome.document()) + "\n")
            return outcome.code
        for block in outcome.blocks:
            if not self.quiet or outcome.code or type(block).__name__ == "Verbatim":
                self._block(block)
        if outcome.next_steps and not self.quiet:
            _write(sys.stdout, "\n" + self.paint("Next:", "dim") + "\n")
            for step in outcome.next_steps:
                _write(sys.stdout, f"  {self._safe(step)}\n")
        return outcome.code

    def _json(self, document: dict[str, Any]) -> str:
        """A document as JSON, secrets redacted, with what a terminal may act on escaped."""
        text = json.dumps(self.redactor.strings(document), ensure_ascii=False, indent=2, default=str)
        return _NOT_IN_JSON.sub(lambda m: f"\\u{ord(m[0]):04x}", text)

    def _block(self, block: object) -> None:
        from stackctl.outcome import Line, Table, Verbatim  # noqa: PLC0415  (its type is used above only)

        if isinstance(block, Verbatim):
            _write(sys.stdout, self.redactor.text(block.text))
        elif isinstance(block, Line):
            _write(sys.stdout, "  " * block.indent + self.paint(self._safe(block.text), block.tone) + "\n")
        elif isinstance(block, Table):
            self._table(block.headings, block.rows)

    def _table(self, headings: Sequence[str], rows: Sequence[Sequence[str | tuple[str, Tone]]]) -> None:
        cells = [[self._cell(c) for c in row] for row in rows]
        widths = [max([len(h), *(len(row[i][0]) for row in cells)]) for i, h in enumerate(headings)]
        head = "  ".join(h.upper().ljust(w) for h, w in zip(headings, widths, strict=True)).rstrip()
        _write(sys.stdout, self.paint(head, "dim") + "\n")
        for row in cells:
            line = "  ".join(
                self.paint(text, tone) + " " * (width - len(text))
                for (text, tone), width in zip(row, widths, strict=True)
            )
            _write(sys.stdout, line.rstrip() + "\n")

    def _cell(self, cell: str | tuple[str, Tone]) -> tuple[str, Tone]:
        return (self._safe(cell), "plain") if isinstance(cell, str) else (self._safe(cell[0]), cell[1])

    def _found(self, finding: dict[str, Any]) -> None:
        """A finding of ``diagnose`` under the error that it explains."""
        who = f"{finding['consumer']}: " if finding["consumer"] else ""
        self._line(f"  {who}{finding['cause']}: {finding['summary']}")
        for line in finding["evidence"]:
            self._line(f"    saw: {line}", "dim")
        self._line(f"    do: {finding['remedy']['summary']}")
        for command in finding["remedy"]["commands"]:
            self._line(f"      {command}", "strong")

    def error(self, error: StackctlError) -> int:
        """Print an expected error, as JSON where that is asked for, and return its exit code."""
        problems: Sequence[Problem] = getattr(error, "problems", ())
        if self.as_json:
            self._error_document(error, problems)
        elif problems:
            self._problems(problems)
        else:
            place = f"{error.where}: " if error.where and not error.message.startswith(error.where) else ""
            self._line(place + error.message, sign="error:", sign_tone="bad")
            for finding in getattr(error, "findings", ()):
                self._found(finding)
            if error.hint:
                self._line(error.hint, sign="  →", sign_tone="strong")
            for step in getattr(error, "steps", ()):
                self._line(f"  $ {step}")
        return error.code

    def _error_document(self, error: StackctlError, problems: Sequence[Problem]) -> None:
        document: dict[str, Any] = {
            "schema": "stackctl.error/1",
            "code": error.code,
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "where": error.where,
        }
        if problems:
            document["problems"] = [{"where": p.where, "message": p.message, "hint": p.hint} for p in problems]
        for more in ("steps", "findings"):
            if found := getattr(error, more, ()):
                document[more] = list(found)
        _write(sys.stdout, self._json(document) + "\n")

    def _problems(self, problems: Sequence[Problem]) -> None:
        """All that is wrong in a file, each with its place."""
        for problem in problems:
            self._line(problem.message, sign=f"{problem.where}:", sign_tone="strong")
            if problem.hint:
                self._line(f"    {problem.hint}", "dim")
        count = len(problems)
        self._line(f"{count} problem{'s' if count > 1 else ''}; nothing was touched", "bad")

    def text(self, text: str) -> None:
        """Plain text to standard output as it is."""
        _write(sys.stdout, text)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody is left to tell. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    except OSError as error:
        # A full disk behind it; what is left in its buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout:
            from stackctl.errors import ExpectedFailure  # noqa: PLC0415

            raise ExpectedFailure(f"the output cannot be written: {error.strerror}") from None


def _answer(prompt: str) -> str:
    """A line from the terminal; `input(prompt)` would write the question to a redirected standard output."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input().strip()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def _took(seconds: float) -> str:
    return (
        ""
        if seconds < 1
        else f" ({seconds:.0f} s)"
        if seconds < 100
        else f" ({seconds // 60:.0f} min {seconds % 60:.0f} s)"
    )


def _bar(progress: Progress, *, width: int = 24) -> str:
    if progress.total <= 0:
        return ""
    part = min(1.0, progress.done / progress.total)
    filled = round(part * width)
    bar = f"{'█' * filled}{'░' * (width - filled)} " if width else ""
    return f"{bar}{part * 100:3.0f} %"

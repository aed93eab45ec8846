"""Malformed files that are too big, too deep or too binary to stand in ``malformed.yaml``."""

from __future__ import annotations

from collections.abc import Iterator

TEN = 10
MANY = "the file is larger than 1,048,576 bytes; no configuration needs that"
DEEP = "nested deeper than 40 levels"
CONTROL = "not valid YAML: control characters are not allowed"
KEYS = (
    "valid here: version, compose, environments, default_environment, consumers, models, local, instances, profiles, "
    "default, on_unreachable, gateway, network"
)
Problem = tuple[str, str, str]


def bomb(levels: int) -> str:
    """Aliases of aliases: ``TEN ** levels`` values once expanded."""
    lines = ["version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * TEN)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def made() -> Iterator[tuple[str, bytes, list[Problem]]]:
    """Name, bytes, and what is to be said of them: place, message, hint."""
    utf8 = "save the file as UTF-8"
    yield "ten megabytes", b"a: " + b"x" * (10 << 20), [("", MANY, "")]
    yield "a valid start, then two megabytes", b"version: 1\n# " + b"x" * (2 << 20), [("", MANY, "")]
    yield "ten megabytes of zeros", bytes(10 << 20), [("", MANY, "")]
    yield (
        "just under the limit",
        b"version: 1\n" + b"#" * ((1 << 20) - 30) + b"\nfoo: 1\n",
        [("3:1", 'unknown key "foo"', KEYS)],
    )
    yield "binary", bytes(range(128, 256)) * 4, [("1:1", "not UTF-8 text (byte 0x80)", utf8)]
    yield "an executable", b"\x7fELF\x02\x01\x01\x00" + bytes(56), [("1:1", CONTROL, "")]
    yield "gzip", b"\x1f\x8b\x08" + bytes(100), [("1:2", "not UTF-8 text (byte 0x8b)", utf8)]
    yield "PNG", b"\x89PNG\r\n\x1a\n" + bytes(64), [("1:1", "not UTF-8 text (byte 0x89)", utf8)]
    yield "Latin-1", "version: 1\n# über\n".encode("latin-1"), [("2:3", "not UTF-8 text (byte 0xfc)", utf8)]
    yield "UTF-16", "version: 1\n".encode("utf-16-le"), [("1:2", CONTROL, "")]
    yield "UTF-16 with its mark", b"\xff\xfev\0e\0", [("1:1", "not UTF-8 text (byte 0xff)", utf8)]
    yield "a cut UTF-8 sequence", b"version: 1\nmodels: [\xe2\x82", [("2:10", "not UTF-8 text (byte 0xe2)", utf8)]
    yield "a surrogate", b"models: [\xed\xa0\x80]", [("1:10", "not UTF-8 text (byte 0xed)", utf8)]
    yield "UTF-8 with its mark", b"\xef\xbb\xbfversion: 1\nfoo: 1\n", [("2:1", 'unknown key "foo"', KEYS)]
    yield "old Macintosh line ends", b"version: 1\rfoo: 1\r", [("2:1", 'unknown key "foo"', KEYS)]
    yield "NUL", b"version: 1\nmodels: ['a\x00b']\n", [("2:12", CONTROL, "")]
    yield "bell", b"version: 1\nmodels: ['a\x07b']\n", [("2:12", CONTROL, "")]
    yield "escape", b"version: 1\nmodels: ['a\x1b[31m']\n", [("2:12", CONTROL, "")]
    yield "deep and closed", b"version: 1\nlocal: " + b"[" * 5000 + b"]" * 5000, [("2:48", DEEP, "")]
    yield "deep and open", b"[" * 100_000, [("1:42", DEEP, "")]
    yield "deep mappings", b"{a: " * 50_000, [("1:162", DEEP, "")]
    yield "deep blocks", "\n".join("  " * n + "a:" for n in range(300)).encode(), [("41:81", DEEP, "")]
    yield "a bomb of aliases", bomb(9).encode(), [("6:45", "more than 100000 values once aliases are expanded", "")]
    yield (
        "a number of 5,000 digits",
        b"version: 1\nlocal: {tuning: {max_queue: " + b"9" * 5000 + b"}}\n",
        [("2:29", f'local.tuning.max_queue: expected a whole number, got "{"9" * 60}…", text', "")],
    )
    yield (
        "a number of 400 digits",
        b"version: 1\nlocal: {tuning: {num_parallel: " + b"9" * 400 + b"}}\n",
        [("2:32", f'local.tuning.num_parallel: "{"9" * 60}…" is out of range: at most 1024', "")],
    )
    yield (
        "a key of 2,000 letters",
        b"version: 1\n? " + b"k" * 2000 + b"\n: 1\n",
        [("2:3", f'unknown key "{"k" * 60}…"', KEYS)],
    )
    yield (
        "a file name that is too long",
        b"version: 1\ncompose: {files: [" + b"a" * 300 + b"]}\n",
        [("2:19", f"DIR/{'a' * 300} cannot be read: File name too long", f"ls -l DIR/{'a' * 300}")],
    )

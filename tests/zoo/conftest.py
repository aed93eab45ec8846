"""How many seeds, the servers around the zoo, and the count of what was served and refused."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cli import ROOT
from tests.support.project import BACKEND, BUSYBOX, OLLAMA, missing_images
from tests.zoo.known import FIXED
from tests.zoo.servers import Servers, servers


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("zoo")
    group.addoption("--seeds", type=int, default=0, help="walk the seeds 1 to N instead of the fixed ones")
    group.addoption("--seed", type=int, action="append", help="walk this seed; repeats")
    group.addoption("--as-is", action="store_true", help="print what fails as it is; making it smaller takes minutes")
    group.addoption("--known", action="store_true", help="walk scenarios of the known kinds too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "number" in metafunc.fixturenames:
        one, many = (metafunc.config.getoption(name, default=None) for name in ("--seed", "--seeds"))
        metafunc.parametrize("number", one or (range(1, many + 1) if many else FIXED))


@pytest.fixture(scope="session")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Every server outside of the projects; one set for each worker."""
    if missing_images([OLLAMA, BACKEND, BUSYBOX]):
        done = subprocess.run([ROOT / "scripts" / "images"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    with servers(tmp_path_factory.mktemp("around")) as made:
        yield made


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    counts = Counter(value for r in reports for name, value in r.user_properties if name == "zoo")
    if counts:
        terminalreporter.write_line("zoo: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))

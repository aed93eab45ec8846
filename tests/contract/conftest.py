"""Fixtures of the contract suite, and the choice of what a real server can be asked."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract import servers
from tests.contract.case import load
from tests.support.model_registry import model_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = (
    []
    if (Path(__file__).parents[3] / "shared" / "ollama" / "contract-cases.json").exists()
    else ["test_shared_cases.py"]
)
_LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "given(*tokens): what the server must have (see arrange.py)")
    config.addinivalue_line("markers", "double_only: tries what only the double has, or can be made to do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = load()
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not servers.URL:
        return
    kept, left = [], []
    reasons = config.stash.setdefault(_LEFT_OUT, {})
    for item in items:
        reason = _reason(item)
        if reason is None:
            kept.append(item)
        else:
            left.append(item)
            reasons.setdefault(reason, []).append(item.name)
    if left:
        items[:] = kept
        config.hook.pytest_deselected(items=left)


def _reason(item: pytest.Item) -> str | None:
    if item.get_closest_marker("double_only"):
        return "tries the double itself"
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
    marker = item.get_closest_marker("given")
    given = case.given if case else tuple(marker.args) if marker else ()
    return servers.why_not(given)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reasons = config.stash.get(_LEFT_OUT, {})
    if servers.URL and not reasons:
        # With several workers the choice was made in them: make it again for the cases, to say it.
        for case in load():
            reason = servers.why_not(case.given)
            if reason:
                reasons.setdefault(reason, []).append(case.id)
    for reason, names in reasons.items():
        terminalreporter.write_line(f"left out, {len(names)}: {reason}")


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Pool]:
    doubles = servers.Pool(tmp_path_factory.mktemp("doubles"))
    try:
        yield doubles
    finally:
        doubles.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    with model_registry() as server:
        address = f"127.0.0.1:{server.server_address[1]}"
        yield address
        if servers.URL:
            servers.tidy(address)


@pytest.fixture
def server(pool: servers.Pool, request: pytest.FixtureRequest) -> servers.Server:
    """Return the server for the tokens of the test's `given` mark."""
    marker = request.node.get_closest_marker("given")
    return pool.get(tuple(marker.args) if marker else ())


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Let one test at a time use a real server, whatever the number of workers."""
    with servers.alone() if servers.URL else contextlib.nullcontext():
        yield

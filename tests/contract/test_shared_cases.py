"""The cases that were observed on a real server, run by their own checker, where they lie beside the repository."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.arrange import arranged

if TYPE_CHECKING:
    from types import ModuleType

    from tests.contract.servers import Pool

_FOLDER = Path(__file__).parents[3] / "shared" / "ollama"
_CASES: list[dict[str, Any]] = (
    json.loads(cases.read_text()) if (cases := _FOLDER / "contract-cases.json").exists() else []
)
_ARRANGED_THERE = {"stub", "absent", "blob-absent", "blob-present", "mismatch-posted", "not-loaded", "loaded", "alias"}

pytestmark = [
    pytest.mark.double_only,
    # Their checker leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_cases", _FOLDER / "check_cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _sort_of_server(tokens: list[str]) -> tuple[str, ...]:
    found = []
    for token in tokens:
        word, _, rest = token.partition(":")
        if word == "env":
            found.append(f"env {rest}")
        elif word in {"store-empty", "nothing-loaded", "blob-absent"}:
            found.append("fresh")
        elif word == "bind":
            found.append(rest)
        elif word in {"offline", "queue-full"}:
            found.append(word)
    return tuple(found)


@pytest.mark.parametrize("shared", _CASES, ids=[case["id"] for case in _CASES])
def test_shared_case(shared: dict[str, Any], pool: Pool, registry: str, checker: ModuleType) -> None:
    tokens = [token.strip().replace("{registry}", registry) for token in shared["precondition"].split(";")]
    sort = _sort_of_server(tokens)
    server = pool.get(sort)
    with arranged(server, tuple(token for token in sort if token == "queue-full")):
        for token in tokens:
            if token.split(":")[0] in _ARRANGED_THERE:
                assert checker.arrange(server.url, token, registry), f"could not arrange {token}"
        complaints = checker.check(shared, checker.req(server.url, shared["request"], registry))
        assert not complaints, "; ".join(complaints)

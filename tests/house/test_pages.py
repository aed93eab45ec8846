"""The pages for those who work on stackctl name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["docs/architecture.md", "CONTRIBUTING.md"]
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|ya?ml|json|md|toml)))`")
MADE = {"stackctl.yaml", "override.yaml", "state.json", "journal.jsonl", "evidence/", ".stackctl/", "dist/"}
"""What is made in a user's project, or by a build."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_paths_that_are_there(page: str) -> None:
    named = {name for name in PATH.findall((ROOT / page).read_text()) if name not in MADE}
    # A word in capitals stands for any: `commands/SUBJECT/VERB.py`.
    fixed = {name for name in named if not re.search(r"\b[A-Z]{3,}\b(?!\.md)", name)}
    assert fixed
    gone = {
        name
        for name in fixed
        if not any((at / name).exists() for at in (ROOT, ROOT / "stackctl", ROOT / "stackctl/project/discovery"))
    }
    assert gone == set()


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
)
def test_a_link_to_a_file_of_ours_leads_there(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []

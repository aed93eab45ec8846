"""What the tests of the corpus share."""

from __future__ import annotations

import pytest

from tests.corpus.projects import Readable, file_sets, prepare_all


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Readable]:
    """Every file set, copied and made readable for Compose; nothing is to be written there."""
    return prepare_all(file_sets(), tmp_path_factory.mktemp("corpus"))

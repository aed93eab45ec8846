"""Which tests one worker does in a row.

A scheduler of our own, because pytest-xdist 3.8 writes its groups to where pytest 9.2 no longer looks for them, and
``--dist loadgroup`` groups nothing.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

LABS = 4
"""Rows of faults. Each worker has a fault lab with an engine of its own; in a row, a stack that the next fault wants
too is kept up."""
ALONE = frozenset({"e2e", "host", "transaction", "faults", "zoo"})
"""Directories whose tests go to whichever worker is free: each takes long, and needs nothing of its neighbours."""


class Sharing(LoadScopeScheduling):
    """Together stays what shares something dear to make: a file, the stacks of faults, the corpus made readable."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        _, room, *_, name = path.split("/")
        if name == "test_faults.py":
            faults = [n for n in self.collection or () if n.startswith(path)]
            return f"{path}-{faults.index(nodeid) * LABS // len(faults)}"
        if room == "corpus":
            return room
        return nodeid if room in ALONE and not name.startswith("test_gateway_") else path

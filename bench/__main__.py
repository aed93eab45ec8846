"""``make bench``: stackctl beside plain Compose and beside the manual way, each figure with its bar.

    python -m bench              all of it
    python -m bench startup up   some of it

Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import importlib
import sys

MODULES = {
    "startup": "bench.startup",
    "render": "bench.rendering",
    "init": "bench.adopting",
    "up": "bench.upping",
    "downtime": "bench.downtime",
    "diagnose": "bench.diagnosing",
    "models": "bench.models",
    "gateway": "bench.gateway",
}


def main() -> int:
    chosen = [a for a in sys.argv[1:] if not a.startswith("-")] or list(MODULES)
    unknown = [c for c in chosen if c not in MODULES]
    if unknown:
        print(f"no such bench: {', '.join(unknown)} (known: {', '.join(MODULES)})", file=sys.stderr)
        return 2
    missed = 0
    for name in chosen:
        print(f"\n{name}")
        for figure in importlib.import_module(MODULES[name]).run():
            print(f"  {figure}", flush=True)
            missed += not figure.met
    print(f"\n{missed} bar{'s' * (missed != 1)} missed" if missed else "\nevery bar met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

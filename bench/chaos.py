"""``make chaos``: stackctl killed, interrupted, crowded and left without its engine, on a real one.

    python -m bench.chaos                          all of it, 50 kills
    python -m bench.chaos --quick                  8 kills, and less of the rest
    python -m bench.chaos --kills 20 --seed 7 kills signals

Parts: ``kills``, ``signals``, ``parallel``, ``engine``. The engine that is
stopped is one of its own, in a network namespace: that part needs root. Exit
code 1 where a bar is missed; what went wrong is printed with the seed.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.chaos_engine import engine_stops
from bench.chaos_stage import Stage, host_double, kill_group, stage
from bench.figures import Figure

PARTS = ("kills", "signals", "parallel", "engine")


def other(profile: str) -> str:
    """The target that is not in force."""
    return "local" if profile == "host" else "host"


def duration(made: Stage) -> float:
    """Seconds of a whole switch, the longer of there and back."""
    took = []
    for _ in range(2):
        begun = time.monotonic()
        ran = made.run("switch", other(made.where()))
        if ran.code:
            raise SystemExit(f"a switch ended with {ran.code}:\n{ran.text}")
        took.append(time.monotonic() - begun)
    return max(took)


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s" if seconds else "–"


def complain(what: str) -> None:
    """A blow that was not survived, at once."""
    print(f"    ! {what}", flush=True)


def kills(made: Stage, count: int, dice: random.Random) -> Iterator[Figure]:
    """SIGKILL at random moments, each followed by ``up`` or ``rollback``."""
    whole, survived, begun_ones, after = duration(made), 0, 0, []
    for number in range(1, count + 1):
        target, verb, moment = other(made.where()), dice.choice(("up", "rollback")), dice.uniform(0.0, 1.05 * whole)
        process = made.start("switch", target)
        if number % 2 == 0:
            # Much of a switch is trying the target: every second kill falls into the transaction itself.
            made.begun(process)
            moment = dice.uniform(0.0, 0.6 * whole)
        deadline = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        kill_group(process, signal.SIGKILL)
        process.communicate()
        begun_ones += (made.project.directory / ".stackctl" / "journal.jsonl").exists()
        begun = time.monotonic()
        ran = made.run(verb)
        after.append(time.monotonic() - begun)
        label = f"kill {number}: switch {target} after {moment:.2f} s of {whole:.2f} s, then {verb}"
        bad = f"exit code {ran.code}:\n{ran.text}" if ran.code else made.wrong()
        survived += not bad
        if bad:
            complain(f"{label}: {bad}")
            made.run("up")
    kind = "with the gateway" if made.gateway else "without a gateway"
    detail = f"{survived} of {count}; {begun_ones} in the middle; the next command took {_median(after)}"
    yield Figure(f"kill -9 at a random moment, {kind}: not converged", count - survived, 0, "", detail)


def signals(made: Stage, count: int, dice: random.Random) -> Iterator[Figure]:
    """SIGINT and SIGTERM at random moments: 130 and as before, or done where it came too late."""
    whole, good, late = duration(made), 0, 0
    for number in range(1, count + 1):
        target, sent = other(made.where()), dice.choice((signal.SIGINT, signal.SIGTERM))
        moment = dice.uniform(0.0, 0.8 * whole)
        before = made.picture()
        process = made.start("switch", target)
        made.at_work(process)
        deadline = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        kill_group(process, sent)
        out, err = process.communicate(timeout=120)
        label = f"signal {number}: {sent.name} {moment:.2f} s into switch {target}"
        if process.returncode == 0 and made.where() == target:
            late += 1
            bad = made.wrong([target])
        elif process.returncode != 130:
            bad = f"exit code {process.returncode}:\n{out}{err}"
        else:
            now = made.picture()
            bad = "" if now == before else f"it is not as before: {differences(before, now)}\n{err}"
            bad = bad or made.wrong()
        good += not bad
        if bad:
            complain(f"{label}: {bad}")
            made.run("up")
    kind = "with the gateway" if made.gateway else "without a gateway"
    detail = f"{good} of {count}, of which {late} came when it was done"
    yield Figure(f"SIGINT, SIGTERM, {kind}: not 130 and as before", count - good, 0, "", detail)


def differences(before: dict[str, object], now: dict[str, object]) -> str:
    """What differs between two pictures, without the files' text."""
    parts = []
    for key, old in before.items():
        new = now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            parts += [f"file {name}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        elif old != new:
            parts.append(f"{key}: {old} became {new}")
    return "; ".join(parts)


def parallel(made: Stage, count: int, _dice: random.Random) -> Iterator[Figure]:
    """Switches all at once, half of them to each target."""
    targets = list(itertools.islice(itertools.cycle(("host", "local")), count))
    processes = [made.start("switch", target) for target in targets]
    said = [process.communicate(timeout=300) for process in processes]
    codes = [process.returncode for process in processes]
    odd = [f"{c}: {e}" for c, (_, e) in zip(codes, said, strict=True) if c not in (0, 6)]
    done = {t for t, c in zip(targets, codes, strict=True) if c == 0}
    bad = made.wrong(sorted(done))
    for text in (*odd, *([bad] if bad else [])):
        complain(f"{count} at once: {text}")
    detail = f"{codes.count(0)} done, {codes.count(6)} refused with 6; it is on {made.where()}"
    yield Figure(f"{count} switches at once: ended otherwise than with 0 or 6", len(odd), 0, "", detail)
    yield Figure("  and the stack is not whole on one asked for", float(bool(bad)), 0, "", bad)


def run(parts: list[str], count: int, seed: int, *, quick: bool) -> Iterator[Figure]:
    """Every part on a stack without a gateway and on one with it."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="stackctl-chaos-") as name:
        folder = Path(name)
        with host_double(folder) as server:
            for gateway, share in ((False, (count + 1) // 2), (True, count // 2)):
                if not set(parts) - {"engine"}:
                    break
                with stage(folder, server, gateway=gateway) as made:
                    if "kills" in parts:
                        yield from kills(made, share, dice)
                    if "signals" in parts:
                        yield from signals(made, 3 if quick else 10, dice)
                    if "parallel" in parts and not (quick and gateway):
                        yield from parallel(made, 20, dice)
        if "engine" in parts:
            yield from engine_stops(folder, 1 if quick else 4, dice)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--kills", type=int, help="how many SIGKILLs (default 50)")
    seed = random.SystemRandom().randrange(10**6)
    parser.add_argument("--seed", type=int, default=seed, help="of the random moments")
    parser.add_argument("--quick", action="store_true", help="8 kills, and less of the rest")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    count = given.kills if given.kills is not None else 8 if given.quick else 50
    print(f"chaos: {count} kills, seed {given.seed}", flush=True)
    missed, begun = 0, time.monotonic()
    for figure in run(given.parts or list(PARTS), count, given.seed, quick=given.quick):
        print(f"  {figure}", flush=True)
        missed += not figure.met
    print(f"\n{missed} bars missed" if missed else "\nevery bar met", f"in {time.monotonic() - begun:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

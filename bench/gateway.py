"""What the gateway costs, and what it promises: time and tokens, switches under load, the death of an instance.

    python -m bench gateway            all of it, in about 75 s
    python -m bench.gateway switches   a part: overhead, switches, deaths

The load goes to containers that this program makes and removes.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure
from tests.support.gatewaylab import Lab, docker, eventually
from tests.support.httpload import Client, Sample

NAMES = ("one", "two", "three")
CONFIG: dict[str, Any] = {
    "instances": {
        name: {"url": f"http://{name}:11434", "priority": number, "auth": {"bearer": "${BENCH_TOKEN}"}}
        for number, name in enumerate(NAMES, 1)
    },
    "profiles": {
        "cluster": {"use": list(NAMES)},
        "spread": {"use": list(NAMES), "policy": "least_conn"},
    },
}
RATE = 100
STREAMS = 30
SWITCHES = 20
MIXED: list[tuple[str, str, dict[str, Any], bool]] = [
    ("POST", "/api/chat", {}, False),
    ("GET", "/api/tags", {}, False),
    ("POST", "/api/chat", {"tokens": 20}, True),
    ("POST", "/api/generate", {"first": 0.2}, False),
]
QUICK = [*MIXED[:2], ("POST", "/api/chat", {"tokens": 3}, True)]


def none(what: str, count: int, detail: str = "") -> Figure:
    """A count that must be 0."""
    return Figure(what, count, 0, "", detail)


def causes(samples: Sequence[Sample]) -> str:
    """What failed, each cause with its number."""
    found = Counter(s.error or f"status {s.status} of {s.instance or 'the gateway'}" for s in samples if not s.ok)
    return "; ".join(f"{n} x {cause}" for cause, n in found.items())


def failed(samples: Sequence[Sample]) -> int:
    return sum(not s.ok for s in samples)


# -- overhead ----------------------------------------------------------------


async def overhead(lab: Lab) -> list[Figure]:
    """Alternately straight and through the gateway: what else the machine does meets both alike."""
    lab.switch("one")
    pair = Client(f"http://{lab.address('one')}:11434"), Client(lab.url)
    figures = [await _latency(pair, method, path) for method, path in (("GET", "/api/version"), ("POST", "/api/chat"))]
    figures.append(await _tokens(pair, 30, 250, 0.004, rounds=3))
    figures += [await _tokens(pair, 1, 5000, 0, rounds=20), await _tokens(pair, 8, 600, 0, rounds=20)]
    figures.append(await _gap(pair[1]))
    for client in pair:
        await client.close()
    return figures


async def _latency(pair: tuple[Client, Client], method: str, path: str) -> Figure:
    times: tuple[list[float], list[float]] = [], []
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline and len(times[1]) < 1500:
        for client, taken in zip(pair, times, strict=True):
            sample = await client.request(method, path, {})
            assert sample.ok, sample
            taken.append(sample.ms)
    base, via = (statistics.median(t) for t in times)
    tail = statistics.quantiles(times[1], n=100)[98] - statistics.quantiles(times[0], n=100)[98]
    detail = f"{base:.2f} ms to {via:.2f} ms; 99th percentile {tail:+.2f} ms; {len(times[1])} pairs"
    return Figure(f"{method} {path}: median time added", via - base, 1.5, "ms", detail)


async def _tokens(pair: tuple[Client, Client], streams: int, tokens: int, interval: float, *, rounds: int) -> Figure:
    rates: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for client, found in zip(pair, rates, strict=True):
            begin = time.monotonic()
            options = {"tokens": tokens, "interval": interval}
            counts = await asyncio.gather(*(client.drain(options) for _ in range(streams)))
            assert sum(counts) == streams * tokens, counts
            found.append(sum(counts) / (time.monotonic() - begin))
    share = statistics.median(via / straight for straight, via in zip(*rates, strict=True))
    pace = f"{1 / interval:.0f}/s each" if interval else "as fast as can be"
    detail = f"{share:.2f} of the tokens a second; {statistics.median(rates[0]):,.0f}/s straight"
    return Figure(f"streams, {streams} at a time, {pace}: time against straight", 1 / share, 1 / 0.9, "x", detail)


async def _gap(client: Client) -> Figure:
    gaps = []
    for _ in range(20):
        arrivals: list[float] = []

        def seen(_lines: int, into: list[float] = arrivals) -> None:
            into.append(time.monotonic())

        await client.stream({"tokens": 5, "interval": 0.05}, seen)
        gaps.append(max(b - a for a, b in itertools.pairwise(arrivals)) * 1000)
    return Figure("tokens 50 ms apart: longest gap on arrival, median", statistics.median(gaps), 75, "ms")


# -- switches ----------------------------------------------------------------


async def switches(lab: Lab) -> list[Figure]:
    """Switches to and fro under load, with streams that are open through all of them."""
    lab.switch("one")
    client = Client(lab.url)
    done = False
    progress = [0] * STREAMS

    async def long_stream(number: int) -> tuple[int, str]:
        def seen(lines: int) -> None:
            progress[number] = lines

        return await client.stream({"tokens": 3000, "interval": 0.1}, seen)

    running = [asyncio.create_task(long_stream(i)) for i in range(STREAMS)]
    while min(progress) == 0:  # noqa: ASYNC110  (many streams, one condition over all)
        await asyncio.sleep(0.05)
    load = asyncio.create_task(client.load(RATE, lambda: done, MIXED))
    times, moments = [], []
    for number in range(SWITCHES):
        name = NAMES[(number + 1) % 2]
        begin = time.monotonic()
        await asyncio.to_thread(lab.switch, name)
        end = time.monotonic()
        times.append(end - begin)
        await asyncio.sleep(0.4)
        moments.append((end, time.monotonic(), name))
    open_still = sum(not task.done() for task in running)
    done = True
    await asyncio.to_thread(lab.control, "one", {"finish": True})
    samples = await load
    broken = [error for _, error in await asyncio.gather(*running) if error]
    await asyncio.to_thread(lab.control, "one", {"finish": False})
    await client.close()
    stale = sum(
        s.instance not in ("", name) for since, until, name in moments for s in samples if since < s.started < until
    )
    what = f"{SWITCHES} switches, {RATE} requests/s, {STREAMS} streams"
    slow = f"median {statistics.median(times) * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms"
    return [
        none(f"{what}: failed requests", failed(samples), causes(samples) or f"of {len(samples)}; a switch: {slow}"),
        none(f"{what}: broken streams", len(broken), "; ".join(sorted(set(broken)))),
        none("streams that were not open through all of them", STREAMS - open_still),
        none("requests after a switch that met the former target", stale),
    ]


# -- deaths ------------------------------------------------------------------


async def deaths(lab: Lab) -> list[Figure]:
    """An instance dies under load: its port closes, its host is gone, it hangs."""
    one = lab.container("one")
    ways: list[tuple[str, str, Callable[[], Any], Callable[[], Any], float]] = [
        ("its port closes", "cluster", lambda: lab.control("one", {"listen": False}), lambda: lab.restart("one"), 3),
        ("its container is killed", "spread", lambda: docker("kill", one), lambda: docker("start", one), 3),
        # Found by its check alone: 2 s to the next one, 3 s of patience, 0.5 s, 3 s of patience again.
        ("it hangs", "cluster", lambda: docker("pause", one), lambda: docker("unpause", one), 9),
    ]
    return [figure for way in ways for figure in await _death(lab, *way)]


async def _death(
    lab: Lab, how: str, profile: str, strike: Callable[[], Any], heal: Callable[[], Any], interval: float
) -> list[Figure]:
    lab.switch(profile)
    eventually(lambda: all(i.up and i.checked for i in lab.state().instances))
    client = Client(lab.url)
    done = False
    load = asyncio.create_task(client.load(RATE, lambda: done, QUICK))
    await asyncio.sleep(1)
    await asyncio.to_thread(strike)
    dead = time.monotonic()
    await asyncio.sleep(interval + 2)
    done = True
    healed = time.monotonic()
    await asyncio.to_thread(heal)
    samples = await load
    await client.close()
    new = [s for s in samples if s.started > dead]
    late = [s for s in new if s.started > dead + interval]
    # Healing would hide one that still waits for the dead: an answer after it is none.
    lost = sum(not s.ok or s.ended > healed + 1 for s in late)
    slowest = max((s.ms for s in new), default=0.0)
    figures = [none(f"{how}: failed new requests after {interval:g} s", lost, causes(late) or f"of {len(late)}")]
    if how != "it hangs":
        detail = causes(new) or f"of {len(new)}, the slowest {slowest:.0f} ms ({profile})"
        figures.insert(0, none(f"{how}: failed new requests at all", failed(new), detail))
    eventually(lambda: all(i.up for i in lab.state().instances), seconds=20)
    return figures


PARTS: dict[str, Callable[[Lab], Awaitable[list[Figure]]]] = {
    "overhead": overhead,
    "switches": switches,
    "deaths": deaths,
}


def run(parts: Sequence[str] = tuple(PARTS)) -> Iterator[Figure]:
    """Each figure with its bar."""
    with tempfile.TemporaryDirectory() as directory:
        lab = Lab(Path(directory), CONFIG, variables={"BENCH_TOKEN": "bench-token"})
        try:
            lab.start()
            for name in NAMES:
                lab.upstream(name)
            for part in parts:
                yield from asyncio.run(_part(part, lab))
        finally:
            lab.close()


async def _part(part: str, lab: Lab) -> list[Figure]:
    return await PARTS[part](lab)


if __name__ == "__main__":
    met = [(print(f"  {figure}", flush=True), figure.met)[1] for figure in run(sys.argv[1:] or tuple(PARTS))]
    sys.exit(0 if all(met) else 1)

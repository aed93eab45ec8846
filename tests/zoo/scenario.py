"""A scenario: one Compose project, the servers around it, and the walk that it is taken on. Values only.

Hypothesis draws scenarios (``scenarios``), and shrinks one that fails: of every choice the first is the plainest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

FORMS = ("env", "env_file", "parts", "v1", "endpoint", "composite", "command", "secret", "file")
"""How an app is told its Ollama: one variable, an env file, host and port apart, an OpenAI base, a whole endpoint, a
URL within a JSON value, an argument of its command, a ``*_FILE`` secret, a mounted configuration file."""
MOVABLE = frozenset(FORMS[:5])
"""Forms that an override surely reaches."""
TARGETS = ("host", "prefix", "neighbour", "token", "tls")
"""A server on the host, one below a path, one of another project on a shared network, one that asks for a token, one
behind TLS with a private CA."""
WITHOUT_PATH = frozenset({"host", "neighbour", "token"})


@dataclass(frozen=True)
class Consumer:
    """One app that uses Ollama. ``carries`` and ``trusts``: it can send a token, and knows the private CA."""

    form: str = "env"
    runtime: str = "python"
    depends: str = "none"
    place: str = "own"
    replicas: int = 1
    profile: bool = False
    proxy: bool = False
    trusts: bool = False
    carries: bool = False


@dataclass(frozen=True)
class Scenario:
    """One project and its walk: init, up, switch to ``target``, ``back``, detach."""

    consumers: tuple[Consumer, ...]
    home: str = "plain"
    target: str = "host"
    files: str = "one"
    bystander: str = "none"
    gateway: bool = False
    back: str = "none"

    @property
    def must_be_served(self) -> bool:
        """Whether a refusal of any step is a failure: a plain shape, whose target every consumer's client can use."""
        return self.home == "plain" and all(self._plain(c) for c in self.consumers)

    def _plain(self, c: Consumer) -> bool:
        if c.form not in MOVABLE or c.place != "own" or c.proxy:
            return False
        if self.gateway:
            return True
        if self.target == "token":
            return c.carries
        if self.target == "tls":
            return c.trusts and c.form != "parts"
        return self.target in WITHOUT_PATH or c.form != "parts"


def _possible(s: Scenario) -> bool:
    """Whether the project works before stackctl comes, and every client can do what is asked of it."""
    for c in s.consumers:
        busy = c.runtime == "busybox"
        if busy and (c.proxy or c.trusts or (s.target == "tls" and not s.gateway) or c.form in ("v1", "endpoint")):
            return False
        if c.place != "own" and (c.replicas > 1 or c.proxy or s.target == "neighbour"):
            return False
        if c.carries and (s.target != "token" or c.form not in MOVABLE or busy):
            return False
    return True


_CONSUMERS = st.builds(
    Consumer,
    form=st.sampled_from(FORMS),
    runtime=st.sampled_from(("python", "busybox")),
    depends=st.sampled_from(("none", "list", "map")),
    place=st.sampled_from(("own", "own", "own", "internal", "shared", "host")),
    replicas=st.sampled_from((1, 1, 1, 2)),
    profile=st.sampled_from((False, False, False, True)),
    proxy=st.sampled_from((False, False, False, True)),
    trusts=st.booleans(),
    carries=st.booleans(),
)


def _fitted(consumer: Consumer, home: str, target: str) -> Consumer:
    """The consumer with what would contradict its surroundings left at its default."""
    place = {"published": "host", "namespace": consumer.place, "plain": consumer.place}[home]
    changes: dict[str, Any] = {
        "place": place if (place, home) in {("shared", "namespace"), ("host", "published")} else "own",
        "trusts": consumer.trusts and target == "tls",
        "carries": consumer.carries and target == "token",
    }
    if home == "plain" and place == "internal":
        changes["place"] = place
    return Consumer(**{**vars(consumer), **changes})


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Every scenario that can be; hypothesis' own first, all-simplest one is passed over, so that seeds differ."""
    draw(st.integers(0, 1 << 16).filter(bool))
    home = draw(st.sampled_from(("plain", "plain", "plain", "namespace", "published")))
    target = draw(st.sampled_from(TARGETS))
    drawn = draw(st.lists(_CONSUMERS, min_size=1, max_size=3))
    made = Scenario(
        tuple(_fitted(c, home, target) for c in drawn),
        home,
        target,
        files=draw(st.sampled_from(("one", "override", "chosen"))),
        bystander=draw(st.sampled_from(("none", "database", "sharer", "guest"))),
        gateway=draw(st.booleans()),
        back=draw(st.sampled_from(("none", "local", "rollback"))),
    )
    assume(_possible(made))
    return made

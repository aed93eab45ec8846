"""Carry probe plans out where consumers are: one process a consumer, all consumers at once.

A check runs inside the consumer with what its image has; where it has nothing,
a short-lived container stands in its network namespace. What cannot be tried
is reported as such (``ProbeAnswers.able`` false), never as passed.
"""

from __future__ import annotations

import io
import re
import secrets
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Self

from stackctl.diagnose.answers import ProbeAnswers, parse
from stackctl.diagnose.plan import ProbePlan
from stackctl.diagnose.render import for_python, for_shell
from stackctl.diagnose.standpoint import Standpoint, runtime_of
from stackctl.errors import EngineUnusable, StackctlError
from stackctl.ports import Completed, Engine
from stackctl.threads import together
from stackctl.waiting import until

GRACE = 6.0
"""Seconds that a container may take to start and end, on top of the plan's own budget."""
STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PASSING = re.compile(r"OCI runtime exec failed(?!.*executable file not found)|is not running|is restarting", re.DOTALL)
"""What an exec ends with while its container starts again; an image without a shell says so otherwise."""
STORE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
"""By which the clients of an image are told a trust store."""
TRUST_VARIABLES = (*STORE_VARIABLES, "SSL_CERT_DIR", "NODE_OPTIONS")


@dataclass
class Prober:
    """Runs probes on one engine and keeps what it learned about images; close it when done."""

    engine: Engine
    images: Sequence[str] = ()
    """Images of this project that are on the engine: candidates for the probe container."""
    labels: Mapping[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)
    _image: _ProbeImage | None = None
    _searched: bool = False
    _shellless: dict[str, ProbeAnswers] = field(default_factory=dict, repr=False)
    """Containers in which no shell could be started, with what was seen of that: they are not asked again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the image that was made for probing, where one was."""
        if self._image is not None and self._image.ours:
            self.engine.remove_image(self._image.reference)
        self._image, self._searched = None, False

    def probe(self, jobs: Sequence[tuple[Standpoint, ProbePlan]]) -> list[ProbeAnswers]:
        """What each standpoint sees, in the order asked; all at once."""
        if not jobs:
            return []
        with together(min(16, len(jobs))) as pool:
            return list(pool.map(lambda job: self._one(*job), jobs))

    def _one(self, where: Standpoint, plan: ProbePlan) -> ProbeAnswers:
        try:
            if where.container and not where.fresh:
                seen = self._shellless.get(where.container) or self._exec(where, plan)
                if seen.able and (seen.tls_able or not plan.needs_tls):
                    return seen
                other = self._stand_in(where, plan)
                return replace(other, limits=(*seen.limits, *other.limits))
            return self._stand_in(where, plan)
        except EngineUnusable:
            raise
        except StackctlError as error:
            return ProbeAnswers(vantage="probe", able=False, limits=(error.message,))

    def _exec(self, where: Standpoint, plan: ProbePlan) -> ProbeAnswers:
        argv, stdin = for_shell(plan)
        done = self.engine.exec(where.container, argv, stdin=stdin, timeout=plan.budget + GRACE)
        if not done.stdout and _PASSING.search(done.error_text) and self._runs(where.container):
            done = self.engine.exec(where.container, argv, stdin=stdin, timeout=plan.budget + GRACE)
        seen = parse(done.stdout)
        if not seen.tool:  # no shell there, or it could not be started
            seen = replace(seen, able=False, limits=(*seen.limits, _last(done)))
            if "executable file not found" in done.error_text:
                self._shellless[where.container] = seen
        return seen

    def _runs(self, container: str) -> bool:
        """Whether it runs now; a container between two starts is given a second."""

        def state() -> str:
            found = self.engine.inspect([container])
            return "gone" if not found else "running" if found[0].state == "running" else ""

        return until(state, within=1.0, every=0.1) == "running"

    def _as_image(self, where: Standpoint, plan: ProbePlan) -> ProbeAnswers | None:
        """From a container of the consumer's own image, with what the consumer will have; None where that cannot be."""
        image = self.engine.image(where.image) if where.as_image else None
        if image is None:
            return None
        config = image.get("Config") or {}
        runtime = runtime_of([*where.words, *(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())])
        argv, stdin = for_shell(plan)
        done = self.engine.run(
            where.image,
            argv[1:],
            entrypoint=argv[0],
            network=where.network,
            stdin=stdin,
            labels=self.labels,
            extra_hosts=where.extra_hosts,
            timeout=plan.budget + GRACE,
            options=(
                *where.options,
                *(f"--env={n}={v}" for n in TRUST_VARIABLES if (v := where.environment.get(n))),
                f"--env=STACKCTL_APP={runtime}",
            ),
        )
        seen = parse(done.stdout, vantage="probe")
        return seen if seen.tool and seen.able and (seen.tls_able or not plan.needs_tls) else None

    def _stand_in(self, where: Standpoint, plan: ProbePlan) -> ProbeAnswers:
        if not where.container and (seen := self._as_image(where, plan)) is not None:
            return seen
        network = f"container:{where.container}" if where.container else where.network
        image = self._probe_image(where.image)
        if image is None or not network:
            reason = "no image that could probe" if image is None else "its network does not exist yet"
            return ProbeAnswers(vantage="probe", able=False, limits=(reason,))
        if plan.needs_tls and where.container:
            plan = self._with_store(where.container, plan)
        elif plan.needs_tls and where.as_image:
            # What the app will trust is not to be seen yet; it is asked again once it runs.
            plan = replace(plan, aims=tuple(a if a.trust else replace(a, verify=False) for a in plan.aims))
        argv, stdin = image.render(plan)
        done = self.engine.run(
            image.reference,
            argv[1:],
            entrypoint=argv[0],
            network=network,
            stdin=stdin,
            mounts=image.mounts,
            labels=self.labels,
            extra_hosts=() if network.startswith("container:") else where.extra_hosts,
            timeout=plan.budget + GRACE,
            user="0:0",
            options=[o for o in where.options if o.startswith(("--dns", "--network"))],
        )
        seen = parse(done.stdout, vantage="probe")
        if not seen.tool and where.container and where.network and not self._runs(where.container):
            # It ended meanwhile: its network is still there.
            return self._stand_in(replace(where, container=""), plan)
        if not seen.tool:
            return replace(seen, able=False, limits=(*seen.limits, _last(done)))
        return seen

    def _with_store(self, container: str, plan: ProbePlan) -> ProbePlan:
        """Judge certificates by the trust store of the consumer's image, not by that of ours."""
        found = self.engine.inspect([container])
        environment = found[0].environment if found else {}
        for path in (*(environment.get(name) for name in STORE_VARIABLES), *STORES):
            text = self.read(container, path) if path else ""
            if "BEGIN CERTIFICATE" in text:
                aims = tuple(a if a.trust else replace(a, trust=text, trust_only=True) for a in plan.aims)
                return replace(plan, aims=aims)
        return plan

    def read(self, container: str, path: str) -> str:
        """The text of one file of a container, whatever its image has; empty where there is none."""
        done = self.engine.cli(["cp", "--follow-link", f"{container}:{path}", "-"])
        return _only_file(done.stdout) if done.code == 0 else ""

    def _probe_image(self, near: str) -> _ProbeImage | None:
        with self._lock:
            if not self._searched:
                self._image, self._searched = self._find_image(near), True
            return self._image

    def _find_image(self, near: str) -> _ProbeImage | None:
        if made := self._make_image():
            return made
        for reference in dict.fromkeys([*self.images, near, "busybox"]):
            if reference and self.engine.image(reference) is not None and self._has_shell(reference):
                return _ProbeImage(reference, for_shell)
        done = self.engine.cli(["pull", "--quiet", "busybox:1.37"], timeout=8.0)
        return _ProbeImage("busybox:1.37", for_shell, ours=True) if done.code == 0 else None

    def _has_shell(self, reference: str) -> bool:
        plan = ProbePlan((), facts=False, budget=2.0)
        argv, stdin = for_shell(plan)
        done = self.engine.run(reference, argv[1:], entrypoint=argv[0], stdin=stdin, labels=self.labels, timeout=8.0)
        return parse(done.stdout).tool != ""

    def _make_image(self) -> _ProbeImage | None:
        """A near-empty image that borrows this machine's python3 by a read-only mount; local Linux engines only."""
        info = self.engine.info()
        python = _own_python()
        if not info.local or info.desktop or python is None:
            return None
        interpreter, mounts = python
        # Its own name each time: another stackctl on this engine removes the one that it made.
        reference = f"stackctl-probe:{secrets.token_hex(4)}"
        self.engine.import_image(_bare_root(), reference, labels={"io.stackctl.role": "probe", **self.labels})
        image = _ProbeImage(reference, lambda plan: for_python(plan, interpreter), mounts, ours=True)
        argv, stdin = image.render(ProbePlan((), facts=False, budget=2.0))
        done = self.engine.run(reference, argv[1:], entrypoint=argv[0], stdin=stdin, mounts=mounts, labels=self.labels)
        if b'"k": "end"' in done.stdout:
            return image
        self.engine.remove_image(reference)
        return None


@dataclass(frozen=True)
class _ProbeImage:
    reference: str
    render: Callable[[ProbePlan], tuple[list[str], bytes]]
    mounts: tuple[str, ...] = ()
    ours: bool = False


def _own_python() -> tuple[str, tuple[str, ...]] | None:
    if not sys.platform.startswith("linux"):
        return None
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    mounts = ["/usr:/usr:ro"]
    if not sys.base_prefix.startswith("/usr"):
        mounts.append(f"{sys.base_prefix}:{sys.base_prefix}:ro")
    return interpreter, tuple(mounts)


def _bare_root() -> bytes:
    """A root with nothing but the links of a merged /usr, as a tar archive.

    Without ``multi on`` glibc hands out only the first match of /etc/hosts, and
    a name with an IPv4 and an IPv6 entry would look like one with one.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("usr", "etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in ("bin", "sbin", "lib", "lib64"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(entry)
        for name, text in (("etc/host.conf", b"multi on\n"), ("etc/nsswitch.conf", b"hosts: files dns\n")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text))
    return stream.getvalue()


def _only_file(archive: bytes) -> str:
    """The text of the one file of a tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            stream = opened.extractfile(opened.getmembers()[0])
            return stream.read(1 << 20).decode("utf-8", "replace") if stream else ""
    except (tarfile.TarError, IndexError):
        return ""


def _last(done: Completed) -> str:
    lines = [line for line in done.error_text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else f"ended with code {done.code}"

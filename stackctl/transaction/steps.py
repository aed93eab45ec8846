"""Steps as values, each one Docker or file action with its cause; a plan is steps in order, and an empty one a no-op.

The text form (``str(plan)``) is stable, and golden tests compare it whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One action and why it is taken."""

    cause: str

    @property
    def kind(self) -> str:
        """The step's name in the journal."""
        return type(self).__name__


@dataclass(frozen=True)
class CreateNetwork(Step):
    """Create a shared network, labelled as ours."""

    name: str

    def __str__(self) -> str:
        return f"create network {self.name}"


@dataclass(frozen=True)
class WriteOverride(Step):
    """Replace ``override.yaml``; ``text`` None removes it."""

    text: str | None = field(repr=False)
    digest: str = ""

    def __str__(self) -> str:
        return f"write override {self.digest[:12]}".rstrip() if self.text is not None else "remove override"


@dataclass(frozen=True)
class ComposeUp(Step):
    """``docker compose up -d`` for these services; ``no_deps`` leaves their dependencies as they are."""

    services: tuple[str, ...]
    no_deps: bool = False
    all_services: bool = False
    """Every active service of the project: Compose is given no names, so that it orders all of them."""
    force_recreate: bool = False
    """Replace containers that are as wanted too: to a network that it has recreated, Compose (2.40) connects such a
    container again without the name of its service."""

    def __str__(self) -> str:
        return f"compose up {'--force-recreate ' if self.force_recreate else ''}{' '.join(self.services)}"


@dataclass(frozen=True)
class WaitHealthy(Step):
    """Wait until these services run, and are healthy where they have a healthcheck."""

    services: tuple[str, ...]

    def __str__(self) -> str:
        return f"wait for {' '.join(self.services)}"


@dataclass(frozen=True)
class EnsureModels(Step):
    """Make models present on the local server."""

    service: str
    models: tuple[str, ...]

    def __str__(self) -> str:
        return f"ensure models {' '.join(self.models)} in {self.service}"


@dataclass(frozen=True)
class VerifyConsumers(Step):
    """Ask each consumer, from inside, for the Ollama that it reaches.

    Not ``required``, for a stack that comes up degraded: it is asked once, and what it answers is only told.
    """

    consumers: tuple[str, ...]
    required: bool = True

    def __str__(self) -> str:
        return f"{'verify' if self.required else 'ask'} {' '.join(self.consumers)}"


@dataclass(frozen=True)
class RemoveContainer(Step):
    """Stop and remove a container by name; its volumes stay."""

    service: str
    container: str

    def __str__(self) -> str:
        return f"stop and remove container {self.container}"


@dataclass(frozen=True)
class RemoveIdleContainer(RemoveContainer):
    """The same for a server behind the gateway, once the gateway has no request under way there.

    One that is still busy after a while is left running; the next ``up`` removes it.
    """

    def __str__(self) -> str:
        return f"stop and remove container {self.container} once it is idle"


@dataclass(frozen=True)
class StopContainer(Step):
    """Stop a container, without removing it."""

    container: str

    def __str__(self) -> str:
        return f"stop container {self.container}"


@dataclass(frozen=True)
class ComposeDown(Step):
    """``docker compose down``: containers and networks of the project; volumes stay."""

    def __str__(self) -> str:
        return "compose down"


@dataclass(frozen=True)
class RemoveNetwork(Step):
    """Remove a network of ours."""

    name: str

    def __str__(self) -> str:
        return f"remove network {self.name}"


@dataclass(frozen=True)
class ReloadGateway(Step):
    """Give the gateway a new configuration; running streams finish on the old one."""

    service: str
    text: str = field(repr=False)
    digest: str = ""

    def __str__(self) -> str:
        return f"reload gateway {self.digest[:12]}"


@dataclass(frozen=True)
class SaveState(Step):
    """Write ``state.json``; the steps before it are kept from here on."""

    def __str__(self) -> str:
        return "save state"


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __str__(self) -> str:
        return "".join(f"{i}. {step}  # {step.cause}\n" for i, step in enumerate(self.steps, 1))

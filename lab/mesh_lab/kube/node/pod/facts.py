"""The state of a pod and its containers as the node knows it; `status` makes a PodStatus of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from mesh_lab.kube.objects.pods import ContainerStatus, Pod

LOST_CODE = 255
LOST_REASON = "Unknown"


@dataclass(frozen=True)
class Waiting:
    """Not started, and why."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Running since."""

    since: datetime


@dataclass(frozen=True)
class Terminated:
    """Ended: how, when, and its termination message."""

    code: int
    reason: str
    finished: datetime
    started: datetime | None = None
    signal: int = 0
    message: str = ""
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass
class ContainerFacts:
    """One container. `started` is what its startup probe says, `ready` its readiness probe (each true without one)."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    image_id: str = ""
    container_id: str = ""
    sidecar: bool = False

    @property
    def ever_ended(self) -> bool:
        """Whether it has run before: while it waits, it waits for its next start."""
        return self.last is not None or isinstance(self.state, Terminated)

    @property
    def next_start(self) -> int:
        """What `restarts` will be at its next start, whose log has that number."""
        return self.restarts + 1 if self.ever_ended else self.restarts

    def enter(self, state: State) -> None:
        """Enter another state; a termination becomes the last state."""
        if isinstance(self.state, Terminated):
            self.last = self.state
        self.state = state


@dataclass
class PodFacts:
    """One pod. `reason` and `message` say why it failed as a whole, when it did; `failed` that it did."""

    init: dict[str, ContainerFacts] = field(default_factory=dict)
    main: dict[str, ContainerFacts] = field(default_factory=dict)
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    start_time: datetime | None = None
    sandboxed: bool = False
    initialized: bool = False
    failed: bool = False
    reason: str = ""
    message: str = ""

    def all(self) -> Iterator[ContainerFacts]:
        """Every container."""
        yield from self.init.values()
        yield from self.main.values()


def initial_facts(pod: Pod, now: datetime) -> PodFacts:
    """Return the facts of a pod that this node starts to run.

    One that ran before (the node was restarted, and nothing of the pod is left) keeps its counts; what ran is lost, as
    after a reboot.
    """
    known = {s.name: s for s in (*pod.status.init_container_statuses, *pod.status.container_statuses)}
    first = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    facts = PodFacts(start_time=pod.status.start_time)
    for container in pod.spec.init_containers:
        state = _resumed(container.name, container.image, known.get(container.name), first, now)
        state.sidecar = container.is_sidecar
        facts.init[container.name] = state
    for container in pod.spec.containers:
        facts.main[container.name] = _resumed(container.name, container.image, known.get(container.name), first, now)
    return facts


def _resumed(name: str, image: str, status: ContainerStatus | None, first: str, now: datetime) -> ContainerFacts:
    facts = ContainerFacts(name, image, Waiting(first))
    if status is None:
        return facts
    facts.restarts = status.restart_count
    if (ended := status.state.terminated or status.last_state.terminated) is not None:
        facts.last = Terminated(
            ended.exit_code,
            ended.reason,
            ended.finished_at or now,
            started=ended.started_at,
            signal=ended.signal,
            message=ended.message,
        )
    if status.state.running is not None:
        facts.state = Terminated(LOST_CODE, LOST_REASON, now, started=status.state.running.started_at)
    elif status.state.terminated is not None and facts.last is not None:
        facts.state, facts.last = facts.last, None
    return facts

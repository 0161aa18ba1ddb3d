"""One pod on this node: from its binding to its removal, in one task.

A pod's life is a straight line: scheduled, volumes, sandbox, init containers one by one, containers, the end.
Deletion may come at any moment; whatever is under way then sees it and stops.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from mesh_lab.backoff import Backoff
from mesh_lab.kube.config import FROM_HOST
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.isolation import IsolationError
from mesh_lab.kube.netlink import NetlinkError
from mesh_lab.kube.node import scheduling
from mesh_lab.kube.node.client import RuntimeFailure, RuntimeLost
from mesh_lab.kube.node.context import NodeContext
from mesh_lab.kube.node.files.volumes import MountProblem
from mesh_lab.kube.node.pod.container import ContainerRunner, end
from mesh_lab.kube.node.pod.facts import ContainerFacts, Terminated, initial_facts
from mesh_lab.kube.node.pod.place import PlaceKeeper, PodPlace
from mesh_lab.kube.node.pod.status import StatusPublisher
from mesh_lab.kube.node.sandbox import AddressesExhaustedError, Sandbox
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod, read_pod
from mesh_lab.kube.recording import NORMAL, WARNING
from mesh_lab.kube.registry import DeleteOptions, Object
from mesh_lab.kube.resources import PODS

log = logging.getLogger(__name__)

_SET_UP_RETRY_SECONDS = 0.5, 60.0
_REFUSED_AGAIN_SECONDS = 2.0


class PodWorker:
    """Runs one pod. The agent passes it every change of the object and its deletion."""

    def __init__(self, node: NodeContext, obj: Object) -> None:
        self._node = node
        self._object = obj
        self._pod = read_pod(obj)
        self.facts = initial_facts(self._pod, datetime.now(UTC))
        # Who looks at a pod's status from outside wants to reach its node; the node's own address leads nowhere there.
        self.facts.host_ips = (FROM_HOST, *node.config.node_addresses[1:])
        self.runners: dict[str, ContainerRunner] = {}
        self._place = PlaceKeeper(node)
        self._ending = asyncio.Event()
        self._nudged = asyncio.Event()
        self._grace = 0.0
        self._closing = False  # it is to end without having been deleted
        # It was over before this node had it, or is being deleted: nothing is started, its status stays as it is.
        self._over = self._pod.finished or self._pod.metadata.deleting
        self._status = StatusPublisher(node.registry, lambda: self._pod, self.facts, silent=self._over)
        if self._pod.metadata.deleting:
            self._begin_to_end(self._pod)
        if self._pod.spec.node_name and not self._pod.finished:
            node.room.take(self._pod)

    @property
    def pod(self) -> Pod:
        """The pod at present."""
        return self._pod

    @property
    def sandbox(self) -> Sandbox | None:
        """The pod's namespaces; None while it has none."""
        return self._place.sandbox

    # Called by the agent.

    def update(self, obj: Object) -> None:
        """Take over a change of the object."""
        before, self._object = self._pod, obj
        self._pod = read_pod(obj)
        if self._pod.metadata.deleting:
            self._begin_to_end(self._pod)
        self._nudged.set()
        if (before.metadata.labels, before.metadata.annotations) != (
            self._pod.metadata.labels,
            self._pod.metadata.annotations,
        ):
            self.refresh()
        images = {c.name: c.image for c in _containers(before)}
        for container in _containers(self._pod):
            if container.name in self.runners and images.get(container.name) != container.image:
                self.runners[container.name].redefine(container, self._pod.spec.termination_grace_period_seconds)

    def remove(self) -> None:
        """Handle the deletion of the object: the pod is to end without a grace period."""
        self._grace = 0.0
        self._ending.set()
        self._hasten(0.0)

    def nudge(self, plural: str, name: str) -> None:
        """Handle a change of a ConfigMap, Secret or ServiceAccount: update volumes, or try again what it held up."""
        self._nudged.set()
        for runner in self.runners.values():
            runner.nudge()
        if self._place.mentions(plural, name):
            self.refresh()

    def look_again(self) -> None:
        """Try again what the pod waits for."""
        self._nudged.set()

    @property
    def renew_at(self) -> float:
        """The time when a token must be renewed by `refresh`, on the monotonic clock."""
        return self._place.renew_at

    def refresh(self) -> None:
        """Update the volumes. On failure they stay as they were, and an event says why."""
        if self._ending.is_set():
            return
        try:
            self._place.refresh(self._pod, self.facts.pod_ips)
        except MountProblem as problem:
            self._record(WARNING, "FailedMount", str(problem))

    def _begin_to_end(self, pod: Pod) -> None:
        grace = float(pod.metadata.deletion_grace_period_seconds or 0)
        if self._ending.is_set():
            if grace < self._grace:
                self._hasten(grace)
            return
        self._grace = grace
        self._ending.set()

    def _hasten(self, grace: float) -> None:
        self._grace = grace
        for runner in self.runners.values():
            runner.hasten(grace)

    # Lifecycle.

    async def run(self) -> None:
        """Run the pod until its object is removed.

        Raises:
            RuntimeLost: the runtime died; the agent starts over.
        """
        publishing = asyncio.get_running_loop().create_task(self._status.run())
        try:
            if await self._schedule():
                await self._live()
            await self._ending.wait()
            await self._forget()
        finally:
            self._node.room.give_back(self._pod)
            await end(publishing)

    async def _live(self) -> None:
        """Run the pod from its binding to the end of the last container."""
        if not self._over:
            life = asyncio.get_running_loop().create_task(self._run_containers())
            ending = asyncio.get_running_loop().create_task(self._ending.wait())
            try:
                await asyncio.wait({life, ending}, timeout=self._deadline(), return_when=asyncio.FIRST_COMPLETED)
                if not life.done():
                    if not ending.done():
                        self._exceed_deadline()
                    await self._stop_containers()
                await life
            finally:
                for task in (life, ending):
                    task.cancel()
                await asyncio.gather(life, ending, return_exceptions=True)
        await self._tear_down()

    def _deadline(self) -> float | None:
        limit, start = self._pod.spec.active_deadline_seconds, self.facts.start_time
        if limit is None:
            return None
        passed = (datetime.now(UTC) - start).total_seconds() if start is not None else 0.0
        return max(0.0, limit - passed)

    def _exceed_deadline(self) -> None:
        self.facts.failed, self.facts.reason = True, "DeadlineExceeded"
        self.facts.message = "Pod was active on the node longer than the specified deadline"
        self._record(WARNING, "DeadlineExceeded", self.facts.message)
        self._grace = float(self._pod.spec.termination_grace_period_seconds)
        self._closing = True

    async def _schedule(self) -> bool:
        """Bind the pod to this node; False when it is to end before it could be."""
        refused = ""
        while not self._pod.spec.node_name:
            why = self._objection()
            if not why:
                # Counted before it is bound: other pods are scheduled meanwhile.
                self._node.room.take(self._pod)
                break
            if why != refused:
                self._node.scheduling.record(self._object, WARNING, "FailedScheduling", why)
                await self._status.write(partial(scheduling.unschedulable, why=why))
                refused = why
            if not await self._nudge_or_end(None):
                return False
        if not self._pod.spec.node_name:
            await self._bind()
        return not self._ending.is_set()

    def _objection(self) -> str:
        """Return why the pod cannot be scheduled at present; empty when it can."""
        node = self._node.node()
        allocatable = scheduling.amounts(node.status.allocatable) or self._node.allocatable
        return scheduling.objection(self._pod, node, self._node.room.lacking(self._pod, allocatable))

    async def _bind(self) -> None:
        node, uid = self._node.config.node_name, self._pod.metadata.uid

        def bind(obj: Object) -> Object | None:
            if obj["metadata"]["uid"] != uid or obj["spec"].get("nodeName"):
                return None
            return {**obj, "spec": {**obj["spec"], "nodeName": node}}

        where = self._pod.metadata
        recorder = self._node.scheduling
        while not self._ending_or_closing:
            try:
                bound = await self._node.registry.modify(PODS, where.name, where.namespace, bind, subresource="binding")
            except ApiError as error:
                message = f"Binding rejected: {error.message}"
                recorder.record(self._object, WARNING, "FailedScheduling", message)
                await self._nudge_or_end(_REFUSED_AGAIN_SECONDS)
                continue
            if bound is not None:
                message = f"Successfully assigned {where.namespace}/{where.name} to {node}"
                recorder.record(self._object, NORMAL, "Scheduled", message)
            return

    async def _run_containers(self) -> None:
        self.facts.start_time = self.facts.start_time or datetime.now(UTC)
        self._status.changed()
        place = await self._set_up()
        if place is None:
            return
        async with asyncio.TaskGroup() as group:
            sidecars = await self._initialize(place, group)
            if sidecars is None:
                return
            self.facts.initialized = True
            running: list[asyncio.Task[None]] = []
            for container in self._pod.spec.containers:
                if self._ending_or_closing:
                    break
                if not self._is_over(container):
                    runner = self._runner(container, self.facts.main[container.name])
                    running.append(group.create_task(runner.run(place, self._pod.spec.restart_policy)))
                    await runner.attempted.wait()
            self._status.changed()
            if running:
                await asyncio.wait(running)
            await _stop_in_turn(sidecars, float(self._pod.spec.termination_grace_period_seconds))

    @property
    def _ending_or_closing(self) -> bool:
        return self._ending.is_set() or self._closing

    def _is_over(self, container: Container) -> bool:
        """Return whether the container has run and will not again, in a pod from before a restart of the node."""
        state = self.facts.main[container.name].state
        if not isinstance(state, Terminated):
            return False
        policy = self._pod.spec.restart_policy
        return policy == "Never" or (policy == "OnFailure" and state.code == 0)

    async def _set_up(self) -> PodPlace | None:
        """Set up volumes and sandbox; None when the pod ends before."""
        backoff = Backoff(*_SET_UP_RETRY_SECONDS)
        while not self._ending_or_closing:
            try:
                place = await self._place.make(self._pod)
            except MountProblem as problem:
                self._record(WARNING, "FailedMount", str(problem))
            except (RuntimeFailure, NetlinkError, AddressesExhaustedError, IsolationError) as error:
                if isinstance(error, RuntimeLost):
                    raise
                self._record(WARNING, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            else:
                self.facts.pod_ips, self.facts.sandboxed = place.sandbox.addresses, True
                return place
            await self._nudge_or_end(backoff.next())
        return None

    async def _initialize(self, place: PodPlace, group: asyncio.TaskGroup) -> list[ContainerRunner] | None:
        """Run the init containers in order; the sidecars among them, or None when one failed or the pod is to end."""
        sidecars: list[ContainerRunner] = []
        if any(isinstance(c.state, Terminated) for c in self.facts.main.values()) and all(
            self._is_over(c) for c in self._pod.spec.containers
        ):
            return sidecars  # no container will run again
        policy = "Never" if self._pod.spec.restart_policy == "Never" else "OnFailure"
        for container in self._pod.spec.init_containers:
            if self._ending_or_closing:
                return None
            facts = self.facts.init[container.name]
            runner = self._runner(container, facts, "initContainers")
            if container.is_sidecar:
                group.create_task(runner.run(place, "Always"))
                await runner.started.wait()
                sidecars.append(runner)
                continue
            await runner.run(place, policy)
            facts.ready = isinstance(facts.state, Terminated) and facts.state.code == 0
            self._status.changed()
            if not facts.ready:
                await _stop_in_turn(sidecars, float(self._pod.spec.termination_grace_period_seconds))
                return None
        return sidecars

    def _runner(self, container: Container, facts: ContainerFacts, field: str = "containers") -> ContainerRunner:
        runner = ContainerRunner(
            self._node, lambda: (self._pod, self._object), container, facts, self._status.changed, field
        )
        self.runners[container.name] = runner
        return runner

    async def _stop_containers(self) -> None:
        """End the containers together, and the sidecars after them."""
        names = [c.name for c in self._pod.spec.init_containers if c.is_sidecar]
        sidecars = [self.runners[name] for name in names if name in self.runners]
        others = [runner for name, runner in self.runners.items() if name not in names]
        await _stop_in_turn(sidecars, self._grace, others)

    async def _tear_down(self) -> None:
        self.facts.sandboxed = False
        await self._place.remove()
        self._node.room.give_back(self._pod)
        self._status.changed()

    async def _forget(self) -> None:
        """Write the last status and remove the object, if it is still there; then the logs.

        What a webhook denies, or fails to answer, is retried: it may have been the webhook's own pod.
        """
        metadata = self._pod.metadata
        while True:
            try:
                await self._status.publish()
                await self._node.registry.delete(
                    PODS, metadata.name, metadata.namespace, options=DeleteOptions(grace_period=0, uid=metadata.uid)
                )
                break
            except ApiError as error:
                if error.reason in ("NotFound", "Conflict"):
                    break
                log.warning("pod %s/%s has ended, but not its object: %s", metadata.namespace, metadata.name, error)
                await asyncio.sleep(_REFUSED_AGAIN_SECONDS)
        shutil.rmtree(self._node.log_directory(self._pod), ignore_errors=True)

    def _record(self, kind: str, reason: str, message: str) -> None:
        self._node.recorder.record(self._object, kind, reason, message)

    async def _nudge_or_end(self, seconds: float | None) -> bool:
        """Wait for a change, the pod's end, or the time; False at its end."""
        self._nudged.clear()
        if self._ending_or_closing:
            return False
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._nudged.wait()), loop.create_task(self._ending.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return not self._ending_or_closing


async def _stop_in_turn(
    sidecars: Sequence[ContainerRunner], grace: float, others: Sequence[ContainerRunner] = ()
) -> None:
    """End the others, then the sidecars, the last first. All hooks run at once, as the kubelet runs them.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#termination-with-sidecars
    """
    async with asyncio.TaskGroup() as group:
        ending = [group.create_task(runner.stop(grace)) for runner in others]
        for sidecar in reversed(sidecars):
            ending.append(group.create_task(sidecar.stop(grace, after=tuple(ending))))


def _containers(pod: Pod) -> tuple[Container, ...]:
    return (*pod.spec.init_containers, *pod.spec.containers)

"""A pod's status: made of its facts by pure functions (phase, conditions, container statuses), and written.

The rules are the kubelet's; see https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mesh_lab.conditions import condition, others
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.node.pod.facts import ContainerFacts, PodFacts, Running, State, Terminated, Waiting
from mesh_lab.kube.objects.containers import Resources
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.registry import Object, Registry
from mesh_lab.kube.registry.syntax import quantities
from mesh_lab.kube.resources import PODS
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
_QOS_RESOURCES = ("cpu", "memory")
_DEBOUNCE_SECONDS = 0.005  # changes within this time are written together
_RETRY_SECONDS = 1.0


class StatusPublisher:
    """Publishes one pod's status. `pod` returns the present pod; with `silent` nothing is written."""

    def __init__(self, registry: Registry, pod: Callable[[], Pod], facts: PodFacts, *, silent: bool) -> None:
        self._registry = registry
        self._pod = pod
        self._facts = facts
        self._silent = silent
        self._dirty = asyncio.Event()

    def changed(self) -> None:
        """Note that the facts have changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Write what changes until cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_DEBOUNCE_SECONDS)
            self._dirty.clear()
            try:
                await self.publish()
            except ApiError as error:
                # A pod that was just deleted has no status any more; its worker gets the DELETED event next.
                level = logging.DEBUG if error.reason == "NotFound" else logging.WARNING
                where = self._pod().metadata
                log.log(level, "status of pod %s/%s: %s", where.namespace, where.name, error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._dirty.set()

    async def publish(self) -> None:
        """Write the present status, once the pod has begun.

        Raises:
            ApiError: it cannot be written.
        """
        if self._facts.start_time is not None and not self._silent:
            await self.write(lambda old: build(self._pod(), self._facts, old, datetime.now(UTC)))

    async def write(self, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        """Write what `change` makes of the present status.

        Raises:
            ApiError: it cannot be written.
        """
        metadata = self._pod().metadata

        def apply(obj: Object) -> Object | None:
            if obj["metadata"]["uid"] != metadata.uid:
                return None
            return {**obj, "status": change(obj.get("status") or {})}

        await self._registry.modify(PODS, metadata.name, metadata.namespace, apply, subresource="status")


def build(pod: Pod, facts: PodFacts, old: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the whole status.

    `old` is the stored one: its conditions keep their transition times, and those of other owners stay.
    """
    phase = pod_phase(pod, facts)
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": _conditions(facts, phase, old.get("conditions") or (), timestamp(now)),
        "hostIP": next(iter(facts.host_ips), ""),
        "hostIPs": [{"ip": address} for address in facts.host_ips],
        "qosClass": old.get("qosClass") or qos_class(pod),
        "containerStatuses": [_container(c) for c in facts.main.values()],
    }
    if facts.start_time is not None:
        status["startTime"] = timestamp(facts.start_time)
    if facts.pod_ips:
        status |= {"podIP": facts.pod_ips[0], "podIPs": [{"ip": address} for address in facts.pod_ips]}
    if facts.init:
        status["initContainerStatuses"] = [_container(c) for c in facts.init.values()]
    if facts.reason:
        status |= {"reason": facts.reason, "message": facts.message}
    return status


def pod_phase(pod: Pod, facts: PodFacts) -> str:
    """Return the pod's phase. Succeeded and Failed are final."""
    if facts.failed:
        return FAILED
    policy = pod.spec.restart_policy
    for container in facts.init.values():
        if not container.sidecar and isinstance(container.state, Terminated) and container.state.code:
            return FAILED if policy == "Never" else PENDING
    if not facts.initialized:
        return PENDING
    states = list(facts.main.values())
    if any(isinstance(c.state, Waiting) and not c.ever_ended for c in states):
        return PENDING
    sidecars = [c for c in facts.init.values() if c.sidecar]
    if any(isinstance(c.state, Running) for c in (*states, *sidecars)) or policy == "Always":
        return RUNNING
    ended = [c.state for c in states if isinstance(c.state, Terminated)]
    if len(ended) == len(states):
        if all(state.code == 0 for state in ended):
            return SUCCEEDED
        if policy == "Never":
            return FAILED
    return RUNNING


def qos_class(pod: Pod) -> str:
    """Return the QoS class (Guaranteed, Burstable, BestEffort) by the containers' requests and limits."""
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    if not any(_asked(c.resources) for c in containers):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(c.resources) for c in containers) else "Burstable"


def _asked(resources: Resources) -> bool:
    return any(name in side for side in (resources.limits, resources.requests) for name in _QOS_RESOURCES)


def _is_guaranteed(resources: Resources) -> bool:
    limits, requests = resources.limits, resources.requests
    return all(
        name in limits
        and quantities.parse(str(limits[name])) == quantities.parse(str(requests.get(name, limits[name])))
        for name in _QOS_RESOURCES
    )


def _conditions(facts: PodFacts, phase: str, old: Sequence[Mapping[str, Any]], now: str) -> list[dict[str, Any]]:
    unready = [c.name for c in facts.main.values() if not c.ready]
    unready = [c.name for c in facts.init.values() if c.sidecar and not c.ready] + unready
    incomplete = [c.name for c in facts.init.values() if not _is_complete(c)]
    if phase == SUCCEEDED:
        why, message = "PodCompleted", ""
    elif unready:
        why, message = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    else:
        why, message = "", ""
    if phase == FAILED:
        why, message = "PodFailed", ""
    is_ready = not unready and phase == RUNNING
    initialized = facts.initialized or phase == SUCCEEDED
    incomplete_text = f"containers with incomplete status: [{' '.join(incomplete)}]"
    values = (
        ("PodReadyToStartContainers", facts.sandboxed, "", ""),
        ("Initialized", initialized, "ContainersNotInitialized", incomplete_text),
        ("Ready", is_ready, why, message),
        ("ContainersReady", is_ready, why, message),
        ("PodScheduled", True, "", ""),
    )
    ours = [
        condition(old, kind, "True", now=now)
        if value
        else condition(old, kind, "False", why, text if why else "", now=now)
        for kind, value, why, text in values
    ]
    return ours + others(old, *(kind for kind, *_ in values))


def _is_complete(container: ContainerFacts) -> bool:
    if container.sidecar:
        return container.started
    return isinstance(container.state, Terminated) and container.state.code == 0


def _container(facts: ContainerFacts) -> dict[str, Any]:
    status: dict[str, Any] = {
        "name": facts.name,
        "state": _state(facts.state),
        "lastState": {} if facts.last is None else _state(facts.last),
        "ready": facts.ready,
        "started": facts.started,
        "restartCount": facts.restarts,
        "image": facts.image,
        "imageID": facts.image_id,
    }
    if facts.container_id:
        status["containerID"] = facts.container_id
    return status


def _state(state: State) -> dict[str, Any]:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(since):
            return {"running": {"startedAt": timestamp(since)}}
        case Terminated():
            ended: dict[str, Any] = {
                "exitCode": state.code,
                "reason": state.reason,
                "startedAt": timestamp(state.started or state.finished),
                "finishedAt": timestamp(state.finished),
            }
            if state.signal:
                ended["signal"] = state.signal
            if state.message:
                ended["message"] = state.message
            if state.container_id:
                ended["containerID"] = state.container_id
            return {"terminated": ended}

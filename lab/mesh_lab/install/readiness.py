"""Waiting for Deployments by watching them, and saying what is wrong when nothing moves.

A Deployment is ready when its controller has seen the latest of it, all replicas are of the newest template, and all
of them are available (what `kubectl rollout status` waits for).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import running_containers
from mesh_lab.client.rollout import is_rolled_out
from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError
from mesh_lab.rfc3339 import parse

_DEPLOYMENTS = "/apis/apps/v1/deployments"
_SILENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_PODS_PAUSE_SECONDS = 0.1
_EVENTS_SHOWN = 3
_COUNTS = {"updatedReplicas": "of the newest template", "replicas": "in all", "availableReplicas": "available"}
_WORDS_SHOWN = 5


@dataclass(frozen=True, order=True)
class Workload:
    """A Deployment, by name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def await_deployments(api: Api, wanted: Collection[Workload], deadline: float, report: Report) -> None:
    """Return when all of `wanted` are ready. `deadline` is in `time.monotonic` seconds.

    When nothing moves for ten seconds, pods that are not ready are reported with their conditions and events, once as
    long as these stay the same.

    Raises:
        LabError: not all are ready at the deadline; the message has the pods' conditions and events.
    """
    waiting, reported = set(wanted), list[str]()
    while True:
        listed = _request(lambda: api.request("GET", _DEPLOYMENTS))
        waiting = _settle(waiting, listed["items"], report)
        left = deadline - time.monotonic()
        if not waiting or left <= 0:
            break
        try:
            version = listed["metadata"]["resourceVersion"]
            for _type, changed in api.watch(_DEPLOYMENTS, version, silence=min(left, _SILENCE_SECONDS)):
                waiting = _settle(waiting, [changed], report)
                if not waiting:
                    return
                if time.monotonic() > deadline:
                    break
        except ApiError:
            # The list at the head of the loop shows whether the API still answers; the pause is for one that refuses.
            time.sleep(_PAUSE_SECONDS)
            continue
        lines = describe(api, waiting)
        if lines != reported:
            report("\n".join(["still waiting:", *lines]))
        reported = lines
    if waiting:
        raise LabError("\n".join(["not all became ready in time:", *describe(api, waiting)]))


def await_pods(
    pods: Callable[[], list[Object]],
    since: Mapping[str, datetime],
    deadline: float,
    report: Report,
    *,
    quiet: float = 0.0,
) -> None:
    """Return when each pod that `pods` gives is ready, and its containers were started after its node was.

    After a node's restart the status of a Deployment and of its pods is stale until the kubelet has synced them.
    `since` has the start of nodes by name; the pods of others need only be ready. `deadline` is in `time.monotonic`
    seconds. What is waited for is reported after `quiet` seconds.

    Raises:
        LabError: not all are ready at the deadline, or the API does not answer.
    """
    reported: list[str] = []
    begun = time.monotonic()
    while True:
        lines = [line for pod in _request(pods) for line in _unobserved(pod, since)]
        if not lines:
            return
        if time.monotonic() > deadline:
            raise LabError("\n".join(["not all pods became ready in time:", *lines]))
        if lines != reported and time.monotonic() - begun >= quiet:
            report("\n".join(["waiting for pods:", *lines]))
            reported = lines
        time.sleep(_PODS_PAUSE_SECONDS)


def belongs(pod: Object, workloads: Iterable[Workload]) -> bool:
    """Whether a pod is of one of the Deployments, by its name."""
    return any(pod["metadata"]["namespace"] == each.namespace and _named_after(pod, each) for each in workloads)


def _named_after(pod: Object, workload: Workload) -> bool:
    return str(pod["metadata"]["name"]).startswith(f"{workload.name}-")


def describe(api: Api, waiting: Iterable[Workload]) -> list[str]:
    """For each workload that is not ready, what its pods, their containers and the latest warnings say."""
    lines = []
    for workload in sorted(waiting):
        try:
            lines += _describe(api, workload)
        except ApiError as error:
            lines.append(f"{workload}: {error.message}")
    return lines


def ready_containers(pod: Object) -> tuple[int, int]:
    """How many of a pod's running containers are ready, and how many it has: kubectl's READY column."""
    status, names = pod.get("status", {}), {container["name"] for container in running_containers(pod)}
    statuses = (*status.get("containerStatuses", []), *status.get("initContainerStatuses", []))
    return sum(1 for one in statuses if one["name"] in names and one.get("ready")), len(names)


def _settle(waiting: set[Workload], deployments: Iterable[Object], report: Report) -> set[Workload]:
    """`waiting` without those that are ready now."""
    ready = set()
    for deployment in deployments:
        workload = Workload(deployment["metadata"]["namespace"], deployment["metadata"]["name"])
        if workload in waiting and is_rolled_out(deployment):
            ready.add(workload)
            report(f"{workload} is ready")
    return waiting - ready


def _request(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ApiError as error:
        raise LabError(f"the cluster's API: {error.message}") from error


def _describe(api: Api, workload: Workload) -> list[str]:
    listed = api.request("GET", f"/api/v1/namespaces/{workload.namespace}/pods")["items"]
    made = [pod for pod in listed if _named_after(pod, workload)]
    pods = [pod for pod in made if not _whole(pod)]
    events = api.request("GET", f"/api/v1/namespaces/{workload.namespace}/events")["items"]
    lines = [f"{workload}: {_rollout(api, workload, made=len(made))}"] if not pods else []
    for pod in pods:
        ready, containers = ready_containers(pod)
        phase = pod.get("status", {}).get("phase", "Pending")
        lines.append(f"{workload.namespace}/{pod['metadata']['name']}: {phase}, {ready}/{containers} ready")
        lines += [f"  {line}" for line in _troubles(pod)]
    names = {pod["metadata"]["name"] for pod in pods} | {workload.name}
    about = [e for e in events if _subject(e) in names or (not pods and _subject(e).startswith(f"{workload.name}-"))]
    warnings = [e for e in about if e.get("type") == "Warning"]
    return lines + [f"  {_subject(e)}: {e.get('reason')}: {e.get('message')}" for e in warnings[-_EVENTS_SHOWN:]]


def _rollout(api: Api, workload: Workload, *, made: int) -> str:
    """What a Deployment waits for that has no pod, or none that is not ready."""
    if not made:
        return "no pod yet"
    deployment = api.request("GET", f"/apis/apps/v1/namespaces/{workload.namespace}/deployments/{workload.name}")
    status = deployment.get("status", {})
    counts = ", ".join(f"{status.get(field, 0)} {word}" for field, word in _COUNTS.items())
    return f"its pods are ready; of {deployment.get('spec', {}).get('replicas', 1)} wanted, its status counts {counts}"


def _unobserved(pod: Object, since: Mapping[str, datetime]) -> list[str]:
    """Why a pod does not count as ready; empty when it does."""
    name = f"  {pod['metadata']['namespace']}/{pod['metadata']['name']}"
    status = pod.get("status", {})
    if not _whole(pod):
        ready, containers = ready_containers(pod)
        return [f"{name}: {status.get('phase', 'Pending')}, {ready}/{containers} ready"]
    start = since.get(pod.get("spec", {}).get("nodeName", ""))
    running = [container.get("state", {}).get("running") for container in status.get("containerStatuses", [])]
    if start and any(one and parse(one["startedAt"]) < start for one in running):
        return [f"{name}: not seen again since its node was started"]
    return []


def _whole(pod: Object) -> bool:
    ready, containers = ready_containers(pod)
    return ready == containers


def _troubles(pod: Object) -> list[str]:
    status = pod.get("status", {})
    lines = []
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        for state in ("waiting", "terminated"):
            detail = container.get("state", {}).get(state)
            if detail and detail.get("reason") != "Completed":
                text = _message_lines(detail)
                message = f": {text[0]}" if len(text) == 1 else "".join(f"\n    {line}" for line in text)
                code = f" with exit code {detail['exitCode']}" if "exitCode" in detail else ""
                lines.append(f"container {container['name']} is {state}{code}, {detail.get('reason')}{message}")
        lines += _last_words(container)
    conditions = [c for c in status.get("conditions", []) if c.get("status") == "False" and c.get("message")]
    return lines + [f"{c['type']} is False: {c['message']}" for c in conditions]


def _last_words(status: Object) -> list[str]:
    """The output of a container that failed before its last restart, if it is not ready since."""
    ended = status.get("lastState", {}).get("terminated")
    if status.get("ready") or not ended or not ended.get("exitCode"):
        return []
    text = _message_lines(ended)
    before = f"container {status['name']} ended before with exit code {ended['exitCode']}, {ended.get('reason')}"
    return [before + (":" if text else "; see kubectl logs --previous"), *(f"  {line}" for line in text)]


def _message_lines(state: Object) -> list[str]:
    """The last lines of a state's message."""
    return [line for line in state.get("message", "").splitlines() if line.strip()][-_WORDS_SHOWN:]


def _subject(event: Object) -> str:
    name: str = event.get("involvedObject", {}).get("name", "")
    return name

"""Pods in a table: one word for what a pod's containers are up to, as `kubectl get pods` has shown it for years."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.conditions import find
from mesh_lab.kube.registry.printing.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    age,
    items,
    name,
    part,
    wide,
)
from mesh_lab.kube.registry.printing.durations import human, parse

_FINAL_PHASES = ("Succeeded", "Failed")


def _row(pod: Mapping[str, Any], now: datetime) -> Cells:
    ready, total = _readiness(pod)
    return [
        name(pod),
        f"{ready}/{total}",
        status_word(pod),
        _restarts(pod, now),
        age(pod, now),
        next((ip["ip"] for ip in items(pod, "status", "podIPs")), "") or part(pod, "status").get("podIP") or NONE,
        part(pod, "spec").get("nodeName") or NONE,
        part(pod, "status").get("nominatedNodeName") or NONE,
        _gates(pod),
    ]


def status_word(pod: Mapping[str, Any]) -> str:
    """The STATUS column: a phase, a container's trouble, progress of the init containers, or `Terminating`."""
    status = part(pod, "status")
    phase = status.get("phase", "")
    leaving = pod["metadata"].get("deletionTimestamp")
    if leaving and status.get("reason") == "NodeLost":
        return "Unknown"
    if leaving and phase not in _FINAL_PHASES:
        return "Terminating"
    word = status.get("reason") or phase
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    initialising = _init_word(pod)
    if initialising and _condition(pod, "Initialized").get("status") != "True":
        return initialising
    return _containers_word(pod, word)


def _init_word(pod: Mapping[str, Any]) -> str:
    """What the first unfinished init container is up to; empty when all are done."""
    containers = {c["name"]: c for c in items(pod, "spec", "initContainers")}
    for index, status in enumerate(items(pod, "status", "initContainerStatuses")):
        state = part(status, "state")
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if _is_sidecar(containers.get(status["name"], {})) and status.get("started"):
            continue
        if ended is not None:
            return "Init:" + _ending(ended)
        if waiting.get("reason", "PodInitializing") != "PodInitializing":
            return "Init:" + str(waiting["reason"])
        return f"Init:{index}/{len(containers)}"
    return ""


def _containers_word(pod: Mapping[str, Any], word: str) -> str:
    """The trouble of the first container that has any, else `word`."""
    running = False
    for status in reversed(items(pod, "status", "containerStatuses")):
        state = part(status, "state")
        if reason := part(state, "waiting").get("reason"):
            word = reason
        elif (ended := state.get("terminated")) is not None:
            word = _ending(ended)
        elif status.get("ready") and state.get("running") is not None:
            running = True
    if word == "Completed" and running:
        return "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"
    return word


def _ending(ended: Mapping[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _readiness(pod: Mapping[str, Any]) -> tuple[int, int]:
    """How many containers are ready, and how many there are; sidecars among the init containers count."""
    sidecars = {c["name"] for c in items(pod, "spec", "initContainers") if _is_sidecar(c)}
    statuses = items(pod, "status", "containerStatuses")
    ready = sum(1 for s in statuses if s.get("ready") and part(s, "state").get("running") is not None)
    ready += sum(
        1
        for s in items(pod, "status", "initContainerStatuses")
        if s["name"] in sidecars and s.get("started") and s.get("ready")
    )
    return ready, len(items(pod, "spec", "containers")) + len(sidecars)


def _restarts(pod: Mapping[str, Any], now: datetime) -> str:
    """`3 (5m ago)`. While init containers run, theirs count; afterwards the containers' and the sidecars'."""
    sidecars = {c["name"] for c in items(pod, "spec", "initContainers") if _is_sidecar(c)}
    init = items(pod, "status", "initContainerStatuses")
    if not _init_word(pod):
        init = [s for s in init if s["name"] in sidecars]
        counted = init + items(pod, "status", "containerStatuses")
    else:
        counted = init
    total = sum(s.get("restartCount", 0) for s in counted)
    ends = [parse(part(s, "lastState", "terminated").get("finishedAt")) for s in counted]
    last = max((end for end in ends if end is not None), default=None)
    if not total or last is None:
        return str(total)
    return f"{total} ({human((now - last).total_seconds())} ago)"


def _gates(pod: Mapping[str, Any]) -> str:
    gates = [gate["conditionType"] for gate in items(pod, "spec", "readinessGates")]
    passed = sum(1 for gate in gates if _condition(pod, gate).get("status") == "True")
    return f"{passed}/{len(gates)}" if gates else NONE


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return find(items(pod, "status", "conditions"), kind)


def _finished(pod: Mapping[str, Any]) -> bool:
    return part(pod, "status").get("phase") in _FINAL_PHASES


PRINTER = Printer(
    (
        NAME,
        Column("Ready", description="How many of the pod's containers are ready."),
        Column("Status", description="What the pod's containers are up to."),
        Column("Restarts", description="How often containers of the pod were restarted, and when last."),
        AGE,
        *wide("IP", "Node", "Nominated Node", "Readiness Gates"),
    ),
    _row,
    _finished,
)

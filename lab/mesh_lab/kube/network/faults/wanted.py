"""What a pod's annotations ask for at a moment: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mesh_lab.kube.objects.pods import Pod
from mesh_lab.networkfaults import ENDED, MOST_SECONDS, REFUSED, Fault, FaultError, asked_for, parse
from mesh_lab.rfc3339 import micro_timestamp


@dataclass(frozen=True)
class Wanted:
    """One fault of a pod with these addresses, to be in force."""

    fault: Fault
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """Why a fault is not in force: a condition's reason and message."""

    reason: str
    message: str


def wanted(pod: Pod, now: datetime) -> dict[str, Wanted | Answer]:
    """Each fault by its key; empty while the pod has no address, and once it has ended."""
    addresses = tuple(each.ip for each in pod.status.pod_ips if each.ip)
    if not addresses or pod.finished:
        return {}
    return {key: _judged(pod, text, addresses, now) for key, text in asked_for(pod.metadata.annotations)}


def next_end(found: Mapping[str, Any]) -> datetime | None:
    """When the first of these faults ends."""
    return min((each.fault.until for each in found.values() if isinstance(each, Wanted)), default=None)


def _judged(pod: Pod, text: str, addresses: tuple[str, ...], now: datetime) -> Wanted | Answer:
    try:
        fault = parse(text)
    except FaultError as error:
        return Answer(REFUSED, f"the annotation asks for no fault: {error}")
    if pod.spec.host_network:
        return Answer(REFUSED, "the pod is in the node's network (hostNetwork), whose faults would be every pod's")
    if fault.until <= now:
        return Answer(ENDED, f"until {micro_timestamp(fault.until)}")
    if fault.until > now + timedelta(seconds=MOST_SECONDS):
        return Answer(REFUSED, f"`until` is more than {MOST_SECONDS:g} s ahead: {micro_timestamp(fault.until)}")
    return Wanted(fault, addresses)

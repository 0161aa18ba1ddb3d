"""Scheduling: whether the only node suits a pod, what pods request of it and what is left, and which pods come first.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/,
https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-requests-are-scheduled
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mesh_lab.conditions import condition, updated
from mesh_lab.kube.objects.containers import Quantity
from mesh_lab.kube.objects.meta import contains
from mesh_lab.kube.objects.nodes import NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE, Node, Taint
from mesh_lab.kube.objects.pods import NodeSelectorRequirement, NodeSelectorTerm, Pod
from mesh_lab.kube.registry import Object
from mesh_lab.kube.registry.syntax import quantities

Amounts = Mapping[str, Decimal]
_NONE = Decimal(0)
_NONE_AVAILABLE = "0/1 nodes are available:"


def objection(pod: Pod, node: Node, lacking: Sequence[str] = ()) -> str:
    """Return why the pod may not run on the node, in the scheduler's words; empty when it may.

    `lacking` names the resources that the node has too little of. Like the scheduler's filters it stops at the first
    reason, and the order is theirs.
    """
    taints = [taint for taint in node.spec.taints if taint.effect in (NO_SCHEDULE, NO_EXECUTE)]
    cordon = Taint(key=UNSCHEDULABLE)
    if node.spec.unschedulable and not tolerates(pod, cordon):
        return f"{_NONE_AVAILABLE} 1 node(s) were unschedulable."
    for taint in taints:
        if not tolerates(pod, taint):
            return f"{_NONE_AVAILABLE} 1 node(s) had untolerated taint {{{taint.key}: {taint.value}}}."
    if not _is_wanted(pod, node):
        return f"{_NONE_AVAILABLE} 1 node(s) didn't match Pod's node affinity/selector."
    if lacking:
        words = ("1 Too many pods" if name == "pods" else f"1 Insufficient {name}" for name in lacking)
        return f"{_NONE_AVAILABLE} {', '.join(words)}."
    return ""


def tolerates(pod: Pod, taint: Taint) -> bool:
    """Return whether the pod tolerates the taint."""
    return any(toleration.covers(taint) for toleration in pod.spec.tolerations)


def _is_wanted(pod: Pod, node: Node) -> bool:
    """Return whether the node matches the pod's node selector and required node affinity."""
    labels = node.metadata.labels
    if not contains(dict(labels), pod.spec.node_selector):
        return False
    affinity = pod.spec.affinity
    if affinity is None or affinity.node_affinity is None or affinity.node_affinity.required is None:
        return True
    terms = affinity.node_affinity.required.node_selector_terms
    return any(_term(term, node.metadata.name, labels) for term in terms)


def in_order(pods: Iterable[Object]) -> list[Object]:
    """Sort the pods of the initial list by priority, then oldest first.

    The first is the order of the scheduler's queue, the second that of a kubelet.
    https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/framework/plugins/queuesort/priority_sort.go
    """
    return sorted(pods, key=lambda pod: (-pod["spec"].get("priority", 0), pod["metadata"]["creationTimestamp"]))


def unschedulable(status: Mapping[str, Any], why: str) -> dict[str, Any]:
    """Return the status of a pod that no node suits."""
    before = status.get("conditions")
    return {**status, "conditions": updated(before, condition(before, "PodScheduled", "False", "Unschedulable", why))}


def _term(term: NodeSelectorTerm, node_name: str, labels: Mapping[str, str]) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    return all(_requirement(r, labels) for r in term.match_expressions) and all(
        _requirement(r, {"metadata.name": node_name}) for r in term.match_fields
    )


def _requirement(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    if requirement.operator not in ("Gt", "Lt"):
        return requirement.matches(dict(labels))
    try:
        there, wanted = int(labels[requirement.key]), int(requirement.values[0])
    except (KeyError, ValueError, IndexError):
        return False
    return there > wanted if requirement.operator == "Gt" else there < wanted


def requests(pod: Pod) -> dict[str, Decimal]:
    """Return the pod's effective resource requests, including itself as one of the node's `pods`.

    That is the most that it needs at once: its containers and sidecars together, or an init container with the
    sidecars before it; pod-level requests win. https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    total = dict[str, Decimal]()
    for container in pod.spec.containers:
        _add(total, amounts(container.resources.requests))
    beside, most = dict[str, Decimal](), dict[str, Decimal]()
    for container in pod.spec.init_containers:
        own = amounts(container.resources.requests)
        if container.is_sidecar:
            _add(beside, own)
            _add(total, own)
            continue
        _add(own, beside)
        most = {name: max(most.get(name, _NONE), own.get(name, _NONE)) for name in {*most, *own}}
    wanted = {name: max(total.get(name, _NONE), most.get(name, _NONE)) for name in {*total, *most}}
    wanted |= amounts(pod.spec.resources.requests)
    _add(wanted, amounts(pod.spec.overhead))
    return {**wanted, "pods": Decimal(1)}


def amounts(written: Mapping[str, Quantity]) -> dict[str, Decimal]:
    """Parse quantities."""
    return {name: quantities.parse(str(text)) for name, text in written.items()}


class Room:
    """The resources that pods hold on the node. `freed` is called when some are released."""

    def __init__(self, freed: Callable[[], None]) -> None:
        self._freed = freed
        self._taken: dict[str, Amounts] = {}

    def lacking(self, pod: Pod, allocatable: Amounts) -> list[str]:
        """Return the names of the resources that do not suffice for the pod beside the others, sorted."""
        used = dict[str, Decimal]()
        for uid, taken in self._taken.items():
            if uid != pod.metadata.uid:
                _add(used, taken)
        return sorted(
            name
            for name, wanted in requests(pod).items()
            if wanted and used.get(name, _NONE) + wanted > allocatable.get(name, _NONE)
        )

    def take(self, pod: Pod) -> None:
        """Count the pod's requests as used, whether or not there is enough."""
        self._taken[pod.metadata.uid] = requests(pod)

    def give_back(self, pod: Pod) -> None:
        """Release the pod's requests; does nothing when it holds none."""
        if self._taken.pop(pod.metadata.uid, None) is not None:
            self._freed()


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, _NONE) + amount

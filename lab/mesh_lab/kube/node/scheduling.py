"""Whether this node, the only one, suits a pod, and which pods come first. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mesh_lab.kube.objects.meta import contains
from mesh_lab.kube.objects.nodes import NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE, Node, Taint
from mesh_lab.kube.objects.pods import NodeSelectorRequirement, NodeSelectorTerm, Pod
from mesh_lab.kube.registry import Object

_NONE_AVAILABLE = "0/1 nodes are available:"


def objection(pod: Pod, node: Node, lacking: Sequence[str] = ()) -> str:
    """Why the pod may not run on the node, in the scheduler's words; nothing when it may. `lacking` is what the node
    has too little of.

    Like the scheduler's filters it stops at the first reason, and the order is theirs.
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
    """Whether the pod puts up with the taint."""
    return any(toleration.covers(taint) for toleration in pod.spec.tolerations)


def _is_wanted(pod: Pod, node: Node) -> bool:
    """Whether the node is one of those that the pod asks for."""
    labels = node.metadata.labels
    if not contains(dict(labels), pod.spec.node_selector):
        return False
    affinity = pod.spec.affinity
    if affinity is None or affinity.node_affinity is None or affinity.node_affinity.required is None:
        return True
    terms = affinity.node_affinity.required.node_selector_terms
    return any(_term(term, node.metadata.name, labels) for term in terms)


def in_order(pods: Iterable[Object]) -> list[Object]:
    """The pods that are there when the node comes up: by priority, as the scheduler's queue sorts them, and then the
    oldest first, as a kubelet takes them up.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/framework/plugins/queuesort/priority_sort.go
    """
    return sorted(pods, key=lambda pod: (-pod["spec"].get("priority", 0), pod["metadata"]["creationTimestamp"]))


def unschedulable(status: Mapping[str, Any], why: str, now: str) -> dict[str, Any]:
    """The status of a pod that no node suits."""
    others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": why,
        "lastTransitionTime": now,
    }
    return {**status, "conditions": [*others, condition]}


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

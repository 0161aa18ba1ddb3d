"""Whether this node, the only one, suits a pod, and which pods come first. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.kube.objects.meta import contains
from lab.kube.objects.pods import NodeSelectorRequirement, NodeSelectorTerm, Pod
from lab.kube.registry import Object

_MISMATCH = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


def objection(pod: Pod, node_name: str, labels: Mapping[str, str]) -> str:
    """Why the pod may not run on the node, in the scheduler's words; nothing when it may."""
    if not contains(dict(labels), pod.spec.node_selector):
        return _MISMATCH
    affinity = pod.spec.affinity
    if affinity is None or affinity.node_affinity is None or affinity.node_affinity.required is None:
        return ""
    terms = affinity.node_affinity.required.node_selector_terms
    return "" if any(_term(term, node_name, labels) for term in terms) else _MISMATCH


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

"""Nodes, as scheduler and taint manager read them.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh_lab.kube.objects.containers import Quantity
from mesh_lab.kube.objects.meta import ObjectMeta, View

NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


class Taint(View, frozen=True, kw_only=True):
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str = ""
    effect: str = NO_SCHEDULE


class NodeSpec(View, frozen=True, kw_only=True):
    """The wanted state."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(View, frozen=True, kw_only=True):
    """The observed state."""

    allocatable: dict[str, Quantity] = msgspec.field(default_factory=dict)


class Node(View, frozen=True, kw_only=True):
    """A node."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Toleration(View, frozen=True, kw_only=True):
    """Taints that a pod tolerates: of any key when it names none, for a limited time if that is given."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    def covers(self, taint: Taint) -> bool:
        """Return whether the toleration matches the taint."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == taint.value)


def read_node(obj: dict[str, Any]) -> Node:
    """The typed view of a stored node.

    Raises:
        msgspec.ValidationError: the object does not have a node's shape (the API server lets no such object in).
    """
    return msgspec.convert(obj, Node)

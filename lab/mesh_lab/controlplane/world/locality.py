"""Where things run: region, zone and subzone, by the labels of nodes and pods.

https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

REGION, ZONE, SUBZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"
NODE_NAME = "kubernetes.io/hostname"
OWN_LOCALITY = "istio-locality"
"""The label by which a pod states its own locality, over that of its node; `.` stands for `/` there."""

_FORMER = {REGION: "failure-domain.beta.kubernetes.io/region", ZONE: "failure-domain.beta.kubernetes.io/zone"}


class Locality(NamedTuple):
    """Parts that are not known are empty."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """`region/zone/subzone`, of which the end may be missing; further parts have no meaning."""
        return cls(*text.split("/")[:3])


NOWHERE = Locality()


def of_node(labels: Mapping[str, str]) -> Locality:
    """The locality of a node, by its labels."""
    region, zone = (labels.get(name) or labels.get(_FORMER[name], "") for name in (REGION, ZONE))
    return Locality(region, zone, labels.get(SUBZONE, ""))


def of_pod(labels: Mapping[str, str], node: Locality) -> Locality:
    """The locality of a pod: its own label, else its node's."""
    own = labels.get(OWN_LOCALITY, "")
    if not own:
        return node
    return Locality.parse(own if "/" in own else own.replace(".", "/"))


def with_topology(labels: Mapping[str, str], locality: Locality, node: str) -> dict[str, str]:
    """Labels and, beside them, those that say where a workload runs."""
    where = {REGION: locality.region, ZONE: locality.zone, SUBZONE: locality.subzone, NODE_NAME: node}
    return {**labels, **{name: value for name, value in where.items() if value}}

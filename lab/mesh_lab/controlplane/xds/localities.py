"""Load balancing by locality: which endpoints a client prefers, and which stand in for them.

Settings come from a DestinationRule, a Service's `trafficDistribution` or the mesh, in this order, as in Istio's
pilot/pkg/networking/core/loadbalancer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint

from mesh_lab.controlplane.model.destinationrule import (
    LoadBalancerSettings,
    LocalityDistribute,
    LocalityFailover,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from mesh_lab.controlplane.world.locality import NODE_NAME, REGION, SUBZONE, ZONE, Locality
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.policies import HostRules

NETWORK = "topology.istio.io/network"

# What a Service's `trafficDistribution` means: the labels that endpoints share with their clients, if possible.
_SAME_ZONE = LocalityLoadBalancerSetting(failover_priority=[NETWORK, REGION, ZONE])
_DISTRIBUTIONS: Mapping[str, LocalityLoadBalancerSetting] = {
    "PreferClose": _SAME_ZONE,
    "PreferSameZone": _SAME_ZONE,
    "PreferSameNode": LocalityLoadBalancerSetting(failover_priority=[NETWORK, REGION, ZONE, SUBZONE, NODE_NAME]),
}

Labels = tuple[tuple[str, str], ...]


class Client(NamedTuple):
    """Where a proxy is, and those of its labels by which endpoints are preferred."""

    locality: Locality = Locality()
    labels: Labels = ()


class Nearness(NamedTuple):
    """How a cluster's endpoints are preferred; `forced` without regard to whether failures are detected."""

    setting: LocalityLoadBalancerSetting | ZoneAwareLoadBalancerSetting
    forced: bool = False

    @property
    def by_zone(self) -> bool:
        """Whether zones are Envoy's own business."""
        return isinstance(self.setting, ZoneAwareLoadBalancerSetting)


def nearness_of(mesh: MeshConfig, balancer: LoadBalancerSettings | None, distribution: str) -> Nearness | None:
    """The setting that holds; None where localities play no part."""
    if balancer is not None and balancer.zone_aware_lb_setting is not None:
        return Nearness(balancer.zone_aware_lb_setting, forced=balancer.zone_aware_lb_setting.enabled is not False)
    own = balancer.locality_lb_setting if balancer is not None else None
    if own is None and distribution in _DISTRIBUTIONS:
        return Nearness(_DISTRIBUTIONS[distribution], forced=True)
    setting = own or mesh.locality_lb_setting
    return Nearness(setting) if setting.enabled is not False else None


def labels_wanted(mesh: MeshConfig, rules: Iterable[HostRules], distributions: Iterable[str]) -> frozenset[str]:
    """The labels of clients by which any endpoints are preferred."""
    asked = [_DISTRIBUTIONS[each] for each in distributions if each in _DISTRIBUTIONS]
    found = {_name(label) for each in (mesh.locality_lb_setting, *asked) for label in each.failover_priority}
    for each in rules:
        of_subsets = [subset.traffic_policy for subset in each.subsets]
        for policy in (p for p in (each.policy, *of_subsets) if p is not None):
            for balancer in (policy.load_balancer, *(own.load_balancer for own in policy.port_level_settings)):
                settings = (balancer.locality_lb_setting, balancer.zone_aware_lb_setting) if balancer else ()
                found.update(_name(label) for s in settings if s is not None for label in s.failover_priority)
    return frozenset(found)


def _name(label: str) -> str:
    return label.partition("=")[0]


def apply_nearness(cluster: Cluster, nearness: Nearness | None, *, detected: bool) -> None:
    """Whether shares of localities count, or zones are for Envoy to tell apart. `detected`: see `order_of`."""
    if nearness is None or cluster.lb_policy == Cluster.CLUSTER_PROVIDED:
        return
    setting, config = nearness.setting, cluster.common_lb_config
    if isinstance(setting, ZoneAwareLoadBalancerSetting):
        config.zone_aware_lb_config.SetInParent()
        if setting.min_cluster_size is not None:
            config.zone_aware_lb_config.min_cluster_size.value = setting.min_cluster_size
        if setting.enabled is False:
            config.zone_aware_lb_config.routing_enabled.SetInParent()
        return
    failing_over = nearness.forced or detected
    if setting.distribute or (failing_over and (setting.failover or setting.failover_priority)):
        config.locality_weighted_lb_config.SetInParent()


@dataclass(frozen=True)
class Member:
    """An endpoint, and the labels that say what it is and where."""

    endpoint: LbEndpoint
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """The endpoints of one locality that are preferred alike: 0 comes first."""

    locality: Locality
    members: tuple[Member, ...]
    weight: int
    priority: int = 0


def weight_of(members: Iterable[Member]) -> int:
    """The weights of endpoints, added up."""
    return sum(member.endpoint.load_balancing_weight.value for member in members)


class Order(NamedTuple):
    """What a client's view of a cluster's endpoints depends on."""

    nearness: Nearness
    client: Client

    @property
    def by_labels(self) -> bool:
        """Whether endpoints are preferred by labels."""
        return bool(self.nearness.setting.failover_priority)


def order_of(nearness: Nearness | None, client: Client, *, detected: bool) -> Order | None:
    """How a client's endpoints are ordered; None where all clients see the same.

    `detected`: failures are, without which nothing ever fails over.
    """
    if nearness is None:
        return None
    setting = nearness.setting
    if isinstance(setting, LocalityLoadBalancerSetting) and setting.distribute:
        return Order(nearness, Client(client.locality))
    if setting.enabled is False or not (nearness.forced or detected):
        return None
    return Order(nearness, client if setting.failover_priority else Client(client.locality))


def preferred(groups: Sequence[Group], order: Order) -> list[Group]:
    """The groups as a client prefers them."""
    found, nearness, client = list(groups), order.nearness, order.client
    setting, here = nearness.setting, client.locality
    if isinstance(setting, LocalityLoadBalancerSetting) and setting.distribute:
        return _distributed(found, setting.distribute, here)
    if setting.failover_priority:
        labels = dict(client.labels)
        found = [part for group in found for part in _by_labels(group, setting.failover_priority, labels)]
        if not (setting.failover or nearness.by_zone):
            return _without_gaps(found)
    rank = _rank_of_region if nearness.by_zone else _rank
    return _without_gaps(_ranked(found, lambda locality: rank(locality, here, setting.failover)))


def _distributed(groups: list[Group], distribute: list[LocalityDistribute], here: Locality) -> list[Group]:
    """The localities that the client's has shares for, with these; other localities get nothing."""
    rule = next((each for each in distribute if _matches(here, each.from_)), None)
    if rule is None:
        return groups
    left, found = dict(enumerate(groups)), dict[int, Group]()
    for pattern, share in rule.to.items():
        some = {index: group for index, group in left.items() if _matches(group.locality, pattern)}
        total = sum(group.weight for group in some.values())
        for index, group in some.items():
            found[index] = replace(left.pop(index), weight=ceil(group.weight * share / total))
    return [found[index] for index in sorted(found)]


def _matches(locality: Locality, pattern: str) -> bool:
    """Whether a locality falls under `region/zone/subzone`, of which the end may be missing, or `*`."""
    wanted = Locality.parse(pattern)
    if wanted.region not in ("*", locality.region):
        return False
    return wanted.zone in ("", "*", locality.zone) and wanted.subzone in ("", "*", locality.subzone)


def _by_labels(group: Group, priorities: Iterable[str], client: Mapping[str, str]) -> list[Group]:
    """A group in parts: the more labels an endpoint shares with the client, from the first on, the sooner it comes.

    A label may come with the value that is meant, instead of the client's own. Another network, where that is the first
    label, is worse than any difference within one.
    """
    split = (each.partition("=") for each in priorities)
    wanted = [(name, value if given else client.get(name, "")) for name, given, value in split]
    parts: dict[int, list[Member]] = {}
    for member in group.members:
        parts.setdefault(_distance(wanted, member.labels), []).append(member)
    return [
        replace(group, members=tuple(some), weight=weight_of(some), priority=priority)
        for priority, some in sorted(parts.items())
    ]


def _distance(wanted: list[tuple[str, str]], labels: Mapping[str, str]) -> int:
    apart = 0
    for index, (name, value) in enumerate(wanted):
        if labels.get(name, "") == value:
            continue
        if index == 0 and name == NETWORK:
            apart = len(wanted)
            continue
        return apart + len(wanted) - index
    return apart


def _ranked(groups: Iterable[Group], rank: Callable[[Locality], int]) -> list[Group]:
    """Ranks within the priorities that there are."""
    return [replace(group, priority=group.priority * _RANKS + rank(group.locality)) for group in groups]


_RANKS = 5
_OTHER_REGION, _OTHER_THAN_CHOSEN = 3, 4


def _rank(there: Locality, here: Locality, failover: Iterable[LocalityFailover]) -> int:
    """By what two localities share: all, region and zone, region, nothing; a region that is chosen before others."""
    if there.region != here.region:
        chosen = next((each.to for each in failover if each.from_ == here.region), None)
        return _OTHER_REGION if chosen in (None, there.region) else _OTHER_THAN_CHOSEN
    if there.zone != here.zone:
        return 2
    return 0 if there.subzone == here.subzone else 1


def _rank_of_region(there: Locality, here: Locality, failover: Iterable[LocalityFailover]) -> int:
    if there.region == here.region:
        return 0
    chosen = next((each.to for each in failover if each.from_ == here.region), None)
    return 1 if chosen == there.region else 2


def _without_gaps(groups: Iterable[Group]) -> list[Group]:
    """Envoy wants priorities without gaps, from 0 on."""
    found = list(groups)
    order = {priority: index for index, priority in enumerate(sorted({group.priority for group in found}))}
    return [replace(group, priority=order[group.priority]) for group in found]

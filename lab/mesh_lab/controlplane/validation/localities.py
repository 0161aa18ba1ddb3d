"""Rules for load balancing by locality and by zone."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.destinationrule import (
    LocalityFailover,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from mesh_lab.controlplane.validation.common import Problem, error, warning

_TOPOLOGY = frozenset({"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"})
_WHOLE = 100


def locality_setting(path: str, setting: LocalityLoadBalancerSetting, *, detected: bool) -> Iterator[Problem]:
    """Problems of a `localityLbSetting`; endpoints fail over only where their failures are detected."""
    if setting.distribute and setting.failover:
        yield error(path, "can not simultaneously specify 'distribute' and 'failover'")
    if setting.failover and (named := _TOPOLOGY.intersection(setting.failover_priority)):
        text = f"can not simultaneously set 'failover' and topology label '{min(named)}' in 'failoverPriority'"
        yield error(f"{path}.failoverPriority", text)
    for index, share in enumerate(setting.distribute):
        where = f"{path}.distribute[{index}]"
        if any(not 0 < weight <= _WHOLE for weight in share.to.values()):
            yield error(f"{where}.to", "locality weight must be in range [1, 100]")
        elif (total := sum(share.to.values())) != _WHOLE:
            yield error(f"{where}.to", f"total locality weight {total} != {_WHOLE}")
        yield from _localities(f"{where}.to", list(share.to))
    yield from _localities(f"{path}.distribute", [share.from_ for share in setting.distribute])
    yield from _failovers(path, setting, "locality", detected=detected)


def zone_setting(path: str, setting: ZoneAwareLoadBalancerSetting, *, detected: bool) -> Iterator[Problem]:
    """Problems of a `zoneAwareLbSetting`, which has regions and zones in hand itself."""
    for label in sorted(_TOPOLOGY.intersection(setting.failover_priority)):
        yield error(f"{path}.failoverPriority", f"zone aware lb must not use topology label '{label}'")
    yield from _failovers(path, setting, "zone aware", detected=detected)


def _failovers(
    path: str, setting: LocalityLoadBalancerSetting | ZoneAwareLoadBalancerSetting, kind: str, *, detected: bool
) -> Iterator[Problem]:
    if (setting.failover or setting.failover_priority) and not detected:
        yield warning(path, "outlier detection policy must be provided for failover")
    for index, failover in enumerate(setting.failover):
        yield from _failover(f"{path}.failover[{index}]", failover, f"{kind} lb failover")


def _failover(where: str, failover: LocalityFailover, kind: str) -> Iterator[Problem]:
    regions = (failover.from_, failover.to)
    if failover.from_ == failover.to:
        yield error(where, f"{kind} settings must specify different regions")
    if any("/" in region for region in regions):
        yield error(where, f"{kind} only specify region")
    if any("*" in region for region in regions):
        yield error(where, f"{kind} region should not contain '*' wildcard")


def _localities(path: str, localities: list[str]) -> Iterator[Problem]:
    """`region/zone/subzone`, whose end may be a wildcard; none is within another."""
    seen: list[tuple[str, ...]] = []
    for locality in localities:
        parts = tuple(locality.split("/", 2))
        if "*" in locality[:-1]:
            yield error(path, f"locality {locality} wildcard '*' number can not exceed 1 and must be in the end")
        elif not all(parts):
            yield error(path, f"locality {locality} must not contain empty region/zone/subzone info")
        else:
            prefix = parts[:-1] if parts[-1] == "*" else parts
            if any(prefix[: len(other)] == other for other in seen):
                yield error(path, f"locality {locality} overlap with previous specified ones")
            seen.append(prefix)

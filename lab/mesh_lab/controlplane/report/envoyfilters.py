"""What is said of EnvoyFilters: patches that find nothing, that cannot be applied, or whose order is left to chance.

Source of the rules on operations: pkg/config/analysis/analyzers/envoyfilter of Istio 1.30.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mesh_lab.controlplane.model import EnvoyFilter
from mesh_lab.controlplane.model.envoyfilter import ApplyTo, EnvoyConfigObjectPatch, Operation
from mesh_lab.controlplane.validation.envoyfilter import EFFECTIVE
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Config, Snapshot
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.patches.applying import Patched

Patching = Callable[[Snapshot, Proxy], Patched]
"""What a proxy is sent, and what became of the patches."""

_FOR_ALL = 64
"""Proxies that are looked at in search of something that a patch matches: one of each workload, and not all of many."""

_RELATIVE: frozenset[Operation] = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "REPLACE", "REMOVE"})


class _Rule(NamedTuple):
    code: str
    text: str


_IGNORED = "The {} operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE."
_WRONG: Mapping[tuple[Operation, ApplyTo], _Rule] = {
    ("ADD", "ROUTE_CONFIGURATION"): _Rule("IST0153", _IGNORED.format("ADD")),
    ("REMOVE", "ROUTE_CONFIGURATION"): _Rule("IST0154", _IGNORED.format("REMOVE")),
}
_PLAIN = _Rule(
    "IST0151",
    "This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the EnvoyFilter "
    "not to be applied. Using the INSERT_FIRST or ADD option or setting the priority may help in ensuring the "
    "EnvoyFilter is applied correctly.",
)
_VERSIONED = _Rule("IST0155", _PLAIN.text.replace("operation set which", "operation and a proxyVersion set which"))


def operations_are_well_used(snapshot: Snapshot) -> Iterator[Finding]:
    """Operations that have no effect, and those that depend on what other EnvoyFilters have made before.

    Istio's analyser calls adding and removing routes ignored, which its control plane does all the same; as here.
    """
    versioned: set[str] = set()
    for config in sorted(snapshot.of(EnvoyFilter).values(), key=lambda config: config.origin.key):
        for index, each in enumerate(config.spec.config_patches):
            if each.patch is None:
                break
            name = _subject(each)
            rule = _rule(each, config.spec.priority, name in versioned)
            if rule is not None:
                path = f"spec.configPatches[{index}].patch.operation"
                yield Finding("warning", rule.code, rule.text, path, config.origin)
            if each.match is not None and each.match.proxy is not None and each.match.proxy.proxy_version:
                versioned.add(name)


def _rule(change: EnvoyConfigObjectPatch, priority: int, versioned: bool) -> _Rule | None:
    operation = change.patch.operation if change.patch is not None else "INVALID"
    if (rule := _WRONG.get((operation, change.apply_to))) is not None:
        return rule
    if operation == "REPLACE" and operation not in EFFECTIVE.get(change.apply_to, ()):
        return _Rule("IST0152", "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER.")
    if operation in _RELATIVE and not priority:
        return _VERSIONED if versioned else _PLAIN
    return None


def _subject(change: EnvoyConfigObjectPatch) -> str:
    """The name of what a patch puts in, or else of the filter that it is for."""
    value = change.patch.value if change.patch is not None else None
    if value is None:
        return ""
    if isinstance(name := value.get("name"), str):
        return name
    match = change.match.listener if change.match is not None else None
    chain = match.filter_chain if match is not None else None
    return chain.filter.name if chain is not None and chain.filter is not None else ""


def patches_find_something(snapshot: Snapshot, patched: Patching) -> Iterator[Finding]:
    """Patches that no proxy of those that they are for has anything for, or that cannot be applied to what it has."""
    filters = [config for config in snapshot.of(EnvoyFilter).values() if not config.spec.target_refs]
    if not filters:
        return
    applied: set[tuple[object, int]] = set()
    failed: dict[tuple[object, int], str] = {}
    reached: set[object] = set()
    for pod in _examples(snapshot, filters):
        found = patched(snapshot, Proxy.of(pod, "router" if pod.router else "sidecar"))
        applied |= {(patch.origin, patch.index) for patch in found.applied}
        failed |= {(patch.origin, patch.index): reason for patch, reason in found.failed}
        reached |= {config.origin for config in filters if _is_for(config, pod, snapshot.mesh.root_namespace)}
    for config in filters:
        for index, each in enumerate(config.spec.config_patches):
            path, key = f"spec.configPatches[{index}]", (config.origin, index)
            if key in failed:
                text = f"Schema validation error: {path}: it cannot be applied: {failed[key]}"
                yield Finding("error", "IST0106", text, path, config.origin)
            elif config.origin in reached and key not in applied and _is_visible(each):
                text = "it matches nothing in the configuration of any proxy that it is for"
                yield Finding("warning", "IST0133", f"Schema validation warning: {path}: {text}", path, config.origin)


def _is_visible(change: EnvoyConfigObjectPatch) -> bool:
    """Whether it is known what becomes of a patch: not where it is for other versions, or for what is injected."""
    if change.patch is None or change.apply_to in ("BOOTSTRAP", "INVALID"):
        return False
    return change.match is None or change.match.proxy is None


def _examples(snapshot: Snapshot, filters: list[Config[EnvoyFilter]]) -> list[Pod]:
    """One pod of each workload that has a proxy and that one of the filters is for."""
    found: dict[tuple[str, str], Pod] = {}
    for pod in snapshot.pods.values():
        if pod.has_proxy or pod.router:
            found.setdefault((pod.namespace, pod.workload or pod.name), pod)
    root = snapshot.mesh.root_namespace
    concerned = (pod for pod in found.values() if any(_is_for(config, pod, root) for config in filters))
    return [pod for pod, _ in zip(concerned, range(_FOR_ALL), strict=False)]


def _is_for(config: Config[EnvoyFilter], pod: Pod, root_namespace: str) -> bool:
    selector = config.spec.workload_selector
    here = config.namespace in (pod.namespace, root_namespace)
    return here and selects(selector.labels if selector is not None else {}, pod.labels)

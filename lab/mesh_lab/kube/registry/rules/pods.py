"""Rules of pods and pod templates as a whole; their containers and volumes have modules of their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.names import label_problem, subdomain_problem
from mesh_lab.kube.registry.rules.causes import duplicates, forbidden, invalid, required
from mesh_lab.kube.registry.rules.containers import check_container, check_init_container
from mesh_lab.kube.registry.rules.scheduling import check_scheduling
from mesh_lab.kube.registry.rules.volumes import check_volumes

_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def check(pod: Object) -> Iterator[Cause]:
    """Everything that is wrong with a pod."""
    spec = pod.get("spec") or {}
    yield from check_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "this cluster runs none: `kubectl exec` has the same programs")


def check_spec(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    """Everything that is wrong with a pod's spec at `path`."""
    yield from check_volumes(spec.get("volumes") or [], f"{path}.volumes")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    containers, inits = spec.get("containers") or [], spec.get("initContainers") or []
    for index, container in enumerate(containers):
        yield from check_container(container, f"{path}.containers[{index}]", volumes)
    for index, container in enumerate(inits):
        yield from check_init_container(container, f"{path}.initContainers[{index}]", volumes)
    yield from duplicates((c.get("name") for c in containers), f"{path}.containers", "name")
    # Names are unique across both lists; the error stands where the second one is.
    taken = {c.get("name") for c in containers}
    for index, container in enumerate(inits):
        if container.get("name") in taken:
            yield Cause(
                f"{path}.initContainers[{index}].name",
                f'Duplicate value: "{container.get("name")}"',
                "FieldValueDuplicate",
            )
        taken.add(container.get("name"))
    yield from _check_names(spec, path)
    yield from _check_dns(spec, path)
    yield from check_scheduling(spec, path)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        if not _is_ip(alias.get("ip", "")):
            yield invalid(f"{path}.hostAliases[{index}].ip", alias.get("ip", ""), "must be a valid IP address")


def _check_names(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    for field, problem_of in (
        ("serviceAccountName", subdomain_problem),
        ("nodeName", subdomain_problem),
        ("hostname", label_problem),
        ("subdomain", label_problem),
    ):
        value = spec.get(field)
        if value and (problem := problem_of(value)):
            yield invalid(f"{path}.{field}", value, problem)


def _check_dns(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    config = spec.get("dnsConfig") or {}
    servers = config.get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and not servers:
        words = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{path}.dnsConfig.nameservers", words)
    for index, server in enumerate(servers):
        if not _is_ip(server):
            yield invalid(f"{path}.dnsConfig.nameservers[{index}]", server, "must be a valid IP address")


def check_update(new: Object, old: Object) -> Iterator[Cause]:
    """A pod is replaced rather than changed: little of its spec may differ.

    The node's name may be set once, which is how a pod is bound.
    """
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(before.get(field) or ()) != len(after.get(field) or ()):
            yield forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    if not before.get("nodeName"):
        before = {**before, "nodeName": after.get("nodeName")}
    if _fixed(before) != _fixed({"nodeName": None, **after}):
        yield forbidden("spec", _MUTABLE)
    kept = before.get("tolerations") or []
    if any(toleration not in (after.get("tolerations") or []) for toleration in kept):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _fixed(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a spec may not change."""
    fixed = deepcopy(spec)
    for field in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "ephemeralContainers"):
        fixed.pop(field, None)
    for field in ("containers", "initContainers"):
        for container in fixed.get(field) or ():
            container.pop("image", None)
    return fixed


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

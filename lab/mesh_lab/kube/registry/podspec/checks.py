"""Rules of a pod's spec as a whole; its containers and volumes have modules of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.podspec.containers import check_container, check_init_container
from mesh_lab.kube.registry.podspec.volumes import check_volumes
from mesh_lab.kube.registry.rules.causes import duplicates, invalid, required
from mesh_lab.kube.registry.rules.labels import validate_labels
from mesh_lab.kube.registry.syntax.names import is_ip, label_problem, subdomain_problem


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
    yield from _check_scheduling(spec, path)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        if not is_ip(alias.get("ip", "")):
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
        if not is_ip(server):
            yield invalid(f"{path}.dnsConfig.nameservers[{index}]", server, "must be a valid IP address")


def _check_scheduling(spec: dict[str, Any], path: str) -> Iterator[Cause]:
    """Everything that is wrong with where a pod wants to run."""
    yield from validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _check_toleration(toleration, f"{path}.tolerations[{index}]")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if (skew := constraint.get("maxSkew", 0)) <= 0:
            yield invalid(f"{path}.topologySpreadConstraints[{index}].maxSkew", skew, "must be greater than zero")


def _check_toleration(toleration: dict[str, Any], path: str) -> Iterator[Cause]:
    operator, effect = toleration.get("operator", "Equal"), toleration.get("effect", "")
    if not toleration.get("key") and operator != "Exists":
        words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", operator, words)
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{path}.operator", operator, "value must be empty when `operator` is 'Exists'")
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        yield invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")

"""Holds pods to the levels of their namespace, and warns of templates and pods that do not keep to them.

As in Kubernetes: `enforce` refuses pods alone, `warn` tells of pods and of the templates that they are made of, and who
raises a namespace's level is told which of its pods would not be let in any more. There is no audit log to write to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import forbidden
from mesh_lab.kube.registry.options import WriteOptions
from mesh_lab.kube.registry.podsecurity.levels import LEVELS, PRIVILEGED, level
from mesh_lab.kube.registry.podsecurity.standards import violations
from mesh_lab.kube.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICASETS, Resource
from mesh_lab.kube.store import Store

_WITH_TEMPLATE = frozenset({DEPLOYMENTS.key, REPLICASETS.key})


def review(store: Store, resource: Resource, new: Object, old: Object | None, options: WriteOptions) -> None:
    """Look at an object that is about to be stored in place of `old` (None: to be created).

    Raises:
        ApiError: 403, it is a pod that its namespace does not take.
    """
    if resource.key == NAMESPACES.key:
        for warning in _of_namespace(store, new, old):
            options.warn(warning)
    elif resource.key == PODS.key:
        if old is None or new.get("spec") != old.get("spec"):
            _review_pod(_labels(store, new), new, options)
    elif resource.key in _WITH_TEMPLATE and (old is None or new.get("spec") != old.get("spec")):
        template = (new.get("spec") or {}).get("template") or {}
        _warn(_labels(store, new), template.get("spec") or {}, options)


def _labels(store: Store, obj: Object) -> Mapping[str, str]:
    namespace = store.head(NAMESPACES.key, "", obj["metadata"]["namespace"])
    found: Mapping[str, str] = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    return found


def _review_pod(labels: Mapping[str, str], pod: Object, options: WriteOptions) -> None:
    wanted = level(labels, "enforce")
    if found := violations(wanted.name, pod.get("spec") or {}):
        name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        raise forbidden(f'pods "{name}" is forbidden: violates PodSecurity "{wanted}": {", ".join(found)}')
    _warn(labels, pod.get("spec") or {}, options)


def _warn(labels: Mapping[str, str], spec: dict[str, Any], options: WriteOptions) -> None:
    wanted = level(labels, "warn")
    if found := violations(wanted.name, spec):
        options.warn(f'would violate PodSecurity "{wanted}": {", ".join(found)}')


def _of_namespace(store: Store, new: Object, old: Object | None) -> Iterator[str]:
    """What its owner is to know of a change of a namespace's labels."""
    labels = new["metadata"].get("labels") or {}
    before = ((old or {}).get("metadata") or {}).get("labels") or {}
    if level(labels, "audit") != level(before, "audit") and level(labels, "audit").name != PRIVILEGED:
        yield "pod-security.kubernetes.io/audit has no effect: the lab keeps no audit log"
    wanted, was = level(labels, "enforce"), level(before, "enforce")
    if old is None or LEVELS.index(wanted.name) <= LEVELS.index(was.name):
        return
    name = new["metadata"]["name"]
    offenders = defaultdict[str, list[str]](list)
    for pod in store.objects(PODS.key, name):
        if found := violations(wanted.name, pod["spec"]):
            offenders[", ".join(found)].append(pod["metadata"]["name"])
    if offenders:
        yield f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{wanted}"'
    for reasons, (first, *others) in sorted(offenders.items(), key=lambda one: one[1]):
        more = f" (and {len(others)} other pod{'s' if len(others) > 1 else ''})" if others else ""
        yield f"{first}{more}: {reasons}"

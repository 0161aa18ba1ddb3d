"""Holds pods to the levels of their namespace, and warns of templates and pods that do not keep to them.

As in Kubernetes: `enforce` refuses only pods, `warn` warns of pods and of the templates that they are made of, and a
namespace whose level is raised warns of the pods that it would not take any more. There is no audit log to write to.
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
from mesh_lab.kube.resources import NAMESPACES, PODS
from mesh_lab.kube.store import Store


def review_namespace(store: Store, new: Object, old: Object | None, options: WriteOptions) -> None:
    """Warn of what a change of a namespace's labels means to its pods."""
    for warning in _of_namespace(store, new, old):
        options.warn(warning)


def review_pod(store: Store, new: Object, old: Object | None, options: WriteOptions) -> None:
    """Hold a pod that is about to be stored to its namespace's levels.

    Raises:
        ApiError: 403, the namespace does not take it.
    """
    if old is not None and new.get("spec") == old.get("spec"):
        return
    labels = _labels(store, new)
    wanted = level(labels, "enforce")
    if found := violations(wanted.name, new.get("spec") or {}):
        name = new["metadata"].get("name") or new["metadata"].get("generateName", "")
        raise forbidden(f'pods "{name}" is forbidden: violates PodSecurity "{wanted}": {", ".join(found)}')
    _warn(labels, new.get("spec") or {}, options)


def review_template(store: Store, new: Object, old: Object | None, options: WriteOptions) -> None:
    """Warn of a pod template whose pods the namespace would not take, or would warn of."""
    if old is not None and new.get("spec") == old.get("spec"):
        return
    template = (new.get("spec") or {}).get("template") or {}
    _warn(_labels(store, new), template.get("spec") or {}, options)


def _labels(store: Store, obj: Object) -> Mapping[str, str]:
    namespace = store.head(NAMESPACES.key, "", obj["metadata"]["namespace"])
    found: Mapping[str, str] = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    return found


def _warn(labels: Mapping[str, str], spec: dict[str, Any], options: WriteOptions) -> None:
    wanted = level(labels, "warn")
    if found := violations(wanted.name, spec):
        options.warn(f'would violate PodSecurity "{wanted}": {", ".join(found)}')


def _of_namespace(store: Store, new: Object, old: Object | None) -> Iterator[str]:
    """The warnings that a change of a namespace's labels is answered with."""
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

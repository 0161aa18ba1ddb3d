"""Control planes side by side: their revisions, the tags of these, and whose a namespace is.

A namespace or a pod asks for a control plane by a name, a revision or a tag, under which a MutatingWebhookConfiguration
is there. Each control plane tells by these configurations which others there are.
https://istio.io/latest/docs/setup/upgrade/canary/
https://istio.io/latest/docs/setup/install/multiple-controlplanes/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mesh_lab.controlplane.process.plane import DEFAULT, ControlPlane
from mesh_lab.controlplane.world.kubernetes import Object, Origin, origin_of

REVISION_LABEL = "istio.io/rev"
_TAG_LABEL = "istio.io/tag"


@dataclass(frozen=True, eq=False)
class Injector:
    """A name under which a control plane injects: its revision, or a tag."""

    origin: Origin
    name: str
    plane: ControlPlane


def injector(obj: Object) -> Injector | None:
    """The injector of a MutatingWebhookConfiguration; None of one that no control plane has made."""
    labels = obj["metadata"].get("labels") or {}
    revision = labels.get(REVISION_LABEL)
    namespace = service_namespace(obj)
    if not revision or not namespace:
        return None
    name = labels.get(_TAG_LABEL) or revision
    return Injector(origin_of("MutatingWebhookConfiguration", obj), name, ControlPlane(revision, namespace))


def service_namespace(configuration: Object) -> str:
    """The namespace of the Service that a webhook configuration leads to; empty where it leads to a URL."""
    for webhook in configuration.get("webhooks") or ():
        service = (webhook.get("clientConfig") or {}).get("service") or {}
        if namespace := service.get("namespace"):
            return str(namespace)
    return ""


def known_names(injectors: Collection[Injector]) -> frozenset[str]:
    """The names that a control plane answers to: the revisions that are there, and their tags."""
    there = {DEFAULT, *(each.name for each in injectors if each.name == each.plane.revision)}
    return frozenset({DEFAULT, *(each.name for each in injectors if each.plane.revision in there)})


def names_of_others(plane: ControlPlane, injectors: Iterable[Injector]) -> frozenset[str]:
    """The revisions and tags that mean another control plane than this one."""
    found = list(injectors)
    ours = {plane.revision, *(each.name for each in found if each.plane == plane)}
    return frozenset(each.name for each in found if each.plane != plane) - ours


def home_of(namespace: str, labels: Mapping[str, str], injectors: Collection[Injector]) -> str:
    """The namespace of the control plane that a namespace belongs to; empty where there is none.

    The same for every control plane that asks, so that two never write the same object in turn: of Istio's, which only
    discovery selectors keep apart, each would put its own root into a namespace that both see.
    """
    homes = {each.plane.namespace for each in injectors}
    if namespace in homes:
        return namespace
    # A revision goes before a tag of its name, and of equals the first: the last in this order is kept.
    last = sorted(injectors, key=lambda each: (each.name != each.plane.revision, each.plane.namespace), reverse=True)
    named = {each.name: each.plane.namespace for each in last}
    return named.get(labels.get(REVISION_LABEL, DEFAULT)) or named.get(DEFAULT) or min(homes, default="")


def leads(plane: ControlPlane, injectors: Iterable[Injector]) -> bool:
    """Whether this control plane is the one of its namespace that reports on resources.

    Several revisions in one namespace see the same; the default one goes before the others.
    """
    revisions = {each.plane.revision for each in injectors if each.plane.namespace == plane.namespace}
    first = DEFAULT if DEFAULT in revisions else min(revisions, default=plane.revision)
    return plane.revision == first

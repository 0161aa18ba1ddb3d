"""The built-in kinds: one module each, with all that differs in that kind, and the table of them.

A new kind is a module that ends in its `Behaviour`, and its line here; a kind of several concerns is a package. A kind
that nothing else works with declares its `Resource` in its module; those that controllers, the node or the API server
name stand in `mesh_lab.kube.resources`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.registry.kinds import (
    admissionpolicies,
    configmaps,
    customresourcedefinitions,
    deployments,
    endpoints,
    endpointslices,
    events,
    horizontalpodautoscalers,
    ingresses,
    leases,
    namespaces,
    networkpolicies,
    nodes,
    poddisruptionbudgets,
    pods,
    priorityclasses,
    replicasets,
    reviews,
    rolebindings,
    roles,
    secrets,
    serviceaccounts,
    services,
    statefulsets,
    webhookconfigurations,
)
from mesh_lab.kube.registry.kinds.roles.defaults import aggregated_roles
from mesh_lab.kube.resources import Resource

BUILTIN: tuple[Behaviour, ...] = (
    namespaces.BEHAVIOUR,
    nodes.BEHAVIOUR,
    pods.BEHAVIOUR,
    services.BEHAVIOUR,
    configmaps.BEHAVIOUR,
    secrets.BEHAVIOUR,
    serviceaccounts.BEHAVIOUR,
    events.BEHAVIOUR,
    leases.BEHAVIOUR,
    endpointslices.BEHAVIOUR,
    deployments.BEHAVIOUR,
    replicasets.BEHAVIOUR,
    customresourcedefinitions.BEHAVIOUR,
    webhookconfigurations.MUTATING,
    webhookconfigurations.VALIDATING,
    admissionpolicies.POLICY,
    admissionpolicies.BINDING,
    reviews.TOKEN,
    reviews.SELF_SUBJECT,
    reviews.SUBJECT_ACCESS,
    reviews.SELF_SUBJECT_ACCESS,
    reviews.SELF_SUBJECT_RULES,
    roles.ROLE,
    rolebindings.ROLE_BINDING,
    roles.CLUSTER_ROLE,
    rolebindings.CLUSTER_ROLE_BINDING,
    priorityclasses.BEHAVIOUR,
    endpoints.BEHAVIOUR,
    statefulsets.BEHAVIOUR,
    ingresses.INGRESS,
    ingresses.INGRESS_CLASS,
    networkpolicies.BEHAVIOUR,
    horizontalpodautoscalers.BEHAVIOUR,
    poddisruptionbudgets.BEHAVIOUR,
)
RESOURCES: tuple[Resource, ...] = tuple(kind.resource for kind in BUILTIN)
"""What `kubectl api-resources` lists, without custom resources."""
STORED: tuple[Resource, ...] = tuple(resource for resource in RESOURCES if resource.stored)
check_create = namespaces.check_create
"""Refuse to create in a namespace that is missing or terminating, see `kinds.namespaces`."""
_BY_KEY = {kind.resource.key: kind for kind in BUILTIN}


def standard_objects() -> Iterator[tuple[Resource, Object]]:
    """The objects that every cluster has, with the resource of each."""
    for kind in BUILTIN:
        for obj in kind.standard:
            yield kind.resource, obj
    for role in aggregated_roles(BUILTIN):
        yield roles.CLUSTER_ROLE.resource, role


def behaviour_of(resource: Resource) -> Behaviour:
    """The behaviour of a resource's kind, built-in or custom."""
    return _BY_KEY.get(resource.key) or _custom(resource)


@lru_cache(maxsize=256)
def _custom(resource: Resource) -> Behaviour:
    return Behaviour(resource, counts_generations=True, names_what_it_replaces=True)

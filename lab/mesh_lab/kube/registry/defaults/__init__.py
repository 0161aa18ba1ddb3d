"""The values that Kubernetes fills into fields that a client leaves out, one module a group of kinds.

They follow `SetDefaults_*` of Kubernetes 1.33. Each function changes the object in place and leaves alone what is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.defaults import definitions, pods, services, workloads

_DEFAULTS: Mapping[str, Callable[[Object], None]] = {
    "pods": pods.fill_pod,
    "deployments.apps": workloads.fill_deployment,
    "replicasets.apps": workloads.fill_replica_set,
    "services": services.fill_service,
    "endpointslices.discovery.k8s.io": services.fill_endpoint_slice,
    "namespaces": definitions.fill_namespace,
    "secrets": definitions.fill_secret,
    "customresourcedefinitions.apiextensions.k8s.io": definitions.fill_crd,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": definitions.fill_mutating_webhooks,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": definitions.fill_webhooks,
    "rolebindings.rbac.authorization.k8s.io": definitions.fill_role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": definitions.fill_role_binding,
}


def fill_defaults(key: str, obj: Object) -> None:
    """Set the defaults of a built-in object whose resource is `key`."""
    if (fill := _DEFAULTS.get(key)) is not None:
        fill(obj)

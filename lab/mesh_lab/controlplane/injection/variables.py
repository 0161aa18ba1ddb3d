"""The proxy container's environment, as Istio's template has it: where the pod is, and what the mesh calls it.

Envoy's arguments are made of some; custom tags of spans, filters and programs may ask for the others.
https://istio.io/latest/docs/tasks/observability/distributed-tracing/telemetry-api/#customizing-tracing-tags
"""

from __future__ import annotations

from typing import Any

_CLUSTER = "Kubernetes"

Variable = dict[str, Any]


def of_pod(workload: str, trust_domain: str, *, dual: bool = False) -> tuple[Variable, ...]:
    """The variables of a pod of a workload, which has no name where the pod is nobody's.

    `dual`: pods have addresses of both IP families.
    """
    named = (_value("ISTIO_META_WORKLOAD_NAME", workload),) if workload else ()
    return (
        _field("POD_NAME", "metadata.name"),
        _field("POD_NAMESPACE", "metadata.namespace"),
        _field("INSTANCE_IP", "status.podIP"),
        *((_field("INSTANCE_IPS", "status.podIPs"), _value("ISTIO_DUAL_STACK", "true")) if dual else ()),
        _field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        _field("HOST_IP", "status.hostIP"),
        _value("ISTIO_META_CLUSTER_ID", _CLUSTER),
        _field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        _value("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
        *named,
        _value("ISTIO_META_MESH_ID", trust_domain),
        _value("TRUST_DOMAIN", trust_domain),
    )


def _field(name: str, path: str) -> Variable:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _value(name: str, value: str) -> Variable:
    return {"name": name, "value": value}

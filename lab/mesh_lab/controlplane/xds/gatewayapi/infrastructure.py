"""What is deployed for a Gateway, and how a Gateway names what others have deployed.

As Istio does it (pilot/pkg/config/kube/gateway, and kube-gateway.yaml of its chart istio-discovery):
a Deployment, a Service and an account called `NAME-CLASS`, all owned by the Gateway.
https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#deployment-methods
"""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.model.gatewayapi import Gateway
from mesh_lab.controlplane.model.gatewayapi.gateway import GatewayAddress
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi import overlays
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState
from mesh_lab.controlplane.xds.gatewayapi.parameters import Overlay
from mesh_lab.controlplane.xds.gatewayapi.sources import spec_of

Object = dict[str, Any]

NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name"
_MANAGED = {"gateway.istio.io/managed": "istio.io-gateway-controller"}
_SERVICE_TYPE = "networking.istio.io/service-type"
_STATUS_PORT = 15021


def addresses_of(spec: Gateway) -> list[GatewayAddress]:
    """The addresses that are asked for; one without a value asks for any."""
    return [each for each in spec.addresses if each.value]


def is_deployed(spec: Gateway) -> bool:
    """Whether the lab deploys the gateway: unless `addresses` names the Services of one that is there."""
    return all(each.type == "IPAddress" for each in addresses_of(spec))


def name_of(resource: Resource[Gateway], spec: Gateway) -> str:
    """What the objects of a Gateway are called."""
    return f"{resource.name}-{spec.gateway_class_name}"


def services_of(resource: Resource[Gateway], domain: str) -> tuple[str, ...]:
    """The Services (`namespace/name`) whose pods are the gateway's."""
    spec = spec_of(resource)
    if spec is None:
        return ()
    if is_deployed(spec):
        return (f"{resource.namespace}/{name_of(resource, spec)}",)
    found = (_service(each.value, resource.namespace, domain) for each in addresses_of(spec) if each.type == "Hostname")
    return tuple(found)


def _service(host: str, namespace: str, domain: str) -> str:
    """The Service that a host means: a short name is one of the Gateway's own namespace."""
    name, _, rest = host.removesuffix(f".svc.{domain}").removesuffix(".svc").partition(".")
    return f"{rest or namespace}/{name}"


def objects(state: GatewayState) -> tuple[Object, ...]:
    """What is deployed for a Gateway; nothing for one that is refused, or deployed by others."""
    resource, spec = state.resource, spec_of(state.resource)
    if spec is None or state.refused is not None or not is_deployed(spec):
        return ()
    own = spec.infrastructure
    labels = {
        **(own.labels if own is not None else {}),
        NAME_LABEL: resource.name,
        CLASS_LABEL: spec.gateway_class_name,
    }
    annotations = dict(own.annotations) if own is not None else {}
    meta = {
        "name": name_of(resource, spec),
        "namespace": resource.namespace,
        "labels": {**labels, **_MANAGED},
        "annotations": annotations,
        "ownerReferences": [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "name": resource.name,
                "uid": resource.uid,
            }
        ],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    made = (account, _deployment(meta, labels, annotations, resource.name), _service_object(meta, state, spec))
    return tuple(_overlaid(each, state.overlays) for each in made)


def _overlaid(obj: Object, over: tuple[Overlay, ...]) -> Object:
    for each in over:
        if each.kind == obj["kind"]:
            obj = overlays.merged(obj, each.content)
    return obj


def _deployment(meta: Object, labels: dict[str, str], annotations: dict[str, str], name: str) -> Object:
    """A pod that the injector's gateway template fills in; with what resources, too, as Istio's values say."""
    own = {"sidecar.istio.io/inject": "true", "service.istio.io/canonical-name": meta["name"]}
    template = {
        "metadata": {
            "labels": {**labels, **_MANAGED, **own, "service.istio.io/canonical-revision": "latest"},
            "annotations": {**annotations, "inject.istio.io/templates": "gateway"},
        },
        "spec": {
            "serviceAccountName": meta["name"],
            "containers": [
                {
                    "name": "istio-proxy",
                    "image": "auto",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
        },
    }
    spec = {"selector": {"matchLabels": {NAME_LABEL: name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _service_object(meta: Object, state: GatewayState, spec: Gateway) -> Object:
    """One port for each number that a listener names. HTTP, HTTPS and TLS are TCP to a Service."""
    numbers: dict[tuple[int, str], str] = {}
    for each in state.all:
        if each.refused is None and each.conflict is None:
            numbers.setdefault((each.listener.port, each.transport), each.listener.protocol.lower())
    ports = [_port("status-port", _STATUS_PORT, "tcp", "TCP")]
    ports += [
        _port(f"{protocol}-{number}", number, protocol, transport)
        for (number, transport), protocol in numbers.items()
        if (number, transport) != (_STATUS_PORT, "TCP")
    ]
    kind = state.resource.annotations.get(_SERVICE_TYPE, "LoadBalancer")
    made: Object = {"type": kind, "selector": {NAME_LABEL: state.resource.name}, "ports": ports}
    asked = addresses_of(spec)
    if asked and kind == "LoadBalancer":
        made["loadBalancerIP"] = asked[0].value
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": made}


def _port(name: str, number: int, protocol: str, transport: str) -> Object:
    return {"name": name, "port": number, "protocol": transport, "appProtocol": protocol, "targetPort": number}

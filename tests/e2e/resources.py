"""Mesh resources as the tests write them: short, in Istio's own shape.

Routes and rules are for the proxies of their own namespace alone (`exportTo: ["."]`), so that tests do not concern each
other's; what the ingress gateway is to see says `export="*"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]


def virtual_service(host: str, *http: Object, name: str = "", gateways: Sequence[str] = ()) -> Object:
    """A VirtualService of one host; named for it unless told otherwise."""
    spec: Object = {"hosts": [host], "http": list(http), "exportTo": ["*" if gateways else "."]}
    if gateways:
        spec["gateways"] = list(gateways)
    return _resource("networking.istio.io/v1", "VirtualService", name or host, spec)


def tcp_service(host: str, *destinations: Object) -> Object:
    """A VirtualService for the connections to one host."""
    spec: Object = {"hosts": [host], "tcp": [{"route": list(destinations)}], "exportTo": ["."]}
    return _resource("networking.istio.io/v1", "VirtualService", host, spec)


def route(*destinations: Object, **more: Any) -> Object:
    """One rule of a VirtualService; `more` are its other fields (match, timeout, retries, fault, ...)."""
    return {**more, "route": list(destinations)}


def to(host: str, subset: str = "", weight: int | None = None, port: int | None = None) -> Object:
    """A destination; a gateway needs the port of a service that has several."""
    destination: Object = {"host": host} | ({} if port is None else {"port": {"number": port}})
    if subset:
        destination["subset"] = subset
    return {"destination": destination} | ({} if weight is None else {"weight": weight})


def destination_rule(host: str, *versions: str, policy: Mapping[str, Any] | None = None, export: str = ".") -> Object:
    """A DestinationRule with one subset for each version."""
    spec: Object = {
        "host": host,
        "exportTo": [export],
        "subsets": [{"name": v, "labels": {"version": v}} for v in versions],
    }
    if policy:
        spec["trafficPolicy"] = dict(policy)
    return _resource("networking.istio.io/v1", "DestinationRule", host, spec)


def service(name: str, selector: Mapping[str, str], *ports: tuple[str, int, int]) -> Object:
    """A Service; ports are (name, number, target)."""
    listed = [{"name": port, "port": number, "targetPort": target} for port, number, target in ports]
    return _resource("v1", "Service", name, {"selector": dict(selector), "ports": listed})


def sidecar(app: str, *hosts: str) -> Object:
    """A Sidecar: the hosts that an application's pods see."""
    spec: Object = {"workloadSelector": {"labels": {"app": app}}, "egress": [{"hosts": list(hosts)}]}
    return _resource("networking.istio.io/v1", "Sidecar", app, spec)


def gateway(name: str, *servers: Object) -> Object:
    """A Gateway on the ingress gateway's pods."""
    return _resource(
        "networking.istio.io/v1", "Gateway", name, {"selector": {"istio": "ingressgateway"}, "servers": list(servers)}
    )


def peer_authentication(mode: str, app: str = "", **ports: str) -> Object:
    """A PeerAuthentication for a namespace or one application; `p8081="PERMISSIVE"` makes an exception of a port."""
    spec: Object = {"mtls": {"mode": mode}}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ports:
        spec["portLevelMtls"] = {port.removeprefix("p"): {"mode": mode} for port, mode in ports.items()}
    return _resource("security.istio.io/v1", "PeerAuthentication", app or "default", spec)


def authorization(name: str, action: str, app: str, *rules: Object) -> Object:
    """An AuthorizationPolicy for one application."""
    spec: Object = {"action": action, "selector": {"matchLabels": {"app": app}}, "rules": list(rules)}
    return _resource("security.istio.io/v1", "AuthorizationPolicy", name, spec)


def _resource(api_version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}

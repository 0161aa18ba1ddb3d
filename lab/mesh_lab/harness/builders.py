"""Mesh resources as tests write them: short, in Istio's own shape, as plain objects that a test may go on to change.

Routes and rules are for the proxies of their own namespace only (`exportTo: ["."]`), so that tests do not concern each
other's; a VirtualService with gateways and a DestinationRule with `export="*"` are for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh_lab.client.objects import Object

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"


def virtual_service(host: str, *http: Object, name: str = "", gateways: Sequence[str] = ()) -> Object:
    """A VirtualService for the HTTP requests to one host.

    Sets `metadata.name` (the host unless `name` is given), `hosts`, `http` (the rules, made by `route`), `exportTo`
    (`.`, or `*` with gateways) and, where they are given, `gateways`.
    """
    spec: Object = {"hosts": [host], "http": list(http), "exportTo": ["*" if gateways else "."]}
    if gateways:
        spec["gateways"] = list(gateways)
    return _resource(NETWORKING, "VirtualService", name or host, spec)


def tcp_virtual_service(host: str, *destinations: Object) -> Object:
    """A VirtualService for the TCP connections to one host.

    Sets `metadata.name` (the host), `hosts`, `tcp[0].route` (the destinations, made by `to`) and `exportTo` (`.`).
    """
    spec: Object = {"hosts": [host], "tcp": [{"route": list(destinations)}], "exportTo": ["."]}
    return _resource(NETWORKING, "VirtualService", host, spec)


def route(*destinations: Object, **more: Any) -> Object:
    """One rule of a VirtualService's `http`.

    Sets `route` (the destinations, made by `to`); `more` are its other fields: `match`, `timeout`, `retries`, `fault`,
    `mirror`, `headers`, `rewrite`, ...
    """
    return {**more, "route": list(destinations)}


def to(host: str, subset: str = "", weight: int | None = None, port: int | None = None) -> Object:
    """A destination of a rule.

    Sets `destination.host` and, where they are given, `destination.subset`, `destination.port.number` and `weight`.
    Of a service that has several ports, as `deploy_echo` makes them, Istio wants one named: without it a gateway does
    not know which is meant, and a sidecar takes the one that was called, with a warning (IST0112) on the resource.
    """
    destination: Object = {"host": host} | ({} if port is None else {"port": {"number": port}})
    if subset:
        destination["subset"] = subset
    return {"destination": destination} | ({} if weight is None else {"weight": weight})


def destination_rule(host: str, *versions: str, policy: Mapping[str, Any] | None = None, export: str = ".") -> Object:
    """A DestinationRule with one subset for each version.

    Sets `metadata.name` (the host), `host`, `subsets` (each named for its version, which it selects by the label
    `version`), `exportTo` and, where a policy is given, `trafficPolicy`.
    """
    spec: Object = {
        "host": host,
        "exportTo": [export],
        "subsets": [{"name": version, "labels": {"version": version}} for version in versions],
    }
    if policy:
        spec["trafficPolicy"] = dict(policy)
    return _resource(NETWORKING, "DestinationRule", host, spec)


def service(name: str, selector: Mapping[str, str], *ports: tuple[str, int, int]) -> Object:
    """A Service of Kubernetes.

    Sets `metadata.name`, `selector` and `ports`: each a tuple of `name`, `port` and `targetPort`.
    """
    listed = [{"name": port, "port": number, "targetPort": target} for port, number, target in ports]
    return _resource("v1", "Service", name, {"selector": dict(selector), "ports": listed})


def sidecar(app: str, *hosts: str) -> Object:
    """A Sidecar: what the proxies of one application know of.

    Sets `metadata.name` (the application), `workloadSelector.labels` (`app`) and `egress[0].hosts` (`./*`,
    `istio-system/*`, ...).
    """
    spec: Object = {"workloadSelector": {"labels": {"app": app}}, "egress": [{"hosts": list(hosts)}]}
    return _resource(NETWORKING, "Sidecar", app, spec)


def gateway(name: str, *servers: Object) -> Object:
    """A Gateway on the ingress gateway's pods.

    Sets `metadata.name`, `selector` (`istio: ingressgateway`) and `servers`: each with `port`, `hosts`, `tls`.
    """
    spec: Object = {"selector": {"istio": "ingressgateway"}, "servers": list(servers)}
    return _resource(NETWORKING, "Gateway", name, spec)


def peer_authentication(mode: str, app: str = "", **ports: str) -> Object:
    """A PeerAuthentication for the namespace, or for one application.

    Sets `metadata.name` (the application, or `default`), `mtls.mode` (`STRICT`, `PERMISSIVE`, `DISABLE`) and, where
    they are given, `selector.matchLabels` (`app`) and `portLevelMtls`: `p8081="PERMISSIVE"` is for the port 8081.
    """
    spec: Object = {"mtls": {"mode": mode}}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ports:
        spec["portLevelMtls"] = {port.removeprefix("p"): {"mode": mode} for port, mode in ports.items()}
    return _resource(SECURITY, "PeerAuthentication", app or "default", spec)


def authorization_policy(name: str, action: str, app: str, *rules: Object) -> Object:
    """An AuthorizationPolicy for one application.

    Sets `metadata.name`, `action` (`ALLOW`, `DENY`, `AUDIT`), `selector.matchLabels` (`app`) and `rules`: each with
    `from`, `to`, `when`. No rule at all under ALLOW denies everything.
    """
    spec: Object = {"action": action, "selector": {"matchLabels": {"app": app}}, "rules": list(rules)}
    return _resource(SECURITY, "AuthorizationPolicy", name, spec)


def _resource(api_version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}

"""Requests for a host of another listener, on one connection with TLS."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.apps.samples.certificates import Authority
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway, listener, route, rule, sent, to


def https(name: str, hostname: str = "") -> dict[str, Any]:
    own = {"hostname": hostname} if hostname else {}
    return listener(name, 443, "HTTPS", tls={"certificateRefs": [{"name": "cert"}]}, **own)


def answers(cluster: Cluster, name: str) -> dict[str, int]:
    """What a listener answers for each host: 200 by a route, 404 or 421 without."""
    (found,) = (each for key, each in sent(cluster)[RDS].items() if key.endswith(f"-{name}.default"))
    return {
        host.domains[0]: (host.routes[0].direct_response.status or 200) if host.routes else 404
        for host in message(found).virtual_hosts
    }


def test_a_request_for_another_listeners_host_is_misdirected(tmp_path: Path) -> None:
    files = Authority(tmp_path, "ca").issue("a.example.com")
    data = {"tls.crt": files.certificate, "tls.key": files.key}
    encoded = {key: base64.b64encode(path.read_bytes()).decode() for key, path in data.items()}
    listeners = [https("any"), https("one", "one.example.com"), https("wild", "*.example.com")]
    cluster = edge(gateway(*listeners))
    cluster.add("Secret", {"metadata": {"namespace": "default", "name": "cert"}, "data": encoded})
    cluster.add("HTTPRoute", route("w", rule(to("reviews")), parent={"name": "edge", "sectionName": "wild"}))
    cluster.add("HTTPRoute", route("o", rule(to("reviews")), parent={"name": "edge", "sectionName": "one"}))
    assert answers(cluster, "wild") == {"*.example.com": 200, "one.example.com": 421, "*": 421}
    assert answers(cluster, "one") == {"one.example.com": 200, "*.example.com": 421, "*": 421}
    assert answers(cluster, "any") == {"*": 404, "one.example.com": 421, "*.example.com": 421}
    validate(static(sent(cluster)), tmp_path)

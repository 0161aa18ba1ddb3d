"""The control port of a pod that the harness has deployed: orders to send, and its Envoy's admin interface.

It is reached through the API server's pod proxy, which every cluster has, and no sidecar intercepts it
(`traffic.sidecar.istio.io/excludeInboundPorts`): whatever is configured in the mesh, a test still reaches its
pods. `kubectl exec` would work as well, but its two processes take a quarter of a second, and a suite needs hundreds of
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, Exchange
from mesh_lab.client.objects import Object
from mesh_lab.harness.workloads import CONTROL_PORT_NAME, TOKEN_VARIABLE

TOKEN_HEADER = "X-Control-Token"
ORDER_HEADER = "X-Control-Order"
HEADER_BYTES = 4096
"""What every server on the way takes as one header; an order that is longer is the request's body."""
OK = 200


class ControlPort:
    """One pod's control port, which is served in one of its containers."""

    def __init__(self, api: Api, namespace: str, pod: str, port: int, token: str, container: str = "") -> None:
        self.container = container
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy"
        self._headers = {TOKEN_HEADER: token, "Content-Type": "application/json"}

    def begin(self, path: str, order: Mapping[str, Any], timeout: float) -> Exchange:
        """Give an order; its answer has begun.

        Raises:
            ApiError: it is refused, by the pod or on the way to it.
            ClusterUnreachable: no answer.
        """
        text, headers = json.dumps(order), self._headers
        if short := len(text) <= HEADER_BYTES:
            # The API server may cut off an answer that begins before the request's body is sent.
            headers = headers | {ORDER_HEADER: text}
        body = b"" if short else text.encode()
        exchange = self._api.begin("POST", self._path + path, body, headers, timeout=timeout)
        if exchange.status != OK:
            with exchange:
                words = exchange.rest().strip()[:500]
                raise ApiError(exchange.status, words, reason="Refused", request=exchange.request)
        return exchange

    def ask(self, path: str, order: Mapping[str, Any], timeout: float) -> str:
        """Give an order and wait for the whole answer.

        Raises:
            ApiError, ClusterUnreachable: as `begin`.
        """
        with self.begin(path, order, timeout) as exchange:
            return exchange.rest()


def control_port(api: Api, namespace: str, pod: Object) -> ControlPort | None:
    """The control port that a pod has, or None: pods that the harness has not deployed have none."""
    for container in pod["spec"]["containers"]:
        ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or ()}
        variables = {variable["name"]: variable.get("value") for variable in container.get("env") or ()}
        if CONTROL_PORT_NAME in ports and variables.get(TOKEN_VARIABLE):
            name = pod["metadata"]["name"]
            return ControlPort(
                api, namespace, name, ports[CONTROL_PORT_NAME], variables[TOKEN_VARIABLE], container["name"]
            )
    return None

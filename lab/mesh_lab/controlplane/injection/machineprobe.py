"""Probes the application of a virtual machine, and reports to istiod: a program of its own, as the proxy's user.

Source: pkg/istio-agent/health of Istio 1.30. Probes come from 127.0.0.6, which the redirection leaves alone.
https://istio.io/latest/docs/reference/config/networking/workload-group/#ReadinessProbe
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from google.protobuf.json_format import ParseDict
from google.protobuf.wrappers_pb2 import StringValue

from mesh_lab.controlplane.injection import agent, bootstrap, machinesettings
from mesh_lab.controlplane.injection.machinesettings import MachineProxy
from mesh_lab.controlplane.model.meshproxy import HttpGet, ReadinessProbe
from mesh_lab.controlplane.xds.names import INBOUND_SOURCE
from mesh_lab.controlplane.xds.typeurls import HEALTH

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_AGAIN_SECONDS = 1.0
_GOOD = range(200, 400)
_SERVING = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""


def main() -> None:
    """Probe and report for ever. What cannot be reported now is reported with the next probe."""
    mesh, cluster_env = (Path(path).read_text() for path in (machinesettings.MESH, machinesettings.CLUSTER_ENV))
    proxy = machinesettings.read(mesh, cluster_env, os.environ["MACHINE_NAME"], os.environ["MACHINE_ADDRESS"])
    if proxy.probe is None:
        return
    address = os.environ["MACHINE_ADDRESS"]
    while True:
        try:
            _report(proxy, states(proxy.probe, lambda seconds: check(proxy.probe, address, seconds), time.sleep))
        except grpc.RpcError as error:
            sys.stderr.write(f"machine: its health cannot be reported: {error.details()}\n")
        time.sleep(_AGAIN_SECONDS)


def states(probe: ReadinessProbe, look: Callable[[float], str], sleep: Callable[[float], None]) -> Iterator[str]:
    """What is to be reported after each probe: why it is not healthy, or nothing; nothing at all until that is decided.

    `look` makes one probe, within so many seconds. Istio's defaults stand in for what is 0.
    """
    sleep(probe.initial_delay_seconds)
    good, bad, state = 0, 0, None
    while True:
        problem = look(probe.timeout_seconds or 1)
        good, bad = (0, bad + 1) if problem else (good + 1, 0)
        if good >= (probe.success_threshold or 1):
            state = ""
        elif bad >= (probe.failure_threshold or 3):
            state = problem
        if state is not None:
            yield state
        sleep(probe.period_seconds or 10)


def check(probe: ReadinessProbe | None, address: str, seconds: float) -> str:
    """Why one probe failed; empty when it did not."""
    if probe is None:
        return ""
    try:
        if probe.http_get is not None:
            return _http(probe.http_get, address, seconds)
        if probe.tcp_socket is not None:
            place = (probe.tcp_socket.host or address, probe.tcp_socket.port)
            socket.create_connection(place, seconds, (INBOUND_SOURCE, 0)).close()
        elif probe.exec is not None:
            subprocess.run(probe.exec.command, timeout=seconds, check=True, capture_output=True)
        elif probe.grpc is not None:
            return _grpc(f"{address}:{probe.grpc.port}", probe.grpc.service, seconds)
    except (OSError, HTTPException, subprocess.SubprocessError) as error:
        return str(error) or type(error).__name__
    return ""


def _http(wanted: HttpGet, address: str, seconds: float) -> str:
    place, source = (wanted.host or address, wanted.port), (INBOUND_SOURCE, 0)
    connection: HTTPConnection
    if wanted.scheme.upper() == "HTTPS":
        # As Kubernetes' own probes, it does not look at the certificate.
        unverified = ssl._create_unverified_context()
        connection = HTTPSConnection(*place, timeout=seconds, source_address=source, context=unverified)
    else:
        connection = HTTPConnection(*place, timeout=seconds, source_address=source)
    try:
        connection.request("GET", wanted.path or "/", headers={each.name: each.value for each in wanted.http_headers})
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if status in _GOOD else f"status code was not from [200,400), was {status}"


def _grpc(place: str, service: str, seconds: float) -> str:
    # A HealthCheckRequest: its only field is the service, a text with the number 1, as a StringValue has.
    request = StringValue(value=service).SerializeToString()
    with grpc.insecure_channel(place, [("grpc.enable_http_proxy", 0)]) as channel:
        call: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None
        )
        try:
            answer = call(request, timeout=seconds)
        except grpc.RpcError as error:
            return str(error.details())
    return "" if answer == _SERVING else "gRPC service is not serving"


def node_of(proxy: MachineProxy) -> Node:
    """The node that the machine's Envoy says it is."""
    document = agent.expanded(json.dumps(bootstrap.config(proxy.settings)["node"]), proxy.environment)
    return ParseDict(json.loads(document), Node())


def _report(proxy: MachineProxy, reports: Iterator[str]) -> None:
    settings, node = proxy.settings, node_of(proxy)
    place = f"{settings.control_plane}.{settings.cluster_domain}:{settings.control_plane_port}"
    tls = grpc.ssl_channel_credentials(Path(machinesettings.ROOT).read_bytes())
    options = [("grpc.ssl_target_name_override", settings.control_plane), ("grpc.enable_http_proxy", 0)]
    token = Path(machinesettings.TOKEN).read_text().strip()

    def requests() -> Iterator[DiscoveryRequest]:
        for problem in reports:
            request = DiscoveryRequest(node=node, type_url=HEALTH)
            if problem:
                request.error_detail.message = problem
            yield request

    with grpc.secure_channel(place, tls, options) as channel:
        call: Any = channel.stream_stream(_METHOD, request_serializer=DiscoveryRequest.SerializeToString)
        for _ in call(requests(), metadata=[("authorization", f"Bearer {token}")]):
            pass


if __name__ == "__main__":
    main()

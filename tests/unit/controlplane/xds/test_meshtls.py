"""Settings of the mesh for TLS and for what stands before a gateway (`meshMTLS`, `tlsDefaults`, `gatewayTopology`)."""

from __future__ import annotations

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.mesh import MeshConfig, TLSConfig
from mesh_lab.controlplane.model.meshproxy import Topology
from mesh_lab.controlplane.xds.gatewaytls import downstream_context
from mesh_lab.controlplane.xds.http import connection_manager
from mesh_lab.controlplane.xds.peers import Own
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from tests.unit.controlplane.cluster import bookinfo, mesh_config
from tests.unit.controlplane.xds.judging import SERVER
from tests.unit.controlplane.xds.translated import listener_of


def test_sidecars_take_no_older_tls_than_the_mesh_says() -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config("meshMTLS: {minProtocolVersion: TLSV1_3}"))
    found = []
    for chain in listener_of(cluster, "virtualInbound", SERVER).filter_chains:
        context = DownstreamTlsContext()
        if chain.transport_socket.typed_config.Unpack(context):
            found.append(context.common_tls_context.tls_params.tls_minimum_protocol_version)
    assert set(found) == {TlsParameters.TLSv1_3}


@pytest.mark.parametrize(
    ("server", "oldest", "suites"),
    [
        (ServerTLSSettings(mode="SIMPLE"), TlsParameters.TLSv1_3, ["ECDHE-RSA-AES128-GCM-SHA256"]),
        (
            ServerTLSSettings(mode="SIMPLE", min_protocol_version="TLSV1_2", cipher_suites=["AES128-SHA"]),
            TlsParameters.TLSv1_2,
            ["AES128-SHA"],
        ),
    ],
)
def test_a_server_of_a_gateway_has_the_meshs_defaults_for_what_it_does_not_say(
    server: ServerTLSSettings, oldest: int, suites: list[str]
) -> None:
    defaults = TLSConfig(
        min_protocol_version="TLSV1_3", cipher_suites=["ECDHE-RSA-AES128-GCM-SHA256"], ecdh_curves=["P-256"]
    )
    parameters = downstream_context(server, defaults=defaults).common_tls_context.tls_params
    assert parameters.tls_minimum_protocol_version == oldest
    assert list(parameters.cipher_suites) == suites
    assert list(parameters.ecdh_curves) == ["P-256"]


def test_a_gateway_trusts_as_many_proxies_before_it_as_the_mesh_says() -> None:
    topology = Topology(num_trusted_proxies=2, forward_client_cert_details="SANITIZE")
    manager = connection_manager("gateway", "a", ProxyContext(MeshConfig(), Own(""), topology=topology), [])
    assert manager.xff_num_trusted_hops == 2
    assert manager.forward_client_cert_details == HttpConnectionManager.SANITIZE
    assert not manager.HasField("set_current_client_cert_details")

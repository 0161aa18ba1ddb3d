"""TLS at a gateway: where it ends, with which Secrets, and what is passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.delivery.secrets import GATEWAY_PREFIX, credential
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS
from tests.unit.controlplane.cluster import bookinfo, config, endpoints, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gateways import HTTPS, chains, context, edge, gateway, route, secret, sent, server
from tests.unit.controlplane.xds.translated import hosts_of


def test_tls_ends_with_the_hosts_own_secret() -> None:
    cluster = secret(edge(), "other", keys=("tls.crt", "tls.key", "ca.crt")).istio(
        gateway(
            server(443, "HTTPS", "a.example.com", mode="SIMPLE", credentialName="cert"),
            server(443, "HTTPS", "b.example.com", mode="MUTUAL", credentialName="other", minProtocolVersion="TLSV1_3"),
            server(443, "HTTPS", "c.example.com", mode="SIMPLE", credentialName="missing"),
        ),
        route("a.example.com"),
    )
    simple, mutual = chains(cluster, "0.0.0.0_8443")
    assert list(simple.filter_chain_match.server_names) == ["a.example.com"]
    certificates = context(simple).common_tls_context.tls_certificate_sds_secret_configs
    assert [each.name for each in certificates] == ["kubernetes://cert"]
    assert not context(simple).require_client_certificate.value
    assert list(mutual.filter_chain_match.server_names) == ["b.example.com"]
    assert context(mutual).require_client_certificate.value
    validation = context(mutual).common_tls_context.combined_validation_context
    assert validation.validation_context_sds_secret_config.name == "kubernetes://other-cacert"
    manager = HttpConnectionManager()
    assert simple.filters[-1].typed_config.Unpack(manager)
    assert list(hosts_of(sent(cluster), manager.rds.route_config_name)) == ["a.example.com:443"]


def test_a_listener_waits_for_the_secrets_of_the_chains_that_it_has() -> None:
    cluster = edge().istio(
        gateway(
            server(443, "HTTPS", "a.example", mode="MUTUAL", credentialName="cert", caCertCredentialName="clients"),
            server(443, "HTTPS", "b.example", mode="SIMPLE", credentialName="missing"),
            server(443, "TLS", "c.example", mode="SIMPLE", credentialName="unused"),
        ),
        route("a.example"),
    )
    secret(secret(cluster, "clients", keys=("ca.crt",)), "unused")
    found = sent(cluster)[LDS]["0.0.0.0_8443"].secrets
    assert found == ("kubernetes://cert", "kubernetes://clients-cacert")


def test_a_missing_secret_does_not_hold_back_the_rest_and_is_taken_up_when_it_comes() -> None:
    cluster = edge().istio(gateway(server(443, "HTTPS", mode="SIMPLE", credentialName="late")), route())
    assert not sent(cluster)[LDS]
    assert chains(secret(cluster, "late"), "0.0.0.0_8443")


@pytest.mark.parametrize(
    ("named", "holder", "asked_for"),
    [
        ({}, "cert", "cert-cacert"),
        ({}, "cert-cacert", "cert-cacert"),
        ({"caCertCredentialName": "clients"}, "clients", "clients-cacert"),
        ({"caCertCredentialName": "clients-cacert"}, "clients-cacert", "clients-cacert"),
    ],
)
def test_clients_are_verified_by_an_authority_whose_absence_holds_nothing_else_back(
    named: dict[str, str], holder: str, asked_for: str
) -> None:
    mutual = server(443, "HTTPS", "b.example", mode="MUTUAL", credentialName="cert", **named)
    simple = server(443, "HTTPS", "a.example", mode="SIMPLE", credentialName="cert")
    cluster = edge().istio(gateway(simple, mutual), route("a.example", "b.example"))
    assert [list(c.filter_chain_match.server_names) for c in chains(cluster, "0.0.0.0_8443")] == [["a.example"]]
    keys = ("tls.crt", "tls.key", "ca.crt") if holder == "cert" else ("ca.crt",)
    _, chain = chains(secret(cluster, holder, keys=keys), "0.0.0.0_8443")
    validation = context(chain).common_tls_context.combined_validation_context
    assert validation.validation_context_sds_secret_config.name == f"kubernetes://{asked_for}"
    given = credential(
        cluster.snapshot(), cluster.proxy("gate-1", "istio-system", "router"), f"{GATEWAY_PREFIX}{asked_for}"
    )
    assert given is not None
    assert [origin.kind for origin in given.origins] == ["Secret", "Gateway"], "a NACK concerns both"


def test_a_secret_of_another_namespace_is_not_the_gateways() -> None:
    cluster = secret(edge(), "theirs", "default")
    cluster.istio(gateway(server(443, "HTTPS", mode="SIMPLE", credentialName="theirs")), route())
    assert not sent(cluster)[LDS]


def test_tls_is_passed_on_by_name() -> None:
    shares = [
        {
            "match": [{"sniHosts": ["a.example.com"]}],
            "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}],
        }
    ]
    routed = config("VirtualService", "r", {"hosts": ["a.example.com"], "gateways": ["front"], "tls": shares})
    cluster = edge().istio(gateway(server(443, "TLS", "a.example.com", mode="PASSTHROUGH")), routed)
    (chain,) = chains(cluster, "0.0.0.0_8443")
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    assert proxy.cluster == "outbound|9080||reviews.default.svc.cluster.local"
    assert not chain.HasField("transport_socket")


@pytest.mark.parametrize("protocol", ["TLS", "HTTPS"])
def test_settings_that_name_no_mode_pass_tls_on(protocol: str) -> None:
    shares = [
        {
            "match": [{"sniHosts": ["a.example.com"]}],
            "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}],
        }
    ]
    routed = config("VirtualService", "r", {"hosts": ["a.example.com"], "gateways": ["front"], "tls": shares})
    chosen = []
    for tls in ({"mode": "PASSTHROUGH"}, {}):
        made = {**server(443, protocol, "a.example.com"), "tls": tls}
        (chain,) = chains(edge().istio(gateway(made), routed), "0.0.0.0_8443")
        chosen.append(chain)
    assert chosen[0] == chosen[1]


def test_it_forwards_a_clients_certificate_and_drops_what_clients_send_of_it() -> None:
    (chain,) = chains(edge().istio(gateway(server()), route()), "0.0.0.0_8080")
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    assert manager.forward_client_cert_details == HttpConnectionManager.SANITIZE_SET
    assert manager.use_remote_address.value


def test_mutual_tls_of_the_mesh_is_passed_on_by_the_cluster_that_its_server_name_says(tmp_path: Path) -> None:
    passing = server(443, "TLS", "*.default.svc.cluster.local", mode="AUTO_PASSTHROUGH")
    plain = pod("old-1", "10.244.1.1", meshed=False)
    cluster = edge().add("Service", service("old", ("http", 80))).add("Pod", plain)
    cluster.add("EndpointSlice", endpoints("old", plain, ports=(("http", 80),)))
    subsets = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    found = sent(cluster.istio(gateway(passing), config("DestinationRule", "r", subsets)))
    names = {f"outbound_.9080_.{subset}_.reviews.default.svc.cluster.local" for subset in ("", "v1")}
    chains = message(found[LDS]["0.0.0.0_8443"]).filter_chains
    assert names <= {name for chain in chains for name in chain.filter_chain_match.server_names}
    assert names <= set(found[CDS])
    assert all(not message(found[CDS][name]).HasField("transport_socket") for name in names)
    assert not message(found[EDS]["outbound_.80_._.old.default.svc.cluster.local"]).endpoints
    assert "outbound_.80_._.gate.istio-system.svc.cluster.local" not in found[CDS]
    validate(static(found), tmp_path)


def test_a_server_may_have_certificates_of_two_kinds_in_files() -> None:
    files = [{"serverCertificate": f"/{kind}.pem", "privateKey": f"/{kind}.key"} for kind in ("rsa", "ecdsa")]
    (chain,) = chains(edge().istio(gateway(server(443, "HTTPS", mode="SIMPLE", tlsCertificates=files)), route()), HTTPS)
    given = context(chain).common_tls_context.tls_certificates
    assert [each.certificate_chain.filename for each in given] == ["/rsa.pem", "/ecdsa.pem"]


def test_clients_certificates_may_be_taken_unverified() -> None:
    cluster = secret(edge(), "cert", keys=("tls.crt", "tls.key", "ca.crt"))
    mutual = server(443, "HTTPS", mode="MUTUAL", credentialName="cert", insecureSkipVerify=True)
    (chain,) = chains(cluster.istio(gateway(mutual), route()), HTTPS)
    validation = context(chain).common_tls_context.combined_validation_context.default_validation_context
    assert validation.trust_chain_verification == CertificateValidationContext.ACCEPT_UNTRUSTED


@pytest.mark.parametrize(("authority", "revoked"), [("ca.crt", "ca.crl"), ("cacert", "crl")])
def test_a_secret_may_list_what_is_revoked(authority: str, revoked: str) -> None:
    cluster = secret(edge(), "cert", keys=("tls.crt", "tls.key", authority, revoked))
    proxy = cluster.proxy("gate-1", "istio-system", "router")
    found = credential(cluster.snapshot(), proxy, f"{GATEWAY_PREFIX}cert-cacert")
    assert found is not None
    sent_as = Secret()
    assert AnyMessage.FromString(found.body).Unpack(sent_as)
    assert sent_as.validation_context.crl.inline_bytes == b"pem"


@pytest.mark.parametrize(("app", "given"), [("productpage", True), ("details", False), ("", False)])
def test_a_sidecar_is_given_the_secrets_of_rules_that_select_it(app: str, given: bool) -> None:
    cluster = secret(bookinfo(), "mine", "default", keys=("tls.crt", "tls.key", "ca.crt"))
    tls = {"portLevelSettings": [{"port": {"number": 9080}, "tls": {"mode": "MUTUAL", "credentialName": "mine"}}]}
    selector = {"workloadSelector": {"matchLabels": {"app": app}}} if app else {}
    cluster.istio(config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": tls, **selector}))
    for name in ("mine", "mine-cacert"):
        found = credential(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"), f"{GATEWAY_PREFIX}{name}")
        assert (found is not None) is given
    assert credential(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"), f"{GATEWAY_PREFIX}other") is None

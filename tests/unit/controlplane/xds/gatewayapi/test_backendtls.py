"""BackendTLSPolicy: TLS to servers, which policy counts, and what is said of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from mesh_lab.controlplane.delivery import secrets
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.apps.samples.certificates import Authority
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import (
    POD,
    edge,
    gateway,
    holds,
    listener,
    made,
    route,
    rule,
    sent,
    status,
    to,
)

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"
SIDECAR = "ratings-v1-abc-1"


def authority(tmp_path: Path, name: str = "ca") -> dict[str, Any]:
    pem = Authority(tmp_path, name).certificate.read_text()
    return {"metadata": {"namespace": "default", "name": name}, "data": {"ca.crt": pem}}


def policy(name: str = "p", *, section: str = "", created: str = "2026-01-01", **validation: Any) -> dict[str, Any]:
    """A policy for reviews; verified by the ConfigMap `ca` unless it says otherwise."""
    target = {"group": "", "kind": "Service", "name": "reviews", **({"sectionName": section} if section else {})}
    asked = {"hostname": "reviews.example.com", **validation}
    if "wellKnownCACertificates" not in asked:
        asked.setdefault("caCertificateRefs", [{"group": "", "kind": "ConfigMap", "name": "ca"}])
    return made(name, {"targetRefs": [target], "validation": asked}, created=created)


def begun(cluster: Any) -> Any:
    """The TLS that a cluster of Envoy's begins."""
    return UpstreamTlsContext.FromString(cluster.transport_socket.typed_config.value)


def served(*policies: dict[str, Any], gateways: tuple[dict[str, Any], ...] = ()) -> Cluster:
    return edge(*gateways).add("HTTPRoute", route("r", rule(to("reviews")))).add("BackendTLSPolicy", *policies)


def context(cluster: Cluster) -> Any:
    """The TLS in which the gateway calls reviews."""
    return begun(message(sent(cluster)[CDS][REVIEWS]))


def of_gateway(cluster: Cluster, name: str = "p") -> dict[str, tuple[str, str]]:
    """What the policy's status says of the Gateway."""
    (found,) = (
        each
        for each in status(cluster, "BackendTLSPolicy", name)["ancestors"]
        if each["ancestorRef"]["kind"] == "Gateway"
    )
    assert found["ancestorRef"]["name"] == "edge"
    return {kind: holds(found["conditions"], kind) for kind in ("Accepted", "ResolvedRefs")}


def test_a_server_is_called_by_the_policys_name_and_verified_by_its_authority(tmp_path: Path) -> None:
    cluster = served(policy()).add("ConfigMap", authority(tmp_path))
    tls = context(cluster)
    verified = tls.common_tls_context.combined_validation_context
    assert tls.sni == "reviews.example.com"
    names = verified.default_validation_context.match_typed_subject_alt_names
    assert [each.matcher.exact for each in names] == [tls.sni]
    name = verified.validation_context_sds_secret_config.name
    proxy = cluster.proxy(POD, kind="router")
    built = secrets.credential(cluster.snapshot(), proxy, name)
    assert built is not None
    assert b"BEGIN CERTIFICATE" in built.body
    assert of_gateway(cluster) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
    validate(static(sent(cluster)), tmp_path)


def test_sidecars_call_it_so_too_and_the_service_is_an_ancestor(tmp_path: Path) -> None:
    cluster = served(policy()).add("ConfigMap", authority(tmp_path))
    to_reviews = message(Generator().generate(cluster.snapshot(), cluster.proxy(SIDECAR))[CDS][REVIEWS])
    assert begun(to_reviews).sni == "reviews.example.com"
    ancestors = status(cluster, "BackendTLSPolicy", "p")["ancestors"]
    assert [each["ancestorRef"]["kind"] for each in ancestors] == ["Gateway", "Service"]


def test_further_names_take_the_place_of_the_hostname() -> None:
    names = [{"type": "Hostname", "hostname": "a.example.com"}, {"type": "URI", "uri": "spiffe://b/c"}]
    tls = context(served(policy(subjectAltNames=names, wellKnownCACertificates="System")))
    verified = tls.common_tls_context.validation_context
    kinds = [(each.san_type, each.matcher.exact) for each in verified.match_typed_subject_alt_names]
    assert kinds == [(2, "a.example.com"), (3, "spiffe://b/c")]
    assert verified.trusted_ca.filename
    assert tls.sni == "reviews.example.com"


def test_a_policy_whose_authority_is_none_trusts_nobody(tmp_path: Path) -> None:
    cluster = served(policy())
    verified = context(cluster).common_tls_context.validation_context
    assert [base64.b64decode(each) for each in verified.verify_certificate_spki] == [bytes(32)]
    told = {"Accepted": ("False", "NoValidCACertificate"), "ResolvedRefs": ("False", "InvalidCACertificateRef")}
    assert of_gateway(cluster) == told
    findings = analyse(cluster.snapshot())
    assert [each.severity for each in findings if each.origin.kind == "BackendTLSPolicy"] == ["error"]
    validate(static(sent(cluster)), tmp_path)


def test_of_several_authorities_those_that_are_there_count(tmp_path: Path) -> None:
    refs = [{"group": "", "kind": "ConfigMap", "name": name} for name in ("gone", "ca")]
    cluster = served(policy(caCertificateRefs=refs)).add("ConfigMap", authority(tmp_path))
    told = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", "InvalidCACertificateRef")}
    assert of_gateway(cluster) == told
    assert not context(cluster).common_tls_context.validation_context.verify_certificate_spki


def test_an_authority_that_is_no_config_map_is_of_the_wrong_kind() -> None:
    cluster = served(policy(caCertificateRefs=[{"group": "x.io", "kind": "Other", "name": "ca"}]))
    told = {"Accepted": ("False", "NoValidCACertificate"), "ResolvedRefs": ("False", "InvalidKind")}
    assert of_gateway(cluster) == told


def test_well_known_authorities_of_others_and_unknown_fields_trust_nobody() -> None:
    for asked in (policy(wellKnownCACertificates="example.com/x"), policy(later=True)):
        cluster = served(asked)
        assert of_gateway(cluster)["Accepted"] == ("False", "Invalid")
        assert context(cluster).common_tls_context.validation_context.verify_certificate_spki


def test_of_two_policies_for_one_target_the_older_counts() -> None:
    older = policy("older", wellKnownCACertificates="System", hostname="older.example.com", created="2025-01-01")
    younger = policy("younger", wellKnownCACertificates="System")
    cluster = served(younger, older)
    assert context(cluster).sni == "older.example.com"
    assert of_gateway(cluster, "older")["Accepted"] == ("True", "Accepted")
    assert of_gateway(cluster, "younger")["Accepted"] == ("False", "Conflicted")


def test_a_policy_for_a_port_comes_before_one_for_the_service() -> None:
    wide = policy("wide", wellKnownCACertificates="System", hostname="wide.example.com", created="2025-01-01")
    cluster = served(wide, policy("narrow", section="http", wellKnownCACertificates="System"))
    assert context(cluster).sni == "reviews.example.com"
    assert of_gateway(cluster, "wide")["Accepted"] == ("True", "Accepted")
    assert of_gateway(cluster, "narrow")["Accepted"] == ("True", "Accepted")


def test_a_target_that_is_none_is_told_on_the_service() -> None:
    cluster = served(policy(section="gone", wellKnownCACertificates="System"))
    (found,) = status(cluster, "BackendTLSPolicy", "p")["ancestors"]
    assert holds(found["conditions"], "Accepted") == ("False", "TargetNotFound")
    assert found["ancestorRef"]["sectionName"] == "gone"


def test_a_destination_rule_comes_before_a_policy_which_fills_in_the_rest() -> None:
    cluster = served(policy(wellKnownCACertificates="System"))
    pool = {"connectionPool": {"http": {"http1MaxPendingRequests": 7}}}
    cluster.add("DestinationRule", made("d", {"host": "reviews", "trafficPolicy": pool}))
    reviews = message(sent(cluster)[CDS][REVIEWS])
    assert reviews.circuit_breakers.thresholds[0].max_pending_requests.value == 7
    assert begun(reviews).sni == "reviews.example.com"
    cluster.add("DestinationRule", made("d", {"host": "reviews", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}))
    assert not message(sent(cluster)[CDS][REVIEWS]).HasField("transport_socket")


def test_a_gateway_shows_backends_its_certificate_and_sidecars_none(tmp_path: Path) -> None:
    files = Authority(tmp_path, "own").issue("gateway.example.com")
    data = {"tls.crt": files.certificate, "tls.key": files.key}
    encoded = {key: base64.b64encode(path.read_bytes()).decode() for key, path in data.items()}
    showing = gateway(listener(), tls={"backend": {"clientCertificateRef": {"name": "own"}}})
    cluster = served(policy(wellKnownCACertificates="System"), gateways=(showing,))
    assert holds(status(cluster, GATEWAY, "edge")["conditions"], "ResolvedRefs") == (
        "False",
        "InvalidClientCertificateRef",
    )
    assert not context(cluster).common_tls_context.tls_certificate_sds_secret_configs
    cluster.add("Secret", {"metadata": {"namespace": "default", "name": "own"}, "data": encoded})
    assert holds(status(cluster, GATEWAY, "edge")["conditions"], "ResolvedRefs") == ("True", "ResolvedRefs")
    (shown,) = context(cluster).common_tls_context.tls_certificate_sds_secret_configs
    snapshot = cluster.snapshot()
    assert secrets.credential(snapshot, cluster.proxy(POD, kind="router"), shown.name) is not None
    assert secrets.credential(snapshot, cluster.proxy(SIDECAR), shown.name) is None
    to_reviews = message(Generator().generate(snapshot, cluster.proxy(SIDECAR))[CDS][REVIEWS])
    plain = begun(to_reviews).common_tls_context
    assert not plain.tls_certificate_sds_secret_configs
    validate(static(sent(cluster)), tmp_path)

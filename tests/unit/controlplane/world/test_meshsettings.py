"""The mesh's settings by Istio's rules: what Istio refuses stays as it was, and names its field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from mesh_lab.controlplane.world.meshconfig import MeshConfig, parse
from tests.unit.controlplane.strategies import documents

PEM = "-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----"
# Of the documentation's tasks, and of what Istio's own installation writes.
TAKEN = [
    "accessLogFile: /dev/stdout\naccessLogEncoding: JSON",
    "meshMTLS: {minProtocolVersion: TLSV1_3}",
    "tlsDefaults: {ecdhCurves: [P-256, P-521], minProtocolVersion: TLSV1_2, cipherSuites: [AES256-GCM-SHA384]}",
    "discoverySelectors: [{matchLabels: {istio-discovery: enabled}}, {matchExpressions: [{key: a, operator: Exists}]}]",
    "defaultConfig: {discoveryAddress: 'istiod.b.svc:15012', proxyMetadata: {ISTIO_META_DNS_CAPTURE: '1'}}",
    "defaultConfig: {tracing: {sampling: 10, zipkin: {address: '$(HOST_IP):9411'}}, meshId: a}",
    "defaultConfig: {gatewayTopology: {numTrustedProxies: 2}, image: {imageType: distroless}, concurrency: 0}",
    "defaultConfig: {proxyStatsMatcher: {inclusionRegexps: ['.*circuit_breakers.*']}, drainDuration: 30s}",
    "localityLbSetting: {enabled: true, distribute: [{from: a/b/*, to: {'a/b/*': 80, 'c/d/*': 20}}]}",
    "defaultProviders: {accessLogging: [envoy], metrics: [prometheus], tracing: [jaeger]}",
    "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 100}}}",
    f'caCertificates: [{{pem: "{PEM}", trustDomains: [a]}}]',
    "serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.a.svc.cluster.local', '*']}]",
    "defaultServiceExportTo: ['.']\ndefaultVirtualServiceExportTo: ['~']\ndefaultDestinationRuleExportTo: ['*', a]",
    "inboundTrafficPolicy: {mode: LOCALHOST}\ndnsRefreshRate: 5s\ntcpKeepalive: {time: 10s, probes: 3}",
    "inboundClusterStatName: '%SERVICE%'\noutboundClusterStatName: '%SERVICE%_%SERVICE_PORT%'\nenableTracing: true",
    "trustDomain: new-td.\ntrustDomainAliases: [old-td, a.b]",
    "ingressControllerMode: 'OFF'\ningressClass: a\ningressService: b\ningressSelector: c",
]


@pytest.mark.parametrize("text", TAKEN)
def test_what_istio_takes_is_taken(text: str) -> None:
    assert [remark for remark in parse(text).remarks if remark.severity == "error"] == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("connectTimeout: 61m", "connectTimeout"),
        ("trustDomain: a_b", "trustDomain"),
        ("trustDomain: ''", "trustDomain"),
        ("trustDomainAliases: [a, a/b]", "trustDomainAliases[1]"),
        ("dnsRefreshRate: 0s", "dnsRefreshRate"),
        ("proxyListenPort: 0", "proxyListenPort"),
        ("meshMTLS: {minProtocolVersion: TLSV1_1}", "meshMTLS.minProtocolVersion"),
        ("meshMTLS: {ecdhCurves: [P-256]}", "meshMTLS.ecdhCurves"),
        ("serviceSettings: [{hosts: [a_b]}]", "serviceSettings[0].hosts[0]"),
        ("defaultServiceExportTo: [a_b]", "defaultServiceExportTo[0]"),
        (
            "discoverySelectors: [{matchExpressions: [{key: a, operator: In}]}]",
            "discoverySelectors[0].matchExpressions[0].values",
        ),
        (
            "discoverySelectors: [{matchExpressions: [{key: a, operator: Is}]}]",
            "discoverySelectors[0].matchExpressions[0].operator",
        ),
        ("caCertificates: [{pem: nonsense}]", "caCertificates[0].pem"),
        ("caCertificates: [{trustDomains: [a]}]", "caCertificates[0]"),
        ("localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}", "localityLbSetting.distribute[0].to"),
        ("defaultTrafficPolicy: {connectionPool: {}}", "defaultTrafficPolicy.connectionPool"),
        (
            "defaultTrafficPolicy: {connectionPool: {http: {maxRetries: -1}}}",
            "defaultTrafficPolicy.connectionPool.http.maxRetries",
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {interval: 0s}}",
            "defaultTrafficPolicy.outlierDetection.interval",
        ),
        ("tcpKeepalive: {time: 0s}", "tcpKeepalive.time"),
        ("defaultHttpRetryPolicy: {attempts: -1}", "defaultHttpRetryPolicy.attempts"),
        ("defaultInboundHttpRetryPolicy: {backoff: 1s}", "defaultInboundHttpRetryPolicy.backoff"),
        ("defaultConfig: {concurency: 2}", "defaultConfig"),
        ("defaultConfig: {concurrency: -1}", "defaultConfig.concurrency"),
        ("defaultConfig: {drainDuration: 1.5s}", "defaultConfig.drainDuration"),
        ("defaultConfig: {discoveryAddress: istiod}", "defaultConfig.discoveryAddress"),
        ("defaultConfig: {statsdUdpAddress: 'a:70000'}", "defaultConfig.statsdUdpAddress"),
        ("defaultConfig: {statusPort: 0}", "defaultConfig.statusPort"),
        ("defaultConfig: {tracing: {zipkin: {address: a}}}", "defaultConfig.tracing.zipkin.address"),
        ("defaultConfig: {tracing: {sampling: 101}}", "defaultConfig.tracing.sampling"),
        ("defaultConfig: {tracing: {lightstep: {address: 'a:1'}}}", "defaultConfig.tracing.lightstep.accessToken"),
        ("defaultConfig: {privateKeyProvider: {cryptomb: {}}}", "defaultConfig.privateKeyProvider.cryptomb.pollDelay"),
        (
            "defaultConfig: {connectionSettings: {http2InitialStreamWindowSize: 1}}",
            "defaultConfig.connectionSettings.http2InitialStreamWindowSize",
        ),
        (
            "defaultConfig: {proxyStatsMatcher: {inclusionRegexps: ['(']}}",
            "defaultConfig.proxyStatsMatcher.inclusionRegexps[0]",
        ),
        ("defaultConfig: {serviceCluster: a, tracingServiceName: CANONICAL_NAME_ONLY}", "defaultConfig"),
    ],
)
def test_what_istio_refuses_stays_as_it_was_and_names_its_field(text: str, path: str) -> None:
    before = MeshConfig()
    config, remarks = parse(text, before)
    wrong = [remark for remark in remarks if remark.severity == "error"]
    assert [remark.path for remark in wrong] == [f"data.mesh.{path}"]
    assert "it stays as it was" in wrong[0].message
    assert msgspec.to_builtins(config) == msgspec.to_builtins(before)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("tlsDefaults: {ecdhCurves: [P-1]}", "tlsDefaults.ecdhCurves", "unrecognized ECDH curves: P-1"),
        ("tlsDefaults: {ecdhCurves: [P-256, P-256]}", "tlsDefaults.ecdhCurves", "duplicate ECDH curves"),
        ("meshMTLS: {cipherSuites: [RC4]}", "meshMTLS.cipherSuites", "RC4"),
        ("defaultInboundHttpRetryPolicy: {attempts: 1, perTryTimeout: 1s}", ".perTryTimeout", "is ignored"),
        ("defaultConfig: {proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}", "AUTO_ALLOCATE]", "deprecated"),
    ],
)
def test_what_istio_warns_of_is_a_warning(text: str, path: str, words: str) -> None:
    assert any(
        remark.severity == "warning" and remark.path.endswith(path) and words in remark.message
        for remark in parse(text).remarks
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(documents(MeshConfig))
def test_of_any_settings_what_is_kept_passes_the_checks(document: dict[str, Any]) -> None:
    kept = parse(msgspec.yaml.encode(document).decode()).config
    config, remarks = parse(msgspec.yaml.encode(msgspec.to_builtins(kept)).decode())
    assert [remark for remark in remarks if remark.severity == "error"] == []
    assert msgspec.to_builtins(config) == msgspec.to_builtins(kept)

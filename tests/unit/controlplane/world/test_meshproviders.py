"""Extension providers: each is read by itself, and Istio's own are there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mesh_lab.controlplane.model.providers import ExtensionProvider
from mesh_lab.controlplane.world.meshconfig import MeshConfig, Remark, parse


def parsed(*providers: dict[str, Any], before: MeshConfig | None = None) -> tuple[MeshConfig, list[Remark]]:
    """The settings, and the remarks on single providers."""
    text = msgspec.yaml.encode({"extensionProviders": list(providers)}).decode()
    config, remarks = parse(text, before)
    return config, [remark for remark in remarks if remark.path != "data.mesh.extensionProviders"]


ZIPKIN = {"name": "z", "zipkin": {"service": "zipkin.istio-system.svc.cluster.local", "port": 9411}}


BUILT_IN = ["prometheus", "stackdriver", "envoy", "otel", "skywalking", "otel-tracing", "jaeger"]


def test_istios_own_providers_are_there_and_can_be_replaced() -> None:
    assert [each.name for each in MeshConfig().extension_providers] == BUILT_IN
    config, remarks = parsed({"name": "envoy", "envoyFileAccessLog": {"path": "/dev/stderr"}}, ZIPKIN)
    assert remarks == []
    assert [each.name for each in config.extension_providers] == [*BUILT_IN, "z"]
    envoy = config.provider("envoy")
    assert envoy is not None
    assert envoy.envoy_file_access_log is not None
    assert envoy.envoy_file_access_log.path == "/dev/stderr"
    assert config.provider("other") is None


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("envoyExtAuthzHttp", {"includeRequestHeadersInCheck": ["x-ext-authz"], "pathPrefix": "/a", "timeout": "1s"}),
        ("envoyExtAuthzHttp", {"includeAdditionalHeadersInCheck": {"x": "y"}, "statusOnError": "503"}),
        ("envoyExtAuthzGrpc", {"failOpen": True, "includeRequestBodyInCheck": {"maxRequestBytes": 1}}),
        ("zipkin", {"enable64bitTraceId": True, "traceContextOption": "USE_B3_WITH_W3C_PROPAGATION"}),
        ("datadog", {"maxTagLength": 1}),
        ("skywalking", {"accessToken": "a"}),
        ("opentelemetry", {"http": {"path": "/v1/traces", "timeout": "5s", "headers": [{"name": "a", "value": "b"}]}}),
        ("opentelemetry", {"resourceDetectors": {"environment": {}}, "grpc": {"initialMetadata": []}}),
        ("envoyOtelAls", {"logFormat": {"labels": {"path": "%REQ(:PATH)%", "deep": {"code": ["%RESPONSE_CODE%"]}}}}),
        ("envoyHttpAls", {"additionalRequestHeadersToLog": ["x"], "filterStateObjectsToLog": ["y"]}),
        ("envoyTcpAls", {"logName": "a"}),
    ],
)
def test_providers_that_are_services_are_read_with_their_port_as_text_too(kind: str, settings: dict[str, Any]) -> None:
    service = {"service": "foo/ext-authz.foo.svc.cluster.local", "port": "9000"}
    config, remarks = parsed({"name": "a", kind: {**service, **settings}})
    assert remarks == []
    provider = config.provider("a")
    assert provider is not None
    (part,) = provider.given.values()
    assert msgspec.to_builtins(part)["port"] == 9000
    assert settings.keys() <= msgspec.to_builtins(part).keys()


def test_every_kind_is_read_under_istios_name() -> None:
    names = {field.encode_name for field in msgspec.structs.fields(ExtensionProvider)} - {"name"}
    assert names == {
        *("envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "stackdriver", "opencensus"),
        *("skywalking", "opentelemetry", "prometheus", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls"),
        *("envoyOtelAls", "sds"),
    }


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ({"zipkin": ZIPKIN["zipkin"]}, ".name"),
        ({"name": "a"}, ""),
        ({"name": "a", "prometheus": {}, "stackdriver": {}}, ""),
        ({"name": "a", "nonsense": {}}, ""),
        ({"name": "a", "zipkin": {"service": "a.b"}}, ".zipkin.port"),
        ({"name": "a", "zipkin": {"port": 1}}, ".zipkin.service"),
        ({"name": "a", "zipkin": {"service": "a_b", "port": 1}}, ".zipkin.service"),
        ({"name": "a", "zipkin": {"service": "*.b", "port": 1}}, ".zipkin.service"),
        ({"name": "a", "zipkin": {"service": "ns/short", "port": 1}}, ".zipkin.service"),
        ({"name": "a", "zipkin": {"service": "a", "port": "b"}}, ".zipkin.port"),
        ({"name": "a", "lightstep": {"service": "a", "port": 1}}, ".lightstep.accessToken"),
        (
            {"name": "a", "envoyExtAuthzGrpc": {"service": "a", "port": 1, "statusOnError": "999"}},
            ".envoyExtAuthzGrpc.statusOnError",
        ),
        (
            {"name": "a", "envoyExtAuthzHttp": {"service": "a", "port": 1, "pathPrefix": "b"}},
            ".envoyExtAuthzHttp.pathPrefix",
        ),
        (
            {"name": "a", "opentelemetry": {"service": "a", "port": 1, "http": {}, "grpc": {}}},
            ".opentelemetry",
        ),
        (
            {"name": "a", "envoyFileAccessLog": {"logFormat": {"labels": {"b": {"c": "%FOO%"}}}}},
            ".envoyFileAccessLog.logFormat.labels[b][c]",
        ),
        ({"name": "a", "envoyFileAccessLog": {"logFormat": {"text": "%"}}}, ".envoyFileAccessLog.logFormat.text"),
    ],
)
def test_one_in_error_is_left_out_and_the_others_are_in_use(provider: dict[str, Any], path: str) -> None:
    config, remarks = parsed(provider, ZIPKIN)
    wrong = [remark for remark in remarks if remark.severity == "error"]
    assert [remark.path for remark in wrong] == [f"data.mesh.extensionProviders[0]{path}"]
    assert config.provider("a") is None
    assert config.provider("z") is not None


def test_one_in_error_stays_as_it_was() -> None:
    before, _ = parsed(ZIPKIN)
    after, remarks = parsed({"name": "z", "zipkin": {"service": "", "port": 1}}, before=before)
    assert after.provider("z") is before.provider("z")
    assert [remark.severity for remark in remarks] == ["error"]


def test_of_two_with_one_name_the_second_holds() -> None:
    config, (remark,) = parsed(ZIPKIN, {"name": "z", "prometheus": {}})
    assert (remark.severity, "duplicate" in remark.message) == ("warning", True)
    provider = config.provider("z")
    assert provider is not None
    assert provider.given.keys() == {"prometheus"}


@pytest.mark.parametrize("kind", ["lightstep", "opencensus", "stackdriver", "sds"])
def test_what_no_envoy_of_the_lab_can_use_says_so(kind: str) -> None:
    service = {} if kind == "stackdriver" else {"service": "a", "port": 1}
    token = {"accessToken": "a"} if kind == "lightstep" else {}
    config, (remark,) = parsed({"name": "a", kind: {**service, **token}})
    assert (remark.severity, remark.path) == ("warning", f"data.mesh.extensionProviders[0].{kind}")
    assert "no proxy of this lab can use it" in remark.message
    assert config.provider("a") is not None


def test_what_is_no_list_leaves_all_as_they_were() -> None:
    before, _ = parsed(ZIPKIN)
    config, remarks = parse("extensionProviders: {a: b}", before)
    assert config.provider("z") is before.provider("z")
    assert [remark.severity for remark in remarks] == ["error"]

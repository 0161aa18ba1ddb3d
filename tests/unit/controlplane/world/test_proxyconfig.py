"""The settings of a proxy: what is more specific holds."""

from __future__ import annotations

import msgspec
import pytest

from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.world.meshconfig import parse
from mesh_lab.controlplane.world.proxyconfig import NONE_SELECTED, Selected, annotation_remarks, effective


def default(text: str) -> MeshProxyConfig:
    return parse(f"defaultConfig: {text}").config.default_config


MESH = default("{concurrency: 3, drainDuration: 30s, proxyMetadata: {A: mesh, B: mesh}, tracing: {sampling: 1}}")


def test_the_defaults_are_istios() -> None:
    settings = MeshProxyConfig()
    assert (settings.drain_duration, settings.termination_drain_duration) == ("45s", "5s")
    assert (settings.proxy_admin_port, settings.status_port) == (15000, 15020)


def test_without_more_the_meshs_hold_as_they_are() -> None:
    assert effective(MESH) is MESH


def test_what_is_more_specific_holds_and_metadata_is_merged() -> None:
    general = [
        msgspec.convert({"environmentVariables": {"B": "namespace", "C": "namespace"}, "concurrency": 0}, ProxyConfig),
        msgspec.convert({"environmentVariables": {"C": "workload"}, "image": {"imageType": "debug"}}, ProxyConfig),
    ]
    settings = effective(
        MESH, Selected(tuple(general)), "proxyMetadata: {D: pod}\nholdApplicationUntilProxyStarts: true\ntracing: {}"
    )
    assert settings.proxy_metadata == {"A": "mesh", "B": "namespace", "C": "workload", "D": "pod"}
    assert (settings.concurrency, settings.drain_duration) == (0, "30s")
    assert settings.image is not None
    assert settings.image.image_type == "debug"
    assert settings.hold_application_until_proxy_starts is True
    assert settings.tracing is not None
    assert settings.tracing.sampling is None, "a setting is replaced as a whole"


def test_a_resource_that_selects_the_pod_goes_before_its_annotation() -> None:
    own = msgspec.convert({"concurrency": 4, "environmentVariables": {"A": "workload"}}, ProxyConfig)
    settings = effective(MESH, Selected((), own), "concurrency: 5\nproxyMetadata: {A: pod, D: pod}\ndrainDuration: 1m")
    assert settings.concurrency == 4
    assert settings.proxy_metadata == {"A": "workload", "B": "mesh", "D": "pod"}
    assert settings.drain_duration == "1m"


@pytest.mark.parametrize(
    ("text", "severity", "path", "words"),
    [
        ("concurency: 1", "error", ".concurency", "is it concurrency?"),
        ("proxyStatsMatcher: {inclusionSuffix: [a]}", "error", ".proxyStatsMatcher.inclusionSuffix", "Suffixes?"),
        ("interceptionMode: TPROXY", "warning", ".interceptionMode", "no effect in this lab"),
        ("statusPort: 1", "warning", ".statusPort", "no effect in this lab"),
        (
            "proxyMetadata: {OUTPUT_CERTS: /etc/certs}",
            "warning",
            ".proxyMetadata[OUTPUT_CERTS]",
            "this variable has no",
        ),
    ],
)
def test_what_does_nothing_is_left_out_and_said(text: str, severity: str, path: str, words: str) -> None:
    assert effective(MESH, NONE_SELECTED, text).concurrency == 3
    (remark,) = annotation_remarks(text)
    assert (remark.severity, remark.path) == (severity, path)
    assert words in remark.message


def test_what_is_as_it_is_anyway_draws_no_remark() -> None:
    text = "statusPort: 15020\nproxyMetadata: {A: b}\ninterceptionMode: REDIRECT\ntracing: {}"
    assert annotation_remarks(text) == ()


def test_headers_that_the_pod_does_not_name_stay() -> None:
    mesh = default("{proxyHeaders: {server: {disabled: true}, requestId: {disabled: true}}}")
    headers = effective(mesh, NONE_SELECTED, "proxyHeaders: {requestId: {disabled: false}}").proxy_headers
    assert headers is not None
    assert headers.server is not None
    assert headers.request_id is not None
    assert (headers.server.disabled, headers.request_id.disabled) == (True, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("concurrency: many", "int"),
        ("- a", "object"),
        ("a: [", "annotation"),
        ("drainDuration: 1.5s", "drainDuration: drain time only supports"),
        ("discoveryAddress: nowhere", "discoveryAddress"),
    ],
)
def test_a_bad_annotation_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"annotation proxy\.istio\.io/config") as failure:
        effective(MESH, NONE_SELECTED, text)
    assert words in str(failure.value)

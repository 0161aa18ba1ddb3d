"""The mesh's settings: each is read by itself, and what has no effect is reported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mesh_lab.controlplane.model.sidecar import OutboundTrafficPolicy
from mesh_lab.controlplane.world.configmaps import held
from mesh_lab.controlplane.world.meshconfig import MeshConfig, parse, read


@pytest.mark.parametrize(
    ("text", "severity", "path", "words"),
    [
        ("acessLogEncoding: JSON", "error", "data.mesh.acessLogEncoding", "is it accessLogEncoding?"),
        ("outboundTrafficPolicy: {mode: NOPE}", "error", "data.mesh.outboundTrafficPolicy.mode", "NOPE"),
        ("connectTimeout: soon", "error", "data.mesh.connectTimeout", "it stays as it was"),
        ("proxyListenPort: 15002", "warning", "data.mesh.proxyListenPort", "no effect in this lab"),
        ("defaultConfig: {statusPort: 2}", "warning", "data.mesh.defaultConfig.statusPort", "no effect in this lab"),
        ("pathNormalization: {normalization: ALL}", "error", "data.mesh.pathNormalization.normalization", "ALL"),
        ("pathNormalization: {normalisation: BASE}", "error", "data.mesh.pathNormalization", "normalisation"),
        ("defaultHttpRetryPolicy: {attempts: many}", "error", "data.mesh.defaultHttpRetryPolicy.attempts", "int"),
        ("accessLogEncoding: JSON\naccessLogFormat: plain", "error", "data.mesh.accessLogFormat", "JSON object"),
        ("trustDomain: a\ntrustDomain: b", "warning", "data.mesh.trustDomain", "the last one holds"),
        ("a: [", "error", "data.mesh", "not YAML"),
        ("- a", "error", "data.mesh", "not a mapping"),
    ],
)
def test_what_is_wrong_or_without_effect_is_reported_with_its_place(
    text: str, severity: str, path: str, words: str
) -> None:
    (remark,) = parse(text).remarks
    assert (remark.severity, remark.path) == (severity, path)
    assert words in remark.message


@pytest.mark.parametrize(
    "text", ["", "enablePrometheusMerge: true", "defaultConfig: {}", "trustDomain: a\nrootNamespace: istio-system"]
)
def test_what_is_the_case_anyway_is_no_remark(text: str) -> None:
    assert parse(text).remarks == ()


def test_one_wrong_setting_leaves_the_others_in_use() -> None:
    config = parse("trustDomain: example.org\nconnectTimeout: soon\naccessLogFile: ''").config
    assert (config.trust_domain, config.access_log_file, config.connect_timeout) == ("example.org", "", "10s")


def test_a_wrong_setting_stays_as_it_was() -> None:
    before = MeshConfig(connect_timeout="3s", trust_domain="before")
    config = parse("connectTimeout: soon", before).config
    assert config.connect_timeout == "3s"
    assert config.trust_domain == "cluster.local", "what is not said is the default again"


def test_of_no_good_one_before_what_lets_less_through_holds() -> None:
    assert parse("outboundTrafficPolicy: {mode: NOPE}").config.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert parse("a: [").config.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert parse("").config.outbound_traffic_policy.mode == "ALLOW_ANY"
    known = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode="ALLOW_ANY"))
    assert parse("outboundTrafficPolicy: {mode: NOPE}", known).config.outbound_traffic_policy.mode == "ALLOW_ANY"


def test_every_field_is_read_under_istios_name() -> None:
    config, remarks = parse(msgspec.yaml.encode(msgspec.to_builtins(MeshConfig())).decode())
    assert [remark for remark in remarks if remark.severity == "error"] == []
    assert msgspec.to_builtins(config) == msgspec.to_builtins(MeshConfig())


@pytest.mark.parametrize(
    ("part", "key", "severity", "words"),
    [
        ("data", "meshs", "error", "is it mesh?"),
        ("data", "mesh.yaml", "error", "is it mesh?"),
        ("data", "colour", "error", "Istio reads no such key"),
        ("data", "meshNetworks", "warning", "no effect in this lab"),
        ("binaryData", "mesh", "error", "is it data.mesh?"),
        ("binaryData", "other", "error", "Istio reads no such key"),
    ],
)
def test_a_key_beside_the_one_that_is_read_is_reported(part: str, key: str, severity: str, words: str) -> None:
    config_map = {"data": {"mesh": "trustDomain: a"}}
    config_map.setdefault(part, {})[key] = "trustDomain: b"
    config, (remark,) = read(held(config_map))
    assert (remark.severity, remark.path) == (severity, f"{part}.{key}")
    assert words in remark.message
    assert config.trust_domain == "a"


def test_that_the_key_is_missing_is_reported_where_there_are_others() -> None:
    remarks = read(held({"data": {"meshs": "trustDomain: b"}})).remarks
    assert [(remark.severity, remark.path) for remark in remarks] == [("error", "data.meshs"), ("warning", "data.mesh")]


@pytest.mark.parametrize(
    "config_map", [{}, {"data": None}, {"data": {"mesh": "", "meshNetworks": "networks: {}"}, "binaryData": {}}]
)
def test_keys_that_say_nothing_are_no_remark(config_map: dict[str, Any]) -> None:
    assert read(held(config_map)).remarks == ()

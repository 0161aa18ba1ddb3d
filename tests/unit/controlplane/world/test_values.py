"""The mesh's choices for all proxies: what is wrong with them, or has no effect, is reported."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import yaml

from mesh_lab.controlplane.world.configmaps import held
from mesh_lab.controlplane.world.values import CONFIG_MAP, Values, parse_values, remarks


@pytest.mark.parametrize(
    ("text", "severity", "path", "words"),
    [
        ("logLevell: debug", "error", "data.values.logLevell", "is it logLevel?"),
        ("colour: red", "error", "data.values.colour", "is not known here and has no effect"),
        ("resources: {limit: {cpu: '1'}}", "error", "data.values.resources.limit", "is it limits?"),
        (
            "global: {proxy: {privileged: true}}",
            "warning",
            "data.values.global.proxy.privileged",
            "no effect in this lab",
        ),
        ("pilot: {autoscaleEnabled: true}", "warning", "data.values.pilot", "no effect in this lab"),
        ("global: {proxy: {logLevel: 1}}", "error", "data.values.global.proxy.logLevel", "stay in use"),
        ("concurrency: two", "error", "data.values.concurrency", "last good values stay in use"),
        ("resources: {limits: {cpu: 1}}", "error", "data.values.resources.limits", "last good values stay in use"),
        ("a: [", "error", "data.values", "not YAML"),
        ("image: 2020-13-45", "error", "data.values", "not YAML"),
        ("- a", "error", "data.values", "last good values stay in use"),
    ],
)
def test_what_is_wrong_or_without_effect_is_reported_with_its_place(
    text: str, severity: str, path: str, words: str
) -> None:
    (remark,) = remarks(held({"data": {"values": text}}))
    assert remark.severity == severity
    assert remark.path.startswith(path)
    assert words in remark.message


def test_a_wrong_value_does_not_hide_one_that_is_not_known() -> None:
    found = remarks(held({"data": {"values": "concurrency: two\nlogLevell: debug"}}))
    assert [remark.path for remark in found] == ["data.values.concurrency", "data.values.logLevell"]


def test_a_value_that_is_not_known_leaves_the_others_in_use() -> None:
    assert parse_values("logLevell: debug\nimage: mine") == Values(image="mine")


def test_keys_beside_the_values_are_reported() -> None:
    found = remarks(held({"data": {"value": "image: mine", "config": "policy: enabled"}}))
    assert [(remark.severity, remark.path) for remark in found] == [
        ("error", "data.value"),
        ("warning", "data.config"),
        ("warning", "data.values"),
    ]


def test_every_field_is_known() -> None:
    text = msgspec.yaml.encode(msgspec.to_builtins(Values())).decode()
    assert list(remarks(held({"data": {"values": text}}))) == []


def test_the_labs_own_are_of_the_form_that_istioctl_reads() -> None:
    """`istioctl analyze` reads JSON, and compares the image of each pod's proxy with `global.proxy.image` (IST0158)."""
    shipped = Path(__file__).parents[4] / "manifests/mesh/base.yaml"
    (text,) = [
        each["data"]["values"]
        for each in yaml.safe_load_all(shipped.read_text())
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] == CONFIG_MAP
    ]
    read = json.loads(text)
    assert read["global"]["proxy"]["image"] == Values().image
    # istioctl ends with a panic where this is not given.
    assert read["sidecarInjectorWebhook"]["enableNamespacesByDefault"] is False
    assert [*remarks(held({"data": {"values": text}}))] == []
    # What Istio's page on health checks turns off, by sed.
    assert '"rewriteAppHTTPProbe": true' in text

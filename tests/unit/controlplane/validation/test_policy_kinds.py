"""Where Istio draws its lines for security, telemetry and extensions: what it refuses is refused, with the field."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.validation.common import Problem
from mesh_lab.controlplane.validation.security import AUDITED

TARGET = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "a"}
SELECTOR = {"matchLabels": {"app": "a"}}
RSA = '{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB"}]}'
RSA_PRIVATE = '{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB", "d": "AQ"}]}'
OBSERVER = {"url": "oci://a/b", "phase": "STATS", "failStrategy": "FAIL_OPEN"}


def jwt(**rule: Any) -> dict[str, Any]:
    return {"jwtRules": [{"issuer": "a", **rule}]}


def tags(**tag: Any) -> dict[str, Any]:
    return {"tracing": [{"customTags": {"t": tag}}]}


def override(**more: Any) -> dict[str, Any]:
    return {"metrics": [{"overrides": [more]}]}


def logged(expression: str) -> dict[str, Any]:
    return {"accessLogging": [{"filter": {"expression": expression}}]}


def found(kind: str, spec: dict[str, Any]) -> list[Problem]:
    try:
        return list(validate(decode(kind, spec)))
    except DecodeError as error:
        return [Problem("error", error.path, error.message)]


def errors(kind: str, spec: dict[str, Any]) -> list[str]:
    return [problem.path for problem in found(kind, spec) if problem.severity == "error"]


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("RequestAuthentication", {"selector": SELECTOR, "targetRefs": [TARGET]}, "spec.targetRefs"),
        ("RequestAuthentication", {"targetRef": TARGET, "targetRefs": [TARGET]}, "spec.targetRefs"),
        ("RequestAuthentication", {"targetRefs": [TARGET] * 17}, "spec.targetRefs"),
        ("RequestAuthentication", {"targetRefs": [TARGET | {"namespace": "b"}]}, "spec.targetRefs[0].namespace"),
        ("RequestAuthentication", {"targetRef": TARGET | {"kind": "Secret"}}, "spec.targetRef.kind"),
        ("RequestAuthentication", {"targetRef": TARGET | {"name": ""}}, "spec.targetRef.name"),
        ("RequestAuthentication", {"selector": {"matchLabels": {"a": "*"}}}, "spec.selector.matchLabels"),
        ("RequestAuthentication", {"jwtRules": [{}]}, "spec.jwtRules[0]"),
        ("RequestAuthentication", jwt(issuer=""), "spec.jwtRules[0].issuer"),
        ("RequestAuthentication", jwt(jwksUri="ftp://a"), "spec.jwtRules[0].jwksUri"),
        ("RequestAuthentication", jwt(jwks_uri="a.b/c"), "spec.jwtRules[0].jwks_uri"),
        ("RequestAuthentication", jwt(jwksUri="https://a:b/"), "spec.jwtRules[0].jwksUri"),
        ("RequestAuthentication", jwt(jwksUri="https://a", jwks_uri="https://a"), "spec.jwtRules[0]"),
        ("RequestAuthentication", jwt(jwksUri="https://a", jwks=RSA), "spec.jwtRules[0]"),
        ("RequestAuthentication", jwt(jwks="nonsense"), "spec.jwtRules[0].jwks"),
        ("RequestAuthentication", jwt(jwks='{"keys": [1]}'), "spec.jwtRules[0].jwks"),
        ("RequestAuthentication", jwt(jwks="{}"), "spec.jwtRules[0].jwks"),
        ("RequestAuthentication", jwt(audiences=[""]), "spec.jwtRules[0].audiences[0]"),
        ("RequestAuthentication", jwt(fromHeaders=[{"name": ""}]), "spec.jwtRules[0].fromHeaders[0].name"),
        ("RequestAuthentication", jwt(fromParams=[""]), "spec.jwtRules[0].fromParams[0]"),
        ("RequestAuthentication", jwt(fromCookies=[""]), "spec.jwtRules[0].fromCookies[0]"),
        (
            "RequestAuthentication",
            jwt(outputClaimToHeaders=[{"header": "a b", "claim": "c"}]),
            "spec.jwtRules[0].outputClaimToHeaders[0].header",
        ),
        (
            "RequestAuthentication",
            jwt(outputClaimToHeaders=[{"header": "a"}]),
            "spec.jwtRules[0].outputClaimToHeaders[0]",
        ),
        ("RequestAuthentication", jwt(timeout="0s"), "spec.jwtRules[0].timeout"),
        ("RequestAuthentication", jwt(spaceDelimitedClaims=["a"] * 65), "spec.jwtRules[0].spaceDelimitedClaims"),
        ("Telemetry", {"selector": SELECTOR, "targetRef": TARGET}, "spec.targetRefs"),
        (
            "Telemetry",
            {"tracing": [{"randomSamplingPercentage": 101}]},
            "spec.tracing[0].randomSamplingPercentage",
        ),
        ("Telemetry", {"tracing": [{"providers": [{"name": ""}]}]}, "spec.tracing[0].providers[0].name"),
        ("Telemetry", {"metrics": [{"providers": [{}]}]}, "spec.metrics[0].providers[0]"),
        ("Telemetry", {"accessLogging": [{"providers": [{}]}]}, "spec.accessLogging[0].providers[0]"),
        ("Telemetry", {"tracing": [{"match": {"mode": "BOTH"}}]}, "spec.tracing[0].match.mode"),
        ("Telemetry", tags(literal={"value": ""}), "spec.tracing[0].customTags[...].literal.value"),
        ("Telemetry", tags(header={}), "spec.tracing[0].customTags[...].header"),
        ("Telemetry", tags(environment={"name": ""}), "spec.tracing[0].customTags[...].environment.name"),
        ("Telemetry", tags(literal={"value": "a"}, header={"name": "a"}), "spec.tracing[0].customTags[t]"),
        ("Telemetry", tags(formatter={"value": "%FOO%"}), "spec.tracing[0].customTags[t].formatter.value"),
        ("Telemetry", override(tagOverrides={"t": {}}), "spec.metrics[0].overrides[0].tagOverrides[t].value"),
        (
            "Telemetry",
            override(tagOverrides={"t": {"operation": "REMOVE", "value": "a"}}),
            "spec.metrics[0].overrides[0].tagOverrides[t].value",
        ),
        ("Telemetry", override(match={"metric": "SOME"}), "spec.metrics[0].overrides[0].match.metric"),
        ("Telemetry", override(match={"customMetric": ""}), "spec.metrics[0].overrides[0].match.customMetric"),
        (
            "Telemetry",
            override(match={"customMetric": "a", "metric": "ALL_METRICS"}),
            "spec.metrics[0].overrides[0].match",
        ),
        *(("Telemetry", logged(text), "spec.accessLogging[0].filter.expression") for text in ("", "a ==", "(a")),
        ("WasmPlugin", {}, "spec"),
        ("WasmPlugin", OBSERVER | {"url": ""}, "spec.url"),
        ("WasmPlugin", OBSERVER | {"url": "ftp://a/b"}, "spec.url"),
        ("WasmPlugin", OBSERVER | {"sha256": "A" * 64}, "spec.sha256"),
        ("WasmPlugin", OBSERVER | {"imagePullSecret": "a" * 254}, "spec.imagePullSecret"),
        ("WasmPlugin", OBSERVER | {"pluginName": "a" * 257}, "spec.pluginName"),
        ("WasmPlugin", OBSERVER | {"match": [{"ports": [{"number": 0}]}]}, "spec.match[0].ports[0].number"),
        ("WasmPlugin", OBSERVER | {"vmConfig": {"env": [{"name": "a"}] * 2}}, "spec.vmConfig.env[1].name"),
        (
            "WasmPlugin",
            OBSERVER | {"vmConfig": {"env": [{"name": "a", "valueFrom": "HOST", "value": "b"}]}},
            "spec.vmConfig.env[0].value",
        ),
        ("TrafficExtension", {}, "spec"),
        ("TrafficExtension", {"lua": {"inlineCode": "a"}, "wasm": {"url": "a"}}, "spec"),
        ("TrafficExtension", {"lua": {"inlineCode": ""}}, "spec.lua.inlineCode"),
        ("TrafficExtension", {"lua": {"inlineCode": "a" * 65537}}, "spec.lua.inlineCode"),
        (
            "TrafficExtension",
            {"lua": {"inlineCode": "a"}, "selector": SELECTOR, "targetRefs": [TARGET]},
            "spec.targetRefs",
        ),
        ("AuthorizationPolicy", {"action": "DENY"}, "spec.rules"),
        ("AuthorizationPolicy", {"action": "CUSTOM", "provider": {"name": "a"}}, "spec.rules"),
        ("AuthorizationPolicy", {"action": "CUSTOM", "rules": [{}]}, "spec.provider"),
        ("AuthorizationPolicy", {"rules": [{}] * 513}, "spec.rules"),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{"source": {"serviceAccounts": ["a"] * 17}}]}]},
            "spec.rules[0].from[0].source.serviceAccounts",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{"source": {"notServiceAccounts": ["a" * 321]}}]}]},
            "spec.rules[0].from[0].source.notServiceAccounts[0]",
        ),
    ],
)
def test_what_istio_refuses_is_refused_with_its_field(kind: str, spec: dict[str, Any], path: str) -> None:
    assert path in errors(kind, spec)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("RequestAuthentication", {}),
        ("RequestAuthentication", {"jwtRules": [{"jwksUri": "https://a.example/keys"}]}),
        ("RequestAuthentication", jwt(jwks_uri="http://a:8000/jwks", timeout="3s")),
        ("RequestAuthentication", jwt(jwks=RSA, audiences=["a"], forwardOriginalToken=True, fromCookies=["b"])),
        ("RequestAuthentication", jwt(jwks=RSA, outputClaimToHeaders=[{"header": "x-jwt-claim-foo", "claim": "foo"}])),
        ("RequestAuthentication", jwt(fromHeaders=[{"name": "x-token", "prefix": "Bearer "}])),
        ("Telemetry", {}),
        ("Telemetry", {"accessLogging": [{"providers": [{"name": "envoy"}]}]}),
        ("Telemetry", logged("response.code >= 400 || xds.cluster_name == 'BlackHoleCluster'")),
        ("Telemetry", {"tracing": [{"randomSamplingPercentage": 100.0, "disableSpanReporting": True}]}),
        ("Telemetry", override(match={"metric": "REQUEST_COUNT", "mode": "CLIENT"}, disabled=True)),
        ("Telemetry", override(tagOverrides={"destination_port": {"value": "string(destination.port)"}})),
        ("Telemetry", override(tagOverrides={"response_code": {"operation": "REMOVE"}})),
        ("Telemetry", tags(header={"name": "x-a", "defaultValue": "b"})),
        ("WasmPlugin", OBSERVER),
        ("WasmPlugin", OBSERVER | {"url": "a.example:5000/b:c", "pluginConfig": {"a": [{"b": None}], "c": 1.5}}),
        ("TrafficExtension", {"phase": "AUTHN", "priority": 10, "lua": {"inlineCode": "a = 1\nb = 2"}}),
        ("TrafficExtension", {"phase": "STATS", "wasm": {"url": "file:///a", "failStrategy": "FAIL_OPEN"}}),
        ("AuthorizationPolicy", {}),
        ("AuthorizationPolicy", {"action": "DENY", "rules": [{}]}),
        ("AuthorizationPolicy", {"action": "AUDIT", "rules": [{}]}),
        ("AuthorizationPolicy", {"action": "CUSTOM", "provider": {"name": "a"}, "rules": [{}]}),
    ],
)
def test_what_istio_takes_is_taken(kind: str, spec: dict[str, Any]) -> None:
    assert errors(kind, spec) == []


def test_the_warning_of_an_audit_has_a_filter_that_a_telemetry_takes() -> None:
    (warned,) = found("AuthorizationPolicy", {"action": "AUDIT", "rules": [{}]})
    assert (warned.severity, warned.path) == ("warning", "spec.action")
    assert warned.message.endswith(AUDITED)
    assert found("Telemetry", logged(AUDITED)) == []


@pytest.mark.parametrize("phase", ["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"])
@pytest.mark.parametrize("strategy", ["FAIL_CLOSE", "FAIL_RELOAD", "FAIL_OPEN"])
def test_a_module_that_may_refuse_something_is_not_stored_without_effect(phase: str, strategy: str) -> None:
    stored = not errors("WasmPlugin", {"url": "oci://a/b", "phase": phase, "failStrategy": strategy})
    assert stored == ((phase, strategy) == ("STATS", "FAIL_OPEN"))
    module = {"url": "oci://a/b", "failStrategy": strategy}
    extension = {"phase": phase.removesuffix("_PHASE"), "wasm": module}
    assert (not errors("TrafficExtension", extension)) == stored


@pytest.mark.parametrize(
    ("kind", "spec", "path", "words"),
    [
        ("RequestAuthentication", jwt(jwks=RSA_PRIVATE), "spec.jwtRules[0].jwks", "index 0 contains private key"),
        ("RequestAuthentication", {"selector": {}}, "spec.selector", "without labels"),
        ("Telemetry", {"tracing": [{}, {}]}, "spec.tracing", "multiple tracing"),
        ("Telemetry", {"tracing": [{"providers": [{"name": "a"}] * 2}]}, "spec.tracing[0].providers", "multiple"),
        ("Telemetry", tags(), "spec.tracing[0].customTags[t]", "has no effect"),
        (
            "Telemetry",
            override(tagOverrides={"t": {"value": "a b"}}),
            "spec.metrics[0].overrides[0].tagOverrides[t].value",
            "CEL",
        ),
        ("WasmPlugin", OBSERVER, "spec", "runs no modules"),
        (
            "AuthorizationPolicy",
            {"action": "DENY", "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]},
            "spec.rules[0]",
            "only HTTP attributes in a DENY rule",
        ),
        (
            "AuthorizationPolicy",
            {"action": "DENY", "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]},
            "spec.rules[0]",
            "only HTTP attributes in a DENY rule",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(kind: str, spec: dict[str, Any], path: str, words: str) -> None:
    assert any(
        (problem.severity, problem.path) == ("warning", path) and words in problem.message
        for problem in found(kind, spec)
    )


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"to": [{"operation": {"methods": ["GET"], "ports": ["80"]}}]},
        {"from": [{"source": {"namespaces": ["a"]}}]},
        {"when": [{"key": "request.headers[a]", "values": ["b"]}]},
    ],
)
def test_a_rule_that_names_ports_or_clients_has_no_such_warning(rule: dict[str, Any]) -> None:
    assert found("AuthorizationPolicy", {"action": "DENY", "rules": [rule]}) == []

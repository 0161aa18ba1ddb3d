"""What policies say when tokens cannot be checked, or nobody can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Keys, KeySource
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config

HOST = "details.default.svc.cluster.local"
SOURCE = KeySource("me", "http://keys/jwks")
PROVIDERS = f"""
extensionProviders:
- {{name: good, envoyExtAuthzGrpc: {{service: {HOST}, port: 9080}}}}
- {{name: other, envoyExtAuthzGrpc: {{service: {HOST}, port: 9080}}}}
- {{name: nowhere, envoyExtAuthzGrpc: {{service: nowhere.example.com, port: 9080}}}}
"""


def found(cluster: Cluster, kind: str) -> list[Finding]:
    return [each for each in analyse(cluster.snapshot()) if each.origin.kind == kind and each.code != "IST0133"]


def custom(provider: str, name: str = "p") -> dict[str, Any]:
    spec = {"action": "CUSTOM", "provider": {"name": provider}, "rules": [{}]}
    return config("AuthorizationPolicy", name, {**spec, "selector": {"matchLabels": {"app": "reviews"}}})


@pytest.mark.parametrize(
    ("keys", "severity", "words"),
    [
        (None, "", ""),
        (Keys("{}"), "", ""),
        (Keys(problem="it is down"), "error", "tokens of me are refused for want of keys: it is down"),
        (Keys("{}", "it is down"), "warning", "fetched before stay in use: it is down"),
    ],
)
def test_keys_that_cannot_be_fetched(keys: Keys | None, severity: str, words: str) -> None:
    rules = [{"issuer": "me", "jwksUri": SOURCE.uri}]
    cluster = bookinfo().istio(config("RequestAuthentication", "a", {"jwtRules": rules}))
    cluster.world.set_keys(SOURCE, keys)
    findings = found(cluster, "RequestAuthentication")
    assert [(each.severity, each.path) for each in findings] == ([(severity, "spec.jwtRules[0]")] if severity else [])
    assert all(words in each.message and each.path not in each.message for each in findings), "the path is told beside"


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("good", ""),
        ("missing", 'extension provider "missing" not found'),
        ("prometheus", 'extension provider "prometheus" is no authoriser'),
        ("nowhere", 'Referenced host not found: "nowhere.example.com"'),
    ],
)
def test_an_authoriser_that_cannot_be_asked(provider: str, words: str) -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config(PROVIDERS)).istio(custom(provider))
    findings = found(cluster, "AuthorizationPolicy")
    assert [each.code for each in findings] == (["IST0101"] if words else [])
    assert all(words in each.message for each in findings)


def test_two_authorisers_of_one_workload() -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config(PROVIDERS)).istio(custom("good"), custom("other", "q"))
    findings = found(cluster, "AuthorizationPolicy")
    assert [(each.code, each.origin.name) for each in findings] == [
        ("AuthorizersConflict", "p"),
        ("AuthorizersConflict", "q"),
    ]

"""MutatingWebhookConfigurations and ValidatingWebhookConfigurations."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.registry.cel.admission import AdmissionChecker
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name
from mesh_lab.kube.registry.rules.causes import duplicates, invalid, required
from mesh_lab.kube.registry.rules.conditions import check_conditions
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.rules.labels import check_selector
from mesh_lab.kube.registry.syntax.names import subdomain_problem
from mesh_lab.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS

_WEBHOOK_TIMEOUT_SECONDS = 10
_REVIEW_VERSIONS = ("v1", "v1beta1")
_LONGEST_SECONDS = 30
_RULE_FIELDS = ("operations", "apiGroups", "apiVersions", "resources")
_OF_RULES: Rules = {
    ("RuleWithOperations", "operations"): one_of("*", "CONNECT", "CREATE", "DELETE", "UPDATE"),
    ("RuleWithOperations", "scope"): one_of("*", "Cluster", "Namespaced"),
}
_OF_VALIDATING: Rules = {
    **_OF_RULES,
    ("ValidatingWebhook", "failurePolicy"): one_of("Fail", "Ignore"),
    ("ValidatingWebhook", "matchPolicy"): one_of("Equivalent", "Exact"),
    ("ValidatingWebhook", "sideEffects"): one_of("None", "NoneOnDryRun"),
}
_OF_MUTATING: Rules = {
    **_OF_RULES,
    ("MutatingWebhook", "failurePolicy"): one_of("Fail", "Ignore"),
    ("MutatingWebhook", "matchPolicy"): one_of("Equivalent", "Exact"),
    ("MutatingWebhook", "reinvocationPolicy"): one_of("IfNeeded", "Never"),
    ("MutatingWebhook", "sideEffects"): one_of("None", "NoneOnDryRun"),
}


def _fill_mutating(configuration: Object) -> None:
    """Defaults of each webhook of a MutatingWebhookConfiguration."""
    _fill_defaults(configuration)
    for webhook in configuration.get("webhooks") or ():
        webhook.setdefault("reinvocationPolicy", "Never")


def _fill_defaults(configuration: Object) -> None:
    """Defaults of each webhook of a configuration."""
    for webhook in configuration.get("webhooks") or ():
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        webhook.setdefault("timeoutSeconds", _WEBHOOK_TIMEOUT_SECONDS)
        if (service := (webhook.get("clientConfig") or {}).get("service")) is not None:
            service.setdefault("port", 443)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")


def _check(configuration: Object) -> Iterator[Cause]:
    """Everything that is wrong with a MutatingWebhookConfiguration or ValidatingWebhookConfiguration."""
    webhooks = configuration.get("webhooks") or []
    for index, webhook in enumerate(webhooks):
        yield from _check_webhook(webhook, f"webhooks[{index}]")
    yield from duplicates((webhook.get("name") for webhook in webhooks), "webhooks", "name")


def _check_webhook(webhook: dict[str, Any], path: str) -> Iterator[Cause]:
    name = webhook.get("name", "")
    if name and (problem := subdomain_problem(name)):
        yield invalid(f"{path}.name", name, problem)
    elif name and name.count(".") < 2:
        yield invalid(f"{path}.name", name, "should be a domain with at least three segments separated by dots")
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        words = f"must specify one of {', '.join(_REVIEW_VERSIONS)}"
        yield required(f"{path}.admissionReviewVersions", words)
    elif not set(versions) & set(_REVIEW_VERSIONS):
        words = f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"
        yield invalid(f"{path}.admissionReviewVersions", versions, words)
    timeout = webhook.get("timeoutSeconds", 1)
    if not 1 <= timeout <= _LONGEST_SECONDS:
        words = f"the timeout value must be between 1 and {_LONGEST_SECONDS} seconds"
        yield invalid(f"{path}.timeoutSeconds", timeout, words)
    yield from _check_client(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    for index, rule in enumerate(webhook.get("rules") or ()):
        for field in _RULE_FIELDS:
            if not rule.get(field):
                yield required(f"{path}.rules[{index}].{field}")
    for field in ("namespaceSelector", "objectSelector"):
        yield from check_selector(webhook.get(field) or {}, f"{path}.{field}")
    if conditions := webhook.get("matchConditions"):
        yield from check_conditions(conditions, f"{path}.matchConditions", AdmissionChecker(of_policy=False))


def _check_client(client: dict[str, Any], path: str) -> Iterator[Cause]:
    if ("url" in client) == ("service" in client):
        yield required(path, "exactly one of url or service is required")
    if "url" in client:
        url = urlsplit(client["url"])
        if url.scheme != "https":
            yield invalid(f"{path}.url", url.scheme, "'https' is the only allowed URL scheme")
        elif not url.hostname:
            yield invalid(f"{path}.url", client["url"], "host must be specified")
    where = (client.get("service") or {}).get("path")
    if where is not None and not where.startswith("/"):
        yield invalid(f"{path}.service.path", where, "must start with a '/'")
    if bundle := client.get("caBundle"):
        try:
            pem = b64decode(bundle)
        except binascii.Error:
            pem = b""
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            yield invalid(
                f"{path}.caBundle", bundle, "unable to load root certificates: unable to parse bytes as PEM block"
            )


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(obj.get("webhooks") or []), age(obj, now)]


VALIDATING = Behaviour(
    VALIDATING_WEBHOOKS,
    fill_defaults=_fill_defaults,
    fields=_OF_VALIDATING,
    check=_check,
    counts_generations=True,
    names_what_it_replaces=True,
    printer=Printer((NAME, Column("Webhooks", "integer"), AGE), _row),
    zero_counts=frozenset({"port"}),
)
MUTATING = replace(VALIDATING, resource=MUTATING_WEBHOOKS, fill_defaults=_fill_mutating, fields=_OF_MUTATING)

"""Webhook configurations that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import set_at, webhook
from tests.unit.kube.registry.refusals import Case, refused

CASES: list[Case] = [
    ("webhooks.0.name", "short", "webhooks[0].name", 'Invalid value: "short": should be a domain with at least three'),
    ("webhooks.0.sideEffects", "Some", "webhooks[0].sideEffects", 'Unsupported value: "Some"'),
    ("webhooks.0.sideEffects", ..., "webhooks[0].sideEffects", "Required value"),
    (
        "webhooks.0.admissionReviewVersions",
        ["v9"],
        "webhooks[0].admissionReviewVersions",
        'Invalid value: ["v9"]: must',
    ),
    ("webhooks.0.clientConfig", {}, "webhooks[0].clientConfig", "Required value: exactly one of url or service"),
    (
        "webhooks.0.clientConfig",
        {"url": "http://x"},
        "webhooks[0].clientConfig.url",
        "Invalid value: \"http\": 'https' is the only allowed URL scheme",
    ),
    (
        "webhooks.0.clientConfig.caBundle",
        "Zm9v",
        "webhooks[0].clientConfig.caBundle",
        'Invalid value: "Zm9v": unable to load root certificates',
    ),
    ("webhooks.0.timeoutSeconds", 31, "webhooks[0].timeoutSeconds", "Invalid value: 31: the timeout value must be"),
    ("webhooks.0.rules.0.operations", ["GET"], "webhooks[0].rules[0].operations[0]", 'Unsupported value: "GET"'),
    ("webhooks.0.rules.0.resources", [], "webhooks[0].rules[0].resources", "Required value"),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_webhook_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = webhook()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.MUTATING_WEBHOOKS, obj)
    assert causes[field].startswith(words)

"""Defaults of the kinds that define, configure or grant something."""

from __future__ import annotations

import base64

from mesh_lab.kube.changes import Object

_RBAC = "rbac.authorization.k8s.io"
_WEBHOOK_TIMEOUT_S = 10


def fill_namespace(namespace: Object) -> None:
    """Each namespace has its name among its labels, so that selectors can name it."""
    name = namespace["metadata"].get("name")
    if name:
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def fill_secret(secret: Object) -> None:
    """`stringData` is a way to write `data`, and is never read back."""
    secret["type"] = secret.get("type") or "Opaque"
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def fill_crd(crd: Object) -> None:
    """Defaults of a CustomResourceDefinition's names and conversion."""
    spec = crd.setdefault("spec", {})
    spec.setdefault("conversion", {}).setdefault("strategy", "None")
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")


def fill_mutating_webhooks(configuration: Object) -> None:
    """Defaults of each webhook of a MutatingWebhookConfiguration."""
    fill_webhooks(configuration)
    for webhook in configuration.get("webhooks") or ():
        webhook.setdefault("reinvocationPolicy", "Never")


def fill_webhooks(configuration: Object) -> None:
    """Defaults of each webhook of a configuration."""
    for webhook in configuration.get("webhooks") or ():
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        webhook.setdefault("timeoutSeconds", _WEBHOOK_TIMEOUT_S)
        if (service := (webhook.get("clientConfig") or {}).get("service")) is not None:
            service.setdefault("port", 443)
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")


def fill_role_binding(binding: Object) -> None:
    """The API group of roles and subjects is that of access control, but for service accounts."""
    if (role := binding.get("roleRef")) is not None:
        role["apiGroup"] = role.get("apiGroup") or _RBAC
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)

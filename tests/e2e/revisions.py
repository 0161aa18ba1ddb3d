"""A further control plane beside the lab's own, made from the objects of the one that is there.

https://istio.io/latest/docs/setup/upgrade/canary/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from mesh_lab.testing import Api, Object, Reference, eventually

SYSTEM = "istio-system"
UP_SECONDS = 60
_MADE_BY_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "annotations")
_WEBHOOKS = "admissionregistration.k8s.io/v1"
_INJECTOR = "istio-sidecar-injector"


def control_plane(api: Api, revision: str, **environment: str) -> list[Object]:
    """The objects of a control plane of this revision, which Istio's installers would make; with further variables."""
    maps = [_copied(api, Reference("v1", "ConfigMap", name, SYSTEM), revision) for name in ("istio", _INJECTOR)]
    return [*maps, _service(api, revision), _deployment(api, revision, environment), injector(api, revision)]


def await_injection(api: Api, name: str) -> None:
    """Wait until istiod has written its root into a webhook configuration: before it nothing is injected."""
    ref = Reference("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", name)

    def is_called() -> bool:
        return all(each["clientConfig"].get("caBundle") for each in api.get(ref)["webhooks"])

    eventually(lambda: is_called() or None, timeout=UP_SECONDS, why=f"{name} trusts its control plane")


def injector(api: Api, revision: str, tag: str = "") -> Object:
    """What calls a revision to inject: by its own name, or by a tag."""
    made = _copied(api, Reference(_WEBHOOKS, "MutatingWebhookConfiguration", _INJECTOR), revision)
    name = tag or revision
    if tag:
        made["metadata"]["name"] = f"istio-revision-tag-{tag}"
        made["metadata"]["labels"]["istio.io/tag"] = tag
    made["webhooks"] = [each for each in made["webhooks"] if each["name"].startswith("rev.")]
    for webhook in made["webhooks"]:
        webhook["clientConfig"]["service"]["name"] = f"istiod-{revision}"
        # istiod writes it once it is there.
        webhook["clientConfig"].pop("caBundle", None)
        for expression in _revisions_in(webhook):
            expression["values"] = [name]
    return made


def _revisions_in(webhook: Object) -> Iterator[dict[str, Any]]:
    for selector in (webhook["namespaceSelector"], webhook["objectSelector"]):
        yield from (each for each in selector["matchExpressions"] if each["operator"] == "In")


def _service(api: Api, revision: str) -> Object:
    made = _copied(api, Reference("v1", "Service", "istiod", SYSTEM), revision)
    made["spec"] = {"selector": {"app": "istiod", "istio.io/rev": revision}, "ports": made["spec"]["ports"]}
    return made


def _deployment(api: Api, revision: str, environment: Mapping[str, str]) -> Object:
    made = _copied(api, Reference("apps/v1", "Deployment", "istiod", SYSTEM), revision)
    # `istio: pilot` is what the Service of the default revision selects.
    labels = {"app": "istiod", "istio": "istiod", "istio.io/rev": revision, "sidecar.istio.io/inject": "false"}
    spec, template = made["spec"], made["spec"]["template"]
    spec["selector"] = {"matchLabels": {"app": "istiod", "istio.io/rev": revision}}
    template["metadata"] = {"labels": labels}
    (container,) = template["spec"]["containers"]
    variables = {"REVISION": revision, **environment}
    others = [each for each in container["env"] if each["name"] not in variables]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in variables.items())]
    return made


def _copied(api: Api, ref: Reference, revision: str) -> Object:
    """An object under the revision's name, without what the server has written into it."""
    made = deepcopy(api.get(ref))
    made.pop("status", None)
    kept = {key: value for key, value in made["metadata"].items() if key not in _MADE_BY_THE_SERVER}
    labels = {**kept.get("labels", {}), "istio.io/rev": revision}
    made["metadata"] = {**kept, "name": f"{kept['name']}-{revision}", "labels": labels}
    return made

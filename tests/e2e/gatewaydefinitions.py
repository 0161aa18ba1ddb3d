"""The Gateway API's definitions, for a lab that has none: made of the lab's own types, as those of Istio's kinds are.

The published ones are the user's to install, and are used where a cluster has them. These have the fields and the
versions, and neither rules in CEL nor defaults, so that the tests run where nothing can be fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mesh_lab.controlplane.crds import structural
from mesh_lab.controlplane.model.gatewayapi.common import GROUP
from mesh_lab.controlplane.world.gatewayapi import KINDS
from mesh_lab.controlplane.xds.gatewayapi.features import NEWEST
from mesh_lab.meshkinds import GATEWAY_API, MeshKind

Object = dict[str, Any]

_CLASS = MeshKind("GatewayClass", GROUP, "gatewayclasses", ("gc",))
# The name by which the control plane knows a kind that shares its own with one of Istio's.
_APART = {"Gateway": "KubernetesGateway"}
_REFERENCES = "#/$defs/"
# A group of Kubernetes' own asks for this; the release is by what istiod knows which fields there are.
_NOTES = {
    "api-approved.kubernetes.io": "unapproved, made for tests",
    "gateway.networking.k8s.io/bundle-version": f"{NEWEST}.0",
    "gateway.networking.k8s.io/channel": "experimental",
}


def definitions() -> Iterator[Object]:
    """The definition of each kind."""
    for kind in (_CLASS, *GATEWAY_API):
        yield _definition(kind)


def _definition(kind: MeshKind) -> Object:
    facts = KINDS[_APART.get(kind.name, kind.name)]
    _, components = msgspec.json.schema_components([facts.spec], ref_template=_REFERENCES + "{name}")
    spec = structural({"$ref": _REFERENCES + facts.spec.__name__}, components)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}", "annotations": _NOTES},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short),
                "categories": ["gateway-api"],
            },
            "scope": "Namespaced" if facts.namespaced else "Cluster",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == kind.versions[0],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
                for version in kind.versions
            ],
        },
    }

"""Patches of the bootstrap, which a pod gets when it is injected and keeps for as long as it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from mesh_lab.controlplane.model.envoyfilter import PatchContext
from mesh_lab.controlplane.validation import envoyvalues
from mesh_lab.controlplane.world.proxy import Proxy, ProxyKind
from mesh_lab.controlplane.xds.patches.merging import merge
from mesh_lab.controlplane.xds.patches.selection import Filters, selected
from mesh_lab.istioversion import ISTIO_VERSION

_SIDES: Mapping[ProxyKind, tuple[PatchContext, ...]] = {
    "sidecar": ("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"),
    "router": ("ANY", "GATEWAY"),
}


def patched(
    document: dict[str, Any],
    kind: ProxyKind,
    namespace: str,
    labels: Mapping[str, str],
    filters: Filters,
    root_namespace: str,
) -> dict[str, Any]:
    """A bootstrap, as JSON, with the patches of the EnvoyFilters that select a pod merged into it."""
    metadata = {"NAMESPACE": namespace, "ISTIO_VERSION": ISTIO_VERSION}
    proxy = Proxy("", kind, namespace, "", "", labels, "", metadata=metadata)
    patches = [
        patch
        for patch in selected(filters, proxy, labels, root_namespace).bootstrap
        if patch.merges and patch.match.context in _SIDES[kind]
    ]
    if not patches:
        return document
    message = envoyvalues.read("BOOTSTRAP", document)
    for patch in patches:
        merge(message, patch.value, replace_lists=patch.operation == "MERGE_AND_REPLACE_LIST")
    merged: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return merged

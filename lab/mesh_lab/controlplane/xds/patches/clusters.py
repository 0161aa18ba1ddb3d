"""Patches of clusters. Source: pilot/pkg/networking/core/envoyfilter/cluster_patch.go of Istio 1.30."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mesh_lab.controlplane.model.envoyfilter import PatchContext
from mesh_lab.controlplane.xds.patches import matches
from mesh_lab.controlplane.xds.patches.merging import MergeError, merge, merge_any
from mesh_lab.controlplane.xds.patches.patch import Patch, Patches, Record


def change(cluster: Any, context: PatchContext, hosts: Collection[str], patches: Patches, record: Record) -> bool:
    """Merge patches into a cluster; False when one of them removes it."""
    for patch in patches:
        if not patch.suits(context) or not matches.cluster(patch, cluster.name, hosts):
            continue
        if patch.operation == "REMOVE":
            record.took(patch)
            return False
        if not patch.merges:
            continue
        try:
            merged = _merge(cluster, patch)
        except MergeError as error:
            record.fail(patch, str(error))
        else:
            if merged:
                record.took(patch)
    return True


def _merge(cluster: Any, patch: Patch) -> bool:
    """A patch with a transport socket changes nothing else, and one of several only if it has the same name."""
    if not patch.value.HasField("transport_socket"):
        merge(cluster, patch.value, replace_lists=patch.operation == "MERGE_AND_REPLACE_LIST")
        return True
    given = patch.value.transport_socket
    several = [each.transport_socket for each in cluster.transport_socket_matches]
    present = several or ([cluster.transport_socket] if cluster.HasField("transport_socket") else [])
    socket = next((each for each in present if each.name == given.name), None)
    if socket is None:
        if several:
            return False
        cluster.transport_socket.CopyFrom(given)
    elif socket.HasField("typed_config") and given.HasField("typed_config"):
        socket.typed_config.CopyFrom(merge_any(socket.typed_config, given.typed_config))
    return True


def added(patch: Patch, contexts: Collection[PatchContext]) -> bool:
    """Whether a patch adds its value to a proxy with these sides; without a context, not to what a sidecar receives."""
    if patch.operation != "ADD":
        return False
    if patch.match.context == "ANY":
        return any(context in ("SIDECAR_OUTBOUND", "GATEWAY") for context in contexts)
    return patch.match.context in contexts

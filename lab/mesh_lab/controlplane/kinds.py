"""The kinds that the control plane follows, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.controlplane.kubeclient import VALIDATING_WEBHOOKS, WEBHOOKS, Kind
from mesh_lab.controlplane.snapshot import WATCHED

# The cluster-wide kinds among those that translation reads.
_CLUSTER_WIDE = frozenset({"Namespace"})

FOLLOWED: Mapping[str, Kind] = {kind.kind: Kind(*kind, kind.kind not in _CLUSTER_WIDE) for kind in WATCHED}
"""What translation reads."""

ALL = (*FOLLOWED.values(), WEBHOOKS, VALIDATING_WEBHOOKS)

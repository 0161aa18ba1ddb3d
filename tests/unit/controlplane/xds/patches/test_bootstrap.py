"""EnvoyFilter with `applyTo: BOOTSTRAP`: merged into what a pod's proxy is started with."""

from __future__ import annotations

import json
from typing import Any

from mesh_lab.controlplane.injection.injector import Place, inject
from mesh_lab.controlplane.model import EnvoyFilter
from tests.unit.controlplane.cluster import bookinfo
from tests.unit.controlplane.xds.patches.patched import envoy_filter, patch

APPLICATION = {"metadata": {"name": "a", "labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}


def started(*filters: dict[str, Any]) -> dict[str, Any]:
    """The bootstrap of an injected pod."""
    table = bookinfo().istio(*filters).snapshot().of(EnvoyFilter)
    spec = inject(APPLICATION, Place(filters=table), "default")["spec"]
    (proxy,) = (each for each in (*spec["containers"], *spec["initContainers"]) if each["name"] == "istio-proxy")
    document: dict[str, Any] = json.loads(proxy["args"][proxy["args"].index("--config-yaml") + 1])
    return document


def test_it_is_merged_into_the_bootstrap_of_the_pods_that_it_selects() -> None:
    change = patch("BOOTSTRAP", "MERGE", {"stats_flush_interval": "7s", "stats_sinks": [{"name": "mine"}]})
    found = started(envoy_filter(change, workloadSelector={"labels": {"app": "a"}}))
    assert found["stats_flush_interval"] == "7s"
    assert found["stats_sinks"] == [{"name": "mine"}]
    assert found["node"] == started()["node"]
    assert len(found["static_resources"]["clusters"]) == len(started()["static_resources"]["clusters"])
    assert started(envoy_filter(change, workloadSelector={"labels": {"app": "b"}})) == started()
    assert started(envoy_filter({**change, "match": {"context": "GATEWAY"}})) == started()

"""What is made of every istiod's `/debug/syncz`."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.client.connection import ClusterUnreachable
from mesh_lab.client.proxystatus import _read, as_builtins

URL = "type.googleapis.com/envoy.config."


def entry(**resources: Any) -> dict[str, Any]:
    named = {f"{URL}{name}": value for name, value in resources.items()}
    return {"proxy": "a.default", "cluster_id": "Kubernetes", "istio_version": "1.30.3", "resources": named}


def test_types_have_istios_names_order_and_states() -> None:
    document = entry(
        **{
            "listener.v3.Listener": {"sent": "3", "acked": "2"},
            "cluster.v3.Cluster": {"sent": "2", "acked": "2"},
            "route.v3.RouteConfiguration": {},
            "other.v3.Thing": {"sent": "4", "acked": "3", "lastError": "no such filter"},
        }
    )
    (found,) = _read({"istiod-1": [document]})
    assert [(each.type, each.status) for each in found.types] == [
        ("CDS", "SYNCED"),
        ("LDS", "STALE"),
        ("RDS", "NOT SENT"),
        ("envoy.config.other.v3.Thing", "ERROR"),
    ]
    assert (found.istiod, found.synced) == ("istiod-1", False)
    assert as_builtins([found])[0]["types"][3]["error"] == "no such filter"


def test_all_istiods_count() -> None:
    synced = entry(**{"cluster.v3.Cluster": {"sent": "2", "acked": "2"}})
    found = _read({"istiod-1": [synced], "istiod-2": [{"proxy": "b.default"}]})
    assert [(each.name, each.istiod, each.synced) for each in found] == [
        ("a.default", "istiod-1", True),
        ("b.default", "istiod-2", True),
    ]


def test_another_answer_is_told() -> None:
    with pytest.raises(ClusterUnreachable, match="istiod-1 answers something else"):
        _read({"istiod-1": {"synced": True}})

"""Discovery selectors: what is in a namespace that they do not select is not seen. And tags of the revision."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.mesh import LabelExpression, LabelSelector
from mesh_lab.controlplane.report.metadata import metadata_is_understood
from mesh_lab.controlplane.world.labelselectors import selects
from tests.unit.controlplane.cluster import Cluster, config, endpoints, mesh_config, pod, service

ONLY_SEEN = mesh_config("discoverySelectors: [{matchLabels: {seen: 'yes'}}]")


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def cluster() -> Cluster:
    made = Cluster()
    for name in ("shop", "other"):
        one = pod("web-1", f"10.0.0.{len(name)}", namespace=name)
        made.add("Namespace", namespace(name, **({"seen": "yes"} if name == "shop" else {})))
        made.add("Pod", one).add("Service", service("web", ("http", 80), namespace=name))
        made.add("EndpointSlice", endpoints("web", one, namespace=name, ports=(("http", 80),)))
        rule = {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}
        made.istio(config("VirtualService", "web", rule, namespace=name))
    return made


def seen(made: Cluster) -> tuple[set[str], set[str], set[str]]:
    snapshot = made.snapshot()
    tables = (snapshot.services, snapshot.endpoints, snapshot.of(VirtualService))
    first, second, third = ({key[0] for key in table} for table in tables)
    return first, second, third


def test_without_selectors_all_is_seen_and_with_them_what_they_select() -> None:
    made = cluster()
    assert seen(made) == ({"shop", "other"},) * 3
    made.add("ConfigMap", ONLY_SEEN)
    assert seen(made) == ({"shop"},) * 3
    assert len(made.snapshot().pods) == 2, "a proxy there is served what is seen"
    made.add("Namespace", namespace("other", seen="yes"))
    assert seen(made) == ({"shop", "other"},) * 3
    made.add("Namespace", namespace("other"))
    assert seen(made) == ({"shop"},) * 3
    made.add("ConfigMap", mesh_config(""))
    assert seen(made) == ({"shop", "other"},) * 3


def test_what_a_change_does_not_touch_stays_with_selectors_too() -> None:
    made = cluster().add("ConfigMap", ONLY_SEEN)
    before = made.snapshot()
    made.add("Namespace", namespace("third"))
    after = made.snapshot()
    assert after is not before
    assert (after.services, after.endpoints, after.configs) == (before.services, before.endpoints, before.configs)


@pytest.mark.parametrize(
    ("operator", "values", "labels", "selected"),
    [
        ("In", ["a", "b"], {"k": "b"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("Exists", [], {"k": ""}, True),
        ("Exists", [], {}, False),
        ("DoesNotExist", [], {}, True),
        ("DoesNotExist", [], {"k": "a"}, False),
    ],
)
def test_expressions_are_kubernetes_own(
    operator: Any, values: list[str], labels: dict[str, str], selected: bool
) -> None:
    assert selects(LabelSelector(match_expressions=[LabelExpression("k", operator, values)]), labels) is selected


def test_an_empty_selector_selects_all() -> None:
    assert selects(LabelSelector(), {})


def tag(name: str, revision: str) -> dict[str, Any]:
    labels = {"istio.io/tag": name, "istio.io/rev": revision}
    service = {"name": "istiod", "namespace": "istio-system", "path": "/inject"}
    webhooks = [{"clientConfig": {"service": service}}]
    return {"metadata": {"name": f"istio-revision-tag-{name}", "labels": labels}, "webhooks": webhooks}


def test_a_tag_of_the_revision_is_a_name_of_it() -> None:
    made = Cluster().add("Namespace", namespace("shop", **{"istio.io/rev": "prod"}))

    def said() -> list[str]:
        return [finding.code for finding in metadata_is_understood(made.snapshot())]

    assert said() == ["IST0133"]
    made.add("MutatingWebhookConfiguration", tag("prod", "1-29"))
    assert said() == ["IST0133"], "a tag of another revision, which is not here"
    made.add("MutatingWebhookConfiguration", tag("prod", "default"))
    assert said() == []
    made.world.apply("MutatingWebhookConfiguration", "DELETED", tag("prod", "default"))
    assert said() == ["IST0133"]

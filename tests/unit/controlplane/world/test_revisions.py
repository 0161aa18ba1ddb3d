"""Control planes side by side: whose a name, a namespace, a resource is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.process.plane import ControlPlane
from mesh_lab.controlplane.world import revisions
from mesh_lab.controlplane.world.revisions import Injector
from mesh_lab.controlplane.world.world import World
from tests.unit.controlplane.cluster import config

DEFAULT = ControlPlane()
CANARY = ControlPlane("canary")
OTHER = ControlPlane("usergroup-1", "usergroup-1")


def webhook(plane: ControlPlane, tag: str = "", **client: Any) -> dict[str, Any]:
    service = {"name": plane.named("istiod"), "namespace": plane.namespace, "path": "/inject"}
    labels = {"istio.io/rev": plane.revision, **({"istio.io/tag": tag} if tag else {})}
    meta = {"name": f"{tag or plane.revision}-{plane.namespace}", "labels": labels}
    return {"metadata": meta, "webhooks": [{"clientConfig": client or {"service": service}}]}


def injectors(*made: dict[str, Any]) -> list[Injector]:
    return [each for obj in made if (each := revisions.injector(obj)) is not None]


def test_an_object_of_which_each_revision_has_one_is_called_after_it() -> None:
    assert DEFAULT.named("istio") == "istio"
    assert CANARY.named("istio") == "istio-canary"


def test_an_injector_is_known_by_its_revision_or_by_its_tag() -> None:
    (one, tagged) = injectors(webhook(CANARY), webhook(CANARY, "prod"))
    assert (one.name, one.plane) == ("canary", CANARY)
    assert (tagged.name, tagged.plane) == ("prod", CANARY)
    assert injectors({"metadata": {"name": "somebody's"}, "webhooks": []}, webhook(CANARY, url="https://x")) == []


def test_a_name_is_known_when_its_revision_is_there() -> None:
    assert revisions.known_names(injectors(webhook(CANARY, "prod"))) == {"default"}
    assert revisions.known_names(injectors(webhook(CANARY), webhook(CANARY, "prod"))) == {"default", "canary", "prod"}


def test_the_names_of_others_are_those_that_do_not_mean_this_one() -> None:
    found = injectors(webhook(DEFAULT), webhook(CANARY), webhook(CANARY, "prod"), webhook(DEFAULT, "stable"))
    assert revisions.names_of_others(DEFAULT, found) == {"canary", "prod"}
    assert revisions.names_of_others(CANARY, found) == {"default", "stable"}


@pytest.mark.parametrize(
    ("namespace", "labels", "home"),
    [
        ("usergroup-1", {}, "usergroup-1"),
        ("app", {"istio.io/rev": "usergroup-1"}, "usergroup-1"),
        ("app", {"istio.io/rev": "canary"}, "istio-system"),
        ("app", {"istio.io/rev": "nobody's"}, "istio-system"),
        ("app", {}, "istio-system"),
    ],
)
def test_a_namespace_belongs_to_one_control_plane(namespace: str, labels: dict[str, str], home: str) -> None:
    found = injectors(webhook(OTHER), webhook(CANARY), webhook(DEFAULT))
    assert revisions.home_of(namespace, labels, found) == home


def test_a_tag_never_takes_the_default_revisions_namespaces() -> None:
    found = injectors(webhook(DEFAULT), webhook(OTHER), webhook(OTHER, "default"))
    for order in (found, found[::-1]):
        assert revisions.home_of("app", {}, order) == "istio-system"


def test_what_a_control_plane_has_left_behind_counts_for_nothing() -> None:
    world, home = World(), {"metadata": {"name": "usergroup-1"}}
    world.apply("MutatingWebhookConfiguration", "ADDED", webhook(OTHER))
    world.apply("VirtualService", "ADDED", host("theirs", **{"istio.io/rev": "usergroup-1"}))
    world.apply("Namespace", "ADDED", home)
    assert not world.is_home_of("usergroup-1")
    assert not world.snapshot().of(VirtualService)
    world.apply("Namespace", "DELETED", home)
    assert world.is_home_of("usergroup-1")
    assert len(world.snapshot().of(VirtualService)) == 1


def test_without_a_default_the_first_has_what_nobody_asks_for() -> None:
    second = ControlPlane("usergroup-2", "usergroup-2")
    assert revisions.home_of("app", {}, injectors(webhook(second), webhook(OTHER))) == "usergroup-1"
    assert revisions.home_of("app", {}, []) == ""


def test_one_revision_of_a_namespace_reports() -> None:
    both, later = injectors(webhook(CANARY), webhook(DEFAULT)), injectors(webhook(CANARY), webhook(ControlPlane("new")))
    assert [revisions.leads(plane, both) for plane in (DEFAULT, CANARY)] == [True, False]
    assert [revisions.leads(plane, later) for plane in (CANARY, ControlPlane("new"))] == [True, False]
    assert revisions.leads(OTHER, both), "the first of its own namespace"


def test_the_labs_service_leads_to_no_other_revisions_pods() -> None:
    """Istio's chart labels the pods of the default revision only with `istio: pilot`."""
    manifests = Path(__file__).parents[4] / "manifests/mesh"
    documents = [*yaml.safe_load_all((manifests / "base.yaml").read_text())]
    documents += yaml.safe_load_all((manifests / "istiod.yaml").read_text())
    found = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in documents if "spec" in each}
    selector = found["Service", "istiod"]["selector"].items()
    assert selector <= found["Deployment", "istiod"]["template"]["metadata"]["labels"].items()
    assert not selector <= {"app": "istiod", "istio.io/rev": "canary"}.items()


def host(name: str, **labels: str) -> dict[str, Any]:
    made = config("VirtualService", name, {"hosts": [name], "http": [{"route": [{"destination": {"host": name}}]}]})
    made["metadata"]["labels"] = labels
    return made


def test_a_resource_for_another_revision_is_that_ones_for_as_long_as_it_is_there() -> None:
    worlds = {plane: World(plane) for plane in (DEFAULT, CANARY)}
    for world in worlds.values():
        world.apply("Namespace", "ADDED", {"metadata": {"name": "istio-system"}})

    def take(kind: str, event: str, obj: dict[str, Any]) -> None:
        for world in worlds.values():
            world.apply(kind, event, obj)

    def seen(plane: ControlPlane) -> set[str]:
        return {each.name for each in worlds[plane].snapshot().of(VirtualService).values()}

    for each in (host("everyones"), host("canarys", **{"istio.io/rev": "canary"})):
        take("VirtualService", "ADDED", each)
    assert seen(DEFAULT) == {"everyones", "canarys"}, "a revision that is not there"
    take("MutatingWebhookConfiguration", "ADDED", webhook(DEFAULT))
    take("MutatingWebhookConfiguration", "ADDED", webhook(CANARY))
    assert seen(DEFAULT) == {"everyones"}
    assert seen(CANARY) == {"everyones", "canarys"}
    take("MutatingWebhookConfiguration", "DELETED", webhook(CANARY))
    assert seen(DEFAULT) == {"everyones", "canarys"}


def test_a_control_plane_reports_on_its_own_namespaces_and_reads_its_own_settings() -> None:
    worlds = {plane: World(plane) for plane in (DEFAULT, OTHER)}
    shop = {"metadata": {"name": "shop", "labels": {"istio.io/rev": "usergroup-1"}}}
    meta = {"namespace": "usergroup-1", "name": "istio-usergroup-1"}
    for world in worlds.values():
        for name in ("istio-system", "usergroup-1"):
            world.apply("Namespace", "ADDED", {"metadata": {"name": name}})
        world.apply("Namespace", "ADDED", shop)
        assert world.reports_on("shop"), "no other is known"
        world.apply("MutatingWebhookConfiguration", "ADDED", webhook(DEFAULT))
        world.apply("MutatingWebhookConfiguration", "ADDED", webhook(OTHER))
        world.apply("ConfigMap", "ADDED", {"metadata": meta, "data": {"mesh": "trustDomain: theirs"}})
    assert [world.reports_on("shop") for world in worlds.values()] == [False, True]
    assert [world.is_home_of("elsewhere") for world in worlds.values()] == [True, False]
    assert [world.snapshot().mesh.trust_domain for world in worlds.values()] == ["cluster.local", "theirs"]

"""A change of one Gateway's routes, and what stays the same object for everybody else."""

from __future__ import annotations

from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.memo import Memo, using
from mesh_lab.controlplane.xds.scope import scope_of
from tests.unit.controlplane.xds.gatewayapi.objects import POD, edge, gateway, made, path, route, rule, to


def test_a_route_of_a_gateway_changes_no_scope_and_no_other_gateways_resources() -> None:
    cluster = edge(gateway(), gateway(name="other"))
    cluster.add("HTTPRoute", route("mine", rule(to("reviews"))))
    memo, generator = Memo(), Generator()
    proxy = cluster.proxy(POD, kind="router")

    def seen() -> tuple[object, object]:
        snapshot = cluster.snapshot()
        with using(memo):
            scope = scope_of(snapshot, "default", {}, gateway=True)
        return scope, generator.generate(snapshot, proxy)

    scope, resources = seen()
    cluster.add("HTTPRoute", route("theirs", rule(to("ratings")), parent={"name": "other"}))
    assert seen()[0] is scope
    assert seen()[1] == resources
    cluster.add("HTTPRoute", route("mine", rule(to("reviews"), matches=[path("/new")])))
    assert seen()[1] != resources
    in_mesh = {"parentRefs": [{"kind": "Service", "group": "", "name": "reviews"}], "rules": [rule(to("ratings"))]}
    cluster.add("HTTPRoute", made("mesh", in_mesh))
    assert seen()[0] is not scope

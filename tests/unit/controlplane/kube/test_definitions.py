"""Kinds that come and go with their definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from mesh_lab.controlplane.kube.client import KubeClient, Object
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import DEFINITIONS, Kind

ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")


class Silent:
    """An API in which nothing is ever listed."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    async def list_all(self, kind: Kind) -> Any:
        self.listed.append(kind.path())
        await asyncio.Event().wait()


class Sink:
    def __init__(self) -> None:
        self.replaced: list[tuple[Kind, list[Object]]] = []

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        self.replaced.append((kind, objects))

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        raise AssertionError((kind, event, obj))


def definition(
    plural: str = "httproutes", *, stored: str = "v1", served: tuple[str, ...] = ("v1", "v1beta1")
) -> Object:
    notes = {"gateway.networking.k8s.io/bundle-version": "v1.6.3", "gateway.networking.k8s.io/channel": "standard"}
    versions = [{"name": name, "served": name in served, "storage": name == stored} for name in ("v1", "v1beta1")]
    names = {"plural": plural, "kind": "HTTPRoute"}
    group = "gateway.networking.k8s.io"
    return {
        "metadata": {"name": f"{plural}.{group}", "annotations": notes},
        "spec": {"group": group, "names": names, "versions": versions, "scope": "Namespaced"},
    }


@contextmanager
def following(api: Silent, sink: Sink) -> Iterator[tuple[Definitions, list[int]]]:
    told: list[int] = []
    definitions = Definitions(cast("KubeClient", api), {"HTTPRoute": ROUTES}, sink)
    definitions.changed = lambda: told.append(1)
    task = asyncio.ensure_future(definitions.run())
    try:
        yield definitions, told
    finally:
        task.cancel()


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_kind_is_followed_for_as_long_as_it_is_defined() -> None:
    api, sink = Silent(), Sink()
    with following(api, sink) as (definitions, told):
        await turn()
        definitions.replace(DEFINITIONS, [definition("others")])
        assert not definitions.found
        definitions.apply(DEFINITIONS, "ADDED", definition())
        found = definitions.found["HTTPRoute"]
        assert (found.version, found.channel) == ("v1.6.3", "standard")
        await turn()
        assert ROUTES.path() in api.listed
        definitions.apply(DEFINITIONS, "MODIFIED", definition())
        assert len(told) == 1
        definitions.apply(DEFINITIONS, "DELETED", definition())
        assert not definitions.found
        assert sink.replaced == [(ROUTES, [])]


async def test_the_version_is_the_stored_one_if_that_is_served() -> None:
    with following(Silent(), Sink()) as (definitions, _):
        await turn()
        definitions.replace(DEFINITIONS, [definition(stored="v1beta1")])
        assert definitions.found["HTTPRoute"].kind.version == "v1beta1"
        definitions.apply(DEFINITIONS, "MODIFIED", definition(stored="v1beta1", served=("v1",)))
        assert definitions.found["HTTPRoute"].kind.version == "v1"
        definitions.replace(DEFINITIONS, [])
        assert not definitions.found

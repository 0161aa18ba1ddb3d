"""10,000 patches with a field of Envoy's at an edge: no fault, and what Envoy refuses is set aside with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model.envoyfilter import ApplyTo
from mesh_lab.controlplane.world.kubernetes import Origin, origin_of
from mesh_lab.controlplane.xds import Built, Generator
from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import bookinfo, config
from tests.unit.controlplane.edges import Case, cases
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.judging import accepted
from tests.unit.controlplane.verdicts import Verdicts, asked
from tests.unit.controlplane.xds.patches.patched import SERVER, envoy_filter, patch, patched
from tests.unit.controlplane.xds.patches.values import MATCHES, patches

ROUTES = "inbound|9080||"
DEPTH = 1
Resources = Mapping[str, Mapping[str, Built]]


class Mesh:
    """Bookinfo with one EnvoyFilter or TrafficExtension, which is changed."""

    def __init__(self) -> None:
        self.cluster = bookinfo()
        self.generator = Generator()
        self.proxy = self.cluster.proxy(SERVER)
        self.plain = self.sent()
        self._generation = 0

    def sent(self) -> Resources:
        return self.generator.generate(self.cluster.snapshot(), self.proxy)

    def apply(self, kind: str, spec: dict[str, Any]) -> Origin:
        self._generation += 1
        obj = config(kind, "one", spec)
        obj["metadata"]["generation"] = self._generation
        self.cluster.world.apply(kind, "DELETED", obj)
        self.cluster.world.apply(kind, "ADDED", obj)
        return origin_of(kind, obj)

    async def judge(self, envoy: Verdicts, kind: str, spec: dict[str, Any]) -> bool:
        """Whether Envoy takes what is made of it; if not, that it is set aside with Envoy's words."""
        origin = self.apply(kind, spec)
        sent = [*self.changed(self.sent())]
        assert all(origin in built.origins for built in sent), "whoever makes it is known by it"
        words = next(filter(None, [await envoy.of(built) for built in sent]), "")
        if words:
            assert self.cluster.world.refuse(origin, words), spec
            (finding,) = self.cluster.snapshot().invalid[kind, "default", "one"]
            assert words in finding.message
            assert versions(self.sent()) == versions(self.plain), "as if it were not there"
        return not words

    def changed(self, sent: Resources) -> Iterator[Built]:
        """The resources that are not what they are without the EnvoyFilter."""
        for url in (CDS, LDS, RDS):
            for name, built in sent[url].items():
                if (before := self.plain[url].get(name)) is None or before.version != built.version:
                    yield built


def versions(resources: Resources) -> dict[str, dict[str, str]]:
    return {url: {name: built.version for name, built in some.items()} for url, some in resources.items()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("apply_to", sorted(MATCHES))
async def test_a_patch_that_envoy_refuses_is_set_aside_with_its_reason(apply_to: ApplyTo, tmp_path: Path) -> None:
    mesh = Mesh()
    made = ({"configPatches": [each]} for each in patches(apply_to, DEPTH))
    async with asked(tmp_path, ROUTES) as envoy:
        taken = [
            await mesh.judge(envoy, "EnvoyFilter", spec) for spec in made if accepted(Case("EnvoyFilter", "", spec))
        ]
    assert {*taken} == {True, False}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["EnvoyFilter", "TrafficExtension"])
async def test_so_is_whatever_else_envoy_refuses(kind: str, tmp_path: Path) -> None:
    """Of scripts, such as are no Lua; of patches, one that leaves a listener without chains."""
    mesh, refused = Mesh(), list[Case]()
    async with asked(tmp_path, ROUTES) as envoy:
        for case in filter(accepted, cases(kind)):
            if not await mesh.judge(envoy, kind, case.document):
                refused.append(case)
    where = {"TrafficExtension": "spec.lua.inlineCode", "EnvoyFilter": "spec.configPatches[0].applyTo"}
    assert {case.path for case in refused} == {where[kind]}


def test_they_are_ten_thousand() -> None:
    assert sum(sum(1 for _ in patches(apply_to, DEPTH)) for apply_to in MATCHES) > 10_000


def test_what_crashes_envoy_is_refused_when_it_is_applied() -> None:
    merge = {"operation": "MERGE", "value": {"additional_addresses": [{"socket_options": {}}]}}
    spec = decode("EnvoyFilter", {"configPatches": [{"applyTo": "LISTENER", "patch": merge}]})
    (problem,) = [problem for problem in validate(spec) if problem.severity == "error"]
    assert problem.path == "spec.configPatches[0].patch.value"
    assert "AdditionalAddress without address" in problem.message


def test_a_listener_and_a_cluster_are_sent_under_the_name_that_a_patch_gives_them() -> None:
    mesh = Mesh()
    for apply_to, url in (("LISTENER", LDS), ("CLUSTER", CDS)):
        renaming = patch(apply_to, "MERGE", {"name": "renamed"}, **MATCHES[apply_to])
        mesh.apply("EnvoyFilter", {"configPatches": [renaming]})
        assert message(mesh.sent()[url]["renamed"]).name == "renamed"


def test_two_resources_of_one_name_are_a_failure_of_the_patch() -> None:
    found = patched(bookinfo().istio(envoy_filter(patch("CLUSTER", "MERGE", {"name": "same"}))))
    assert [reason for _, reason in found.failed] == ["it makes a second resource of the name same, which is left out"]

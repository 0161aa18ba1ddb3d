"""An EnvoyFilter that Envoy rejects is set aside; the one that is at fault, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh_lab.controlplane.delivery.delta import Session
from mesh_lab.controlplane.delivery.messages import Request
from mesh_lab.controlplane.delivery.refusals import Refusals
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Built, Generator
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import bookinfo, config
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.patches.patched import envoy_filter, http_filters, lua, patch

INBOUND = {"context": "SIDECAR_INBOUND"}
POD = ("default", "reviews-v1-abc-1")
Judge = Callable[[Built], str]


def adding(name: str, filter_name: str, created: str = "2026-01-01", version: int = 1) -> dict[str, Any]:
    made = envoy_filter(patch("HTTP_FILTER", "INSERT_FIRST", lua(filter_name), **INBOUND), name=name, created=created)
    made["metadata"] |= {"generation": version, "resourceVersion": str(version), "uid": name}
    return dict(made)


def rejecting(*names: str) -> Judge:
    """An Envoy that does not know HTTP filters of these names."""

    def judge(built: Built) -> str:
        if built.type_url != LDS:
            return ""
        found = {name for some in http_filters(message(built)) for name in some}
        return f"unknown filter: {sorted(found & set(names))}" if found & set(names) else ""

    return judge


class FakeConnection:
    """A proxy: what `Refusals` needs of its connection, and how it answers."""

    def __init__(self, proxy: Proxy, judge: Judge) -> None:
        self.id = 1
        self.name = "reviews-v1-abc-1.default"
        self.proxy = proxy
        self.judge = judge
        self.session = Session()

    def connect(self) -> None:
        for url in (CDS, LDS):
            self.session.request(Request(url))

    def answer(self) -> bool:
        """Answer all that is sent now; whether there was anything."""
        sent = self.session.pump(0.0)
        for response in sent:
            errors = [error for each in response.resources if (error := self.judge(each))]
            names = tuple(each.name for each in response.resources)
            if response.type_url == CDS:
                self.session.request(Request(EDS, subscribe=names))
            if response.type_url == LDS:
                for url in (ECDS, RDS):
                    self.session.request(Request(url, subscribe=tuple(self.session.desired()[url])))
            self.session.request(Request(response.type_url, response.nonce, errors[0] if errors else None))
        return bool(sent)


class Mesh:
    """Objects, their translation and one proxy, in step."""

    def __init__(self, judge: Judge) -> None:
        self.state = ClusterState()
        cluster = bookinfo()
        self.state._world = cluster.world
        self.generator = Generator()
        self.refusals = Refusals(self.state)
        self.connection: Any = FakeConnection(cluster.proxy(POD[1]), judge)
        self.connection.connect()

    def apply(self, *objects: dict[str, Any], event: str = "MODIFIED") -> Mesh:
        for obj in objects:
            self.state.apply(FOLLOWED[obj["kind"]], event, obj)
        return self.settle()

    def settle(self) -> Mesh:
        """Push, and let the proxy answer, until nothing happens any more."""
        for _ in range(30):
            snapshot = self.state.snapshot()
            self.connection.session.update(self.generator.generate(snapshot, self.connection.proxy), snapshot.version)
            answered = self.connection.answer()
            self.refusals.look(self.connection)
            if not answered and self.state.settled:
                return self
        raise AssertionError("it does not come to rest")

    def filters(self) -> list[str]:
        """The filters of the inbound listener as the proxy should have it, Istio's own left out."""
        built: Any = self.connection.session.desired()[LDS]["virtualInbound"]
        return [name for name in http_filters(message(built))[0] if not name.startswith("envoy.")]

    def refused(self) -> list[str]:
        return sorted(name for _, _, name in self.state.refused)


def test_what_envoy_rejects_is_set_aside_and_its_object_says_why() -> None:
    mesh = Mesh(rejecting("bad")).settle()
    mesh.apply(adding("good", "fine"), adding("spoils", "bad"))
    assert mesh.filters() == ["fine"]
    assert mesh.refused() == ["spoils"]
    assert not mesh.connection.session.rejections()
    assert not mesh.connection.session.pending()
    (finding,) = mesh.state.latest.invalid["EnvoyFilter", "default", "spoils"]
    assert finding.severity == "error"
    assert "unknown filter: ['bad']" in finding.message
    assert "it has no effect" in finding.message


def test_the_version_before_it_comes_back() -> None:
    mesh = Mesh(rejecting("bad")).settle()
    mesh.apply(adding("one", "fine"))
    mesh.apply(adding("one", "bad", version=2))
    assert mesh.filters() == ["fine"]
    (finding,) = mesh.state.latest.invalid["EnvoyFilter", "default", "one"]
    assert "the version before it holds" in finding.message
    mesh.apply(adding("one", "better", version=3))
    assert mesh.filters() == ["better"]
    assert mesh.refused() == []
    assert not mesh.state.latest.invalid


def test_two_bad_versions_in_a_row_fall_back_on_the_good_one() -> None:
    mesh = Mesh(rejecting("bad", "worse")).settle()
    mesh.apply(adding("one", "fine"))
    for obj in (adding("one", "bad", version=2), adding("one", "worse", version=3)):
        mesh.state.apply(FOLLOWED["EnvoyFilter"], "MODIFIED", obj)
    assert mesh.settle().filters() == ["fine"]


def test_other_changes_to_the_same_listener_keep_flowing() -> None:
    mesh = Mesh(rejecting("bad")).settle()
    mesh.apply(adding("spoils", "bad"))
    before = mesh.connection.session.held(LDS)["virtualInbound"].version
    strict = config("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}})
    strict["metadata"] |= {"resourceVersion": "9", "uid": "p"}
    mesh.apply(strict)
    assert mesh.connection.session.held(LDS)["virtualInbound"].version != before
    assert not mesh.connection.session.pending()


def test_a_new_proxy_finds_the_one_at_fault() -> None:
    """Nothing is known of what the listener was before: the innocent, which is newer, is tried first and comes back."""
    mesh = Mesh(rejecting("bad"))
    objects = (adding("b-guilty", "bad", "2026-01-01"), adding("a-newer", "fine", "2026-01-02"))
    for obj in objects:
        mesh.state.apply(FOLLOWED["EnvoyFilter"], "ADDED", obj)
    mesh.settle()
    assert mesh.refused() == ["b-guilty"]
    assert mesh.filters() == ["fine"]


def test_two_at_fault_are_both_found() -> None:
    mesh = Mesh(rejecting("bad", "worse"))
    objects = (adding("x", "bad", "2026-01-01"), adding("y", "fine", "2026-01-02"), adding("z", "worse", "2026-01-03"))
    for obj in objects:
        mesh.state.apply(FOLLOWED["EnvoyFilter"], "ADDED", obj)
    mesh.settle()
    assert mesh.refused() == ["x", "z"]
    assert mesh.filters() == ["fine"]


def test_none_is_blamed_for_what_is_rejected_without_them_as_well() -> None:
    mesh = Mesh(lambda built: "no" if built.name == "virtualInbound" else "")
    for obj in (adding("x", "a"), adding("y", "b", "2026-01-02")):
        mesh.state.apply(FOLLOWED["EnvoyFilter"], "ADDED", obj)
    mesh.settle()
    assert mesh.refused() == []
    assert mesh.filters() == ["b", "a"]
    assert not mesh.state.latest.invalid


def test_what_is_deleted_is_forgotten() -> None:
    mesh = Mesh(rejecting("bad")).settle()
    mesh.apply(adding("spoils", "bad"))
    mesh.apply(adding("spoils", "bad"), event="DELETED")
    assert mesh.refused() == []
    assert not mesh.state.latest.invalid
    assert mesh.state.included(("EnvoyFilter", "default", "spoils")) is None

"""What one object makes go wrong within the control plane concerns that object, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.delivery.blame import culprit
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.kinds import ALL, FOLLOWED, WEBHOOKS
from mesh_lab.controlplane.model import AuthorizationPolicy, PeerAuthentication, VirtualService
from mesh_lab.controlplane.model.security import Rule
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.trust.root import RootPublisher, Trust
from mesh_lab.controlplane.trust.serving import BundlePublisher
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.world.world import World
from mesh_lab.controlplane.xds.built import Built
from tests.unit.controlplane.cluster import Cluster, config
from tests.unit.controlplane.cluster import service as kubernetes_service
from tests.unit.controlplane.mesh import Mesh, envoy, eventually, generate, meshed, service, virtual_service

PATH = "/breaks"


def translate(snapshot: Snapshot, proxy: Proxy) -> dict[str, dict[str, Built]]:
    """Fails for a VirtualService of one path, and for a proxy of one name."""
    for vs in snapshot.of(VirtualService).values():
        if any(match.uri and match.uri.prefix == PATH for match in vs.spec.http[0].match):
            raise OverflowError("Value out of range: 9223372036854775807")
    if proxy.pod == "unlucky":
        raise ZeroDivisionError("division by zero")
    return generate(snapshot, proxy)


def analyse(snapshot: Snapshot, failed: Any) -> list[Finding]:
    if ("default", "odd") in snapshot.services:
        raise AttributeError("'NoneType' object has no attribute 'host'")
    return [finding for findings in snapshot.invalid.values() for finding in findings]


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path, translate=translate, analyse=analyse) as mesh:
        await mesh.api.put("services", service("web"))
        yield mesh


def crashes(plane: Mesh) -> list[str]:
    return [file.read_text() for file in sorted((plane.directory / "crashes").glob("crash-*.log"))]


async def paths(proxy: Any) -> str:
    return str(await proxy.get("/config_dump?resource=dynamic_route_configs"))


async def test_a_resource_that_cannot_be_translated_is_reported_and_concerns_no_other(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/good"))
        assert (await plane.live("VirtualService", "vs"))["live"]
        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix=PATH))
        answer = await plane.live("VirtualService", "vs")
        assert not answer["live"]
        (finding,) = answer["findings"]
        assert (finding["severity"], finding["code"]) == ("error", "IST0001")
        assert "OverflowError: Value out of range" in finding["message"]
        await plane.api.put("virtualservices", virtual_service("other", "web", prefix="/other"))
        assert (await plane.live("VirtualService", "other"))["live"], "others are sent"
        sent = await paths(proxy)
        assert "/other" in sent
        assert "/good" in sent, "what the resource said before holds"

        def reported() -> bool:
            stored = plane.api.find("virtualservices", "vs", "default") or {}
            conditions = stored.get("status", {}).get("conditions") or ()
            events = plane.api.objects.get("events", {}).values()
            return [c["reason"] for c in conditions] == ["InternalError"] and any(
                e["reason"] == "InternalError" and e["involvedObject"]["name"] == "vs" for e in events
            )

        await plane.api.until(reported)
        (crash,) = crashes(plane)
        assert "translating VirtualService default/vs" in crash
        assert "Value out of range" in crash
        assert (await plane.ask("debug/synced"))["synced"]

        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/mended"))
        assert (await plane.live("VirtualService", "vs"))["live"]
        assert "/mended" in await paths(proxy)


async def test_a_proxy_that_comes_while_a_resource_cannot_be_translated_gets_the_others(plane: Mesh) -> None:
    await plane.api.put("virtualservices", virtual_service("bad", "web", prefix=PATH))
    await plane.api.put("virtualservices", virtual_service("good", "web", prefix="/good"))
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        assert (await plane.live("VirtualService", "good"))["live"]
        assert not (await plane.live("VirtualService", "bad"))["live"]
        assert "/good" in await paths(proxy)


async def test_what_no_object_is_to_blame_for_is_reported_of_the_proxy_and_concerns_no_other(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        async with envoy(plane, "unlucky", await plane.add_pod("unlucky")):
            await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/x"))
            answer = await plane.live("VirtualService", "vs")
            states = {row["proxy"]: row for row in answer["proxies"]}
            assert states["a.default"]["state"] == "acknowledged"
            assert states["unlucky.default"]["state"] == "rejected"
            assert "ZeroDivisionError" in states["unlucky.default"]["error"]
            assert answer["findings"] == []
            answer = await plane.ask("debug/synced", wait="10")
            assert (answer["synced"], answer["hopeless"]) == (False, True)
            assert any("translating for unlucky.default" in crash for crash in crashes(plane))


async def test_an_analysis_that_fails_ends_nothing(plane: Mesh) -> None:
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await plane.api.put("services", service("odd"))
        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/x"))
        assert (await plane.live("VirtualService", "vs"))["live"]
        assert any("at: analysing" in crash for crash in crashes(plane))


async def test_a_snapshot_that_cannot_be_made_ends_nothing(plane: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    make = World._next

    def failing(world: World) -> Snapshot:
        if ("default", "odd") in world._views["Service"]:
            raise TypeError("unhashable type: 'list'")
        return make(world)

    monkeypatch.setattr(World, "_next", failing)
    async with envoy(plane, "a", await plane.add_pod("a")) as proxy:
        await proxy.until_ready()
        await plane.api.put("services", service("odd"))
        await eventually(lambda: asyncio.sleep(0, any("at: making a snapshot" in crash for crash in crashes(plane))))
        await plane.api.remove("services", "odd", "default")
        await plane.api.put("virtualservices", virtual_service("vs", "web", prefix="/x"))
        assert (await plane.live("VirtualService", "vs"))["live"]


def routes(name: str, prefix: str) -> dict[str, Any]:
    rule = {"match": [{"uri": {"prefix": prefix}}], "route": [{"destination": {"host": "a"}}]}
    return config("VirtualService", name, {"hosts": [name], "http": [rule]})


@pytest.mark.parametrize("guilty", ["v0", "v7", "v19", "s3"])
async def test_the_culprit_is_found_among_many(guilty: str) -> None:
    cluster = Cluster()
    for number in range(20):
        cluster.istio(routes(f"v{number}", f"/{number}"))
    for number in range(5):
        cluster.add("Service", kubernetes_service(f"s{number}", ("http", 80)))
    snapshot, attempts = cluster.snapshot(), 0

    def attempt(some: Snapshot) -> None:
        nonlocal attempts
        attempts += 1
        if ("default", guilty) in {*some.of(VirtualService), *some.services}:
            raise ValueError(guilty)

    kind = "Service" if guilty.startswith("s") else "VirtualService"
    assert await culprit(attempt, snapshot) == (kind, "default", guilty)
    assert attempts <= 7


async def test_nobody_is_blamed_for_what_fails_without_all_or_not_at_all() -> None:
    snapshot = Cluster().istio(routes("v", "/")).snapshot()

    def fails(_: Snapshot) -> None:
        raise ValueError

    assert await culprit(fails, snapshot) is None
    assert await culprit(lambda _: None, snapshot) is None


@pytest.mark.parametrize(
    ("action", "held", "rules"),
    [("ALLOW", "ALLOW", 0), ("DENY", "DENY", 1), ("AUDIT", None, 0)],
)
def test_a_policy_that_cannot_be_translated_lets_nobody_in(action: str, held: str | None, rules: int) -> None:
    rule = {"to": [{"operation": {"paths": ["/x"]}}]}
    spec = {"action": action, "selector": {"matchLabels": {"app": "a"}}, "rules": [rule]}
    world = World()
    world.apply("AuthorizationPolicy", "ADDED", config("AuthorizationPolicy", "p", spec))
    snapshot = world.snapshot()
    assert world.set_aside(("AuthorizationPolicy", "default", "p"), snapshot, "why")
    after = world.snapshot().of(AuthorizationPolicy).get(("default", "p"))
    if held is None:
        assert after is None
        return
    assert after is not None
    assert isinstance(after.spec, AuthorizationPolicy)
    assert (after.spec.action, len(after.spec.rules)) == (held, rules)
    assert after.spec.selector is not None
    assert after.spec.selector.match_labels == {"app": "a"}
    assert all(isinstance(rule, Rule) and not (rule.from_ or rule.to or rule.when) for rule in after.spec.rules)


def test_a_policy_whose_reading_fails_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Any) -> Any:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("mesh_lab.controlplane.world.reading.validate", failing)
    state = ClusterState()
    spec = {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/x"]}}]}]}
    state.apply(FOLLOWED["AuthorizationPolicy"], "ADDED", config("AuthorizationPolicy", "p", spec))
    snapshot = state.snapshot()
    held = snapshot.of(AuthorizationPolicy)["default", "p"].spec
    assert isinstance(held, AuthorizationPolicy)
    assert (held.action, held.selector, len(held.rules)) == ("DENY", None, 1)
    ((finding,),) = snapshot.invalid.values()
    assert (finding.code, "RecursionError" in finding.message) == ("IST0001", True)


def test_a_peer_authentication_that_cannot_be_translated_is_strict() -> None:
    world = World()
    world.apply("PeerAuthentication", "ADDED", config("PeerAuthentication", "p", {"mtls": {"mode": "DISABLE"}}))
    world.set_aside(("PeerAuthentication", "default", "p"), world.snapshot(), "why")
    after = world.snapshot().of(PeerAuthentication)["default", "p"].spec
    assert isinstance(after, PeerAuthentication)
    assert after.mtls is not None
    assert after.mtls.mode == "STRICT"


def test_what_has_changed_since_is_not_set_aside() -> None:
    world = World()
    world.apply("VirtualService", "ADDED", routes("v", "/a"))
    before = world.snapshot()
    changed = routes("v", "/b")
    changed["metadata"]["generation"] = 2
    world.apply("VirtualService", "MODIFIED", changed)
    assert not world.set_aside(("VirtualService", "default", "v"), before, "why")
    world.prove(before)
    assert world.set_aside(("VirtualService", "default", "v"), world.snapshot(), "why")
    held = world.snapshot().of(VirtualService)["default", "v"]
    assert held is before.of(VirtualService)["default", "v"], "what was translated is held"


def test_a_service_that_is_set_aside_comes_back_when_it_changes() -> None:
    key = ("Service", "default", "s")
    world = World()
    world.apply("Service", "ADDED", kubernetes_service("s", ("http", 80)))
    assert world.set_aside(key, world.snapshot(), "why")
    assert not world.apply("Service", "MODIFIED", kubernetes_service("s", ("http", 80)))
    assert (len(world.snapshot().services), key in world.snapshot().invalid) == (0, True)
    assert world.apply("Service", "MODIFIED", kubernetes_service("s", ("http", 81)))
    assert (len(world.snapshot().services), key in world.snapshot().invalid) == (1, False)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# Known names with values of any type: what a client that skips the checks, or another API server, may bring about.
NAMES = """name namespace labels annotations ownerReferences generation resourceVersion uid creationTimestamp clusterIP
ports selector type externalName port targetPort protocol addresses conditions targetRef endpoints data tls.crt podIP
phase containers initContainers webhooks clientConfig mesh values root-cert.pem hosts http status"""
FIELDS = st.sampled_from(NAMES.split())
PARTS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2))
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": PARTS | st.fixed_dictionaries({"name": st.just("x"), "namespace": st.just("n")}),
        "spec": PARTS,
        "status": PARTS,
        "data": PARTS,
        "endpoints": PARTS,
        "ports": PARTS,
        "webhooks": PARTS,
    },
)


EVENTS = st.sampled_from(["ADDED", "MODIFIED", "DELETED"])


class NoApi:
    """Nothing here is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


AUTHORITY = Authority.create("cluster.local")


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), OBJECTS), max_size=4)
)
def test_objects_of_any_shape_end_nothing(events: list[tuple[Any, str, dict[str, Any]]]) -> None:
    async def take() -> None:
        state = ClusterState()
        api: Any = NoApi()
        trust = Trust(AUTHORITY)
        roots, bundle = RootPublisher(api, trust), BundlePublisher(api, lambda: b"roots")
        state.hook("Secret", trust.observe)
        state.hook("Namespace", roots.observe_namespace)
        state.hook("ConfigMap", roots.observe_config_map)
        state.hook(WEBHOOKS.kind, bundle.observe)
        for kind, event, obj in events:
            state.apply(kind, event, obj)
            state.snapshot()
        for kind in ALL:
            state.replace(kind, [obj for other, _, obj in events if other is kind])
        state.apply(FOLLOWED["Service"], "ADDED", kubernetes_service("good", ("http", 80)))
        assert ("default", "good") in state.snapshot().services

    asyncio.run(take())


def test_a_fault_is_written_down_once_and_files_are_bounded(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "new")
    for number in range(200):
        words = [faults.record(f"translating {number}", ValueError("x\ny")) for _ in range(3)]
        assert len(set(words)) == 1
    files = list((tmp_path / "new").iterdir())
    assert len(files) == 50
    assert "ValueError: x" in faults.record("elsewhere", ValueError("x"))
    nowhere = Faults(tmp_path / "new" / files[0].name / "under a file")
    assert nowhere.record("a", ValueError("b")) == "a fault of the control plane itself: ValueError: b"

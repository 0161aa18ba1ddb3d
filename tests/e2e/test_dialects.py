"""One split, one router, one failover, mutual TLS and access, in each vocabulary: as docs/dialects.md writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest
import yaml

from mesh_lab.meshkinds import CONSUL
from mesh_lab.testing import (
    Api,
    ApiError,
    Mesh,
    Object,
    Reference,
    TrafficClient,
    assert_all,
    assert_split,
    eventually,
)

from .conftest import ROOT

REQUESTS = 1500
FALSE_ALARM = 1e-6
_BLOCK = re.compile(r"```yaml\n# (\w+): (\w+)\n(.*?)```", re.DOTALL)


def lessons() -> Mapping[tuple[str, str], list[Object]]:
    """The manifests of the page, by lesson and vocabulary."""
    page = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
    return {(lesson, words): list(yaml.safe_load_all(text)) for lesson, words, text in _BLOCK.findall(page)}


LESSONS = lessons()


def vocabularies(lesson: str, **shown: str) -> pytest.MarkDecorator:
    """Each vocabulary that has words for a lesson; by vocabulary the case that this shows, as `FEATURE RESOURCE`."""
    return pytest.mark.parametrize(
        "words",
        [pytest.param(words, marks=_case(shown.get(words, ""))) for known, words in LESSONS if known == lesson],
    )


def _case(shown: str) -> list[pytest.MarkDecorator]:
    if not shown:
        return []
    feature, api = shown.split()
    return [pytest.mark.mesh_feature(feature, protocol="http1", api=api)]


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    """Two versions of an echo server, two clients, and one without a sidecar."""
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    mesh_shared.deploy_client("friend")
    mesh_shared.deploy_client("stranger")
    outside.deploy_client("outsider")
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


@pytest.fixture
def friend(shop: Mesh) -> TrafficClient:
    return shop.client("friend")


@pytest.fixture(autouse=True)
def understood(mesh_api: Api, request: pytest.FixtureRequest) -> None:
    """Skips a vocabulary that the cluster's mesh does not have."""
    words = request.node.callspec.params["words"] if hasattr(request.node, "callspec") else ""
    if words == "gateway":
        request.getfixturevalue("gateway_api")
    if words == "consul" and not has_consul(mesh_api):
        pytest.skip("[mesh] dialects of this lab has no consul (make e2e brings one up that has)")


def has_consul(api: Api) -> bool:
    try:
        api.path(CONSUL[0].api_version, CONSUL[0].name)
    except (ApiError, LookupError):
        return False
    return True


def scaled(mesh: Mesh, name: str, replicas: int) -> None:
    deployment = Reference("apps/v1", "Deployment", name, mesh.namespace)
    mesh.api.patch(deployment, {"spec": {"replicas": replicas}})


@pytest.fixture
def without_v2(shop: Mesh) -> Iterator[None]:
    """No instance of v2 for the while."""
    scaled(shop, "echo-v2", 0)
    shop.wait_endpoints("echo", 1)
    yield
    scaled(shop, "echo-v2", 1)
    shop.ready()
    shop.wait_endpoints("echo", 2)


def test_the_page_has_each_lesson_in_the_words_that_there_are_for_it() -> None:
    """The page and the tests are about the same."""
    assert {lesson for lesson, _ in LESSONS} == {"split", "router", "failover", "mtls", "access"}
    assert {words for _, words in LESSONS} == {"istio", "gateway", "consul"}
    assert all((lesson, words) in LESSONS for lesson, _ in LESSONS for words in ("istio", "consul"))


@vocabularies("split", consul="traffic/split servicesplitter")
def test_one_of_ten_requests_goes_to_v2(shop: Mesh, friend: TrafficClient, words: str) -> None:
    with shop.applied(LESSONS["split", words]):
        results = friend.send("http://echo", REQUESTS, concurrency=16)
    assert_all(results)
    assert_split(results, {"v1": 90, "v2": 10}, false_alarm=FALSE_ALARM)


@vocabularies("router", consul="match/header servicerouter")
def test_a_header_decides(shop: Mesh, friend: TrafficClient, words: str) -> None:
    with shop.applied(LESSONS["router", words]):
        assert_all(friend.send("http://echo", 30, headers={"x-user": "jason"}), version="v2")
        assert_all(friend.send("http://echo", 30, headers={"x-user": "mary"}), version="v1")
        assert_all(friend.send("http://echo", 30), version="v1")


@vocabularies("failover")
def test_v2_is_called_while_it_is_there(shop: Mesh, friend: TrafficClient, words: str) -> None:
    with shop.applied(LESSONS["failover", words]):
        assert_all(friend.send("http://echo", 60), version="v2")


@vocabularies("failover", istio="resilience/failover destinationrule", consul="resilience/failover serviceresolver")
def test_v1_stands_in_where_v2_is_gone(shop: Mesh, friend: TrafficClient, without_v2: None, words: str) -> None:
    with shop.applied(LESSONS["failover", words]):
        assert_all(friend.send("http://echo", 60), version="v1")


@vocabularies("mtls")
def test_plain_text_is_refused(shop: Mesh, outside: Mesh, friend: TrafficClient, words: str) -> None:
    outsider, url = outside.client("outsider"), f"http://echo.{shop.namespace}"
    assert_all(outsider.send(url, 5))
    with shop.applied(LESSONS["mtls", words]):
        assert [each.error for each in outsider.send(url, 5, new_connections=True)] == ["reset"] * 5
        assert_all(friend.send("http://echo", 5))


@vocabularies("access", consul="security/authorization-allow serviceintentions")
def test_a_friend_may_call_and_a_stranger_may_not(shop: Mesh, outside: Mesh, friend: TrafficClient, words: str) -> None:
    with shop.applied(LESSONS["access", words]):
        assert_all(friend.send("http://echo", 5))
        assert_all(shop.client("stranger").send("http://echo", 5), status=403)
        assert_all(outside.client("outsider").send(f"http://echo.{shop.namespace}", 5), status=403)


@pytest.mark.parametrize("words", ["consul"])
def test_a_splitter_of_a_service_that_speaks_tcp_says_why_it_is_not_in_sync(shop: Mesh, words: str) -> None:
    refs = shop.apply([each for each in LESSONS["split", words] if each["kind"] != "ServiceDefaults"])
    splitter = next(ref for ref in refs if ref.kind == "ServiceSplitter")

    def told() -> str:
        conditions = shop.api.get(splitter).get("status", {}).get("conditions", [])
        found = next((each for each in conditions if each["type"] == "Synced"), {})
        return str(found.get("message", "")) if found.get("status") == "False" else ""

    try:
        eventually(lambda: "does not permit advanced routing" in told(), timeout=10, why="its status says so")
    finally:
        shop.remove(refs)

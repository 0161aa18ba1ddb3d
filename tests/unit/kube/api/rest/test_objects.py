"""Objects over HTTP: forms of answers, forms of bodies, pages, and errors that are always a Status."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.api.bodies.negotiation import Form, choose
from mesh_lab.kube.api.context import Target, parse_path
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.options import AdmissionRequest, Open, Patch, PatchKind
from mesh_lab.kube.resources import CONFIGMAPS
from mesh_lab.kube.resources import DEPLOYMENTS as KINDS_DEPLOYMENTS
from tests.unit.kube.api.bodies.test_protobuf import CORE, encode, envelope
from tests.unit.kube.api.conftest import Server

PATH = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
    }


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/pods/", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/shop", Target("", "v1", "namespaces", None, "shop")),
        ("/api/v1/namespaces/shop/", Target("", "v1", "namespaces", None, "shop")),
        ("/api/v1/namespaces/shop/finalize", Target("", "v1", "namespaces", None, "shop", "finalize")),
        ("/api/v1/namespaces/shop/pods", Target("", "v1", "pods", "shop")),
        ("/api/v1/namespaces/shop/pods/p/log", Target("", "v1", "pods", "shop", "p", "log")),
        ("/apis/apps/v1/deployments", Target("apps", "v1", "deployments")),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", Target("apps", "v1", "deployments", "a", "d", "scale")),
        (
            "/api/v1/namespaces/a/services/https:s:443/proxy/x%2Fy//z/",
            Target("", "v1", "services", "a", "https:s:443", "proxy", "x%2Fy//z/"),
        ),
        ("/api/v1/namespaces/a/pods/p/proxy", Target("", "v1", "pods", "a", "p", "proxy")),
        ("/api/v1/namespaces/a/pods/p/log/more", None),
        ("/api/v1", None),
        ("/apis/apps/v1", None),
        ("/apis", None),
        ("/", None),
        ("/api/v1//", None),
    ],
)
def test_paths_name_their_targets(path: str, target: Target | None) -> None:
    assert parse_path(path) == target


@given(st.text(alphabet="abc/%2F.", max_size=40))
def test_no_path_crashes_the_parser(text: str) -> None:
    found = parse_path("/" + text)
    assert found is None or found.plural


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.OBJECT),
        ("*/*", Form.OBJECT),
        ("application/json", Form.OBJECT),
        (TABLE, Form.TABLE),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Form.OBJECT),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Form.PARTIAL),
        ("application/vnd.kubernetes.protobuf,application/json", Form.OBJECT),
        ("application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io", Form.TABLE),
        ("text/html, */*;q=0.1", Form.OBJECT),
    ],
)
def test_the_form_that_a_client_prefers_is_chosen(accept: str | None, form: Form) -> None:
    assert choose(accept, Form.TABLE, Form.PARTIAL) is form


@pytest.mark.parametrize(
    "accept", ["text/html", "application/cbor", "application/json;q=0", "application/vnd.kubernetes.protobuf"]
)
def test_a_client_that_accepts_no_json_is_refused(accept: str) -> None:
    with pytest.raises(ApiError) as refusal:
        choose(accept, Form.TABLE)
    assert refusal.value.code == 406


async def test_an_object_is_created_read_and_deleted(server: Server) -> None:
    made = await server.json("POST", PATH, config_map("a", x="1"), code=201)
    assert await server.json("GET", PATH + "/a") == made
    changed = await server.json("PUT", PATH + "/a", {**made, "data": {"x": "2"}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    await server.json("PUT", PATH + "/a", {**made, "data": {"x": "3"}}, code=409)
    gone = await server.json("DELETE", PATH + "/a")
    assert (gone["status"], gone["details"]["name"]) == ("Success", "a")
    await server.json("GET", PATH + "/a", code=404)


@pytest.mark.parametrize(
    ("media", "patch", "data"),
    [
        ("application/merge-patch+json", {"data": {"x": None, "y": "2"}}, {"y": "2"}),
        ("application/json-patch+json", [{"op": "replace", "path": "/data/x", "value": "9"}], {"x": "9"}),
        ("application/strategic-merge-patch+json", {"data": {"y": "2"}}, {"x": "1", "y": "2"}),
    ],
)
async def test_patches_in_each_language(server: Server, media: str, patch: Any, data: dict[str, str]) -> None:
    await server.json("POST", PATH, config_map("a", x="1"), code=201)
    answer = await server.json("PATCH", PATH + "/a", patch, headers={"Content-Type": media})
    assert answer["data"] == data


async def test_a_body_may_be_yaml_or_protobuf(server: Server) -> None:
    for name, media, body in (
        ("y", "application/yaml", yaml.safe_dump(config_map("y", x="1")).encode()),
        (
            "p",
            "application/vnd.kubernetes.protobuf",
            envelope("v1", "ConfigMap", encode(CORE + "ConfigMap", {"metadata": {"name": "p"}, "data": {"x": "1"}})),
        ),
    ):
        async with server.client.post(server.url + PATH, data=body, headers={"Content-Type": media}) as response:
            assert response.status == 201, await response.text()
        assert server.registry.get(CONFIGMAPS, name, "default")["data"] == {"x": "1"}


@pytest.mark.parametrize(
    ("media", "body", "code"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"", 400),
        ("application/yaml", b"a: [", 400),
        ("application/vnd.kubernetes.protobuf", b"junk", 400),
        ("application/xml", b"<a/>", 415),
        ("application/json", b'"' + b"x" * 4_000_000 + b'"', 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_status(server: Server, media: str, body: bytes, code: int) -> None:
    import io

    async with server.client.post(
        server.url + PATH, data=io.BytesIO(body), headers={"Content-Type": media}
    ) as response:
        answer = await response.json()
        assert (response.status, answer["kind"], answer["code"]) == (code, "Status", code)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/apis/nothing.io/v1/things", 404),
        ("GET", "/apis/apps/v2/deployments", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/apis/nothing.io", 404),
        ("POST", "/api/v1/namespaces/default/configmaps/x", 405),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("PATCH", "/api/v1/configmaps", 405),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews", 405),
        ("GET", "/api/v1/namespaces/default/configmaps/x/scale", 404),
        ("DELETE", "/api/v1/namespaces/default/pods/x/status", 405),
        ("GET", "/api/v1/configmaps/x", 404),
        ("GET", "/openapi/v3/apis/nothing.io/v1", 404),
    ],
)
async def test_a_missing_object_is_a_404_status(server: Server, method: str, path: str, code: int) -> None:
    answer = await server.json(method, path, code=code)
    assert (answer["kind"], answer["status"], answer["code"]) == ("Status", "Failure", code)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=x", 400),
        ("limit=-1", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=Sometimes&resourceVersion=1", 422),
        ("sendInitialEvents=true", 422),
        ("continue=nonsense", 400),
        ("labelSelector=a+in+(b", 400),
        ("fieldSelector=spec.x%3Dy", 400),
        ("resourceVersion=99999&resourceVersionMatch=NotOlderThan", 504),
    ],
)
async def test_invalid_options_are_refused(server: Server, query: str, code: int) -> None:
    await server.json("GET", f"{PATH}?{query}", code=code)


@pytest.mark.parametrize("query", ["dryRun=Some", "fieldValidation=Maybe"])
async def test_invalid_write_options_are_refused(server: Server, query: str) -> None:
    await server.json("POST", f"{PATH}?{query}", config_map("a"), code=422)


async def test_all_pages_of_a_list_show_one_revision(server: Server) -> None:
    for name in "abcde":
        await server.json("POST", PATH, config_map(name), code=201)
    first = await server.json("GET", PATH + "?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    await server.json("DELETE", PATH + "/d")
    names = [item["metadata"]["name"] for item in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        page = await server.json("GET", f"{PATH}?limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == list("abcde")


async def test_a_list_comes_as_table_or_as_metadata(server: Server) -> None:
    await server.json("POST", PATH, config_map("a", x="1"), code=201)
    table = await server.json("GET", PATH, headers={"Accept": TABLE})
    assert (table["kind"], table["rows"][0]["cells"][:2]) == ("Table", ["a", 1])
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = await server.json("GET", PATH, headers={"Accept": accept})
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_unknown_fields_are_warned_of_or_refused(server: Server) -> None:
    body = {**config_map("a"), "nonsense": 1}
    async with server.client.post(server.url + PATH, json=body) as response:
        assert response.status == 201
        assert response.headers["Warning"] == '299 - "unknown field \\"nonsense\\""'
    answer = await server.json("POST", PATH + "?fieldValidation=Strict", {**body, "metadata": {"name": "b"}}, code=400)
    assert 'unknown field "nonsense"' in answer["message"]


async def test_a_dry_run_leaves_nothing(server: Server) -> None:
    await server.json("POST", PATH + "?dryRun=All", config_map("a"), code=201)
    await server.json("GET", PATH + "/a", code=404)


async def test_a_name_in_the_body_must_be_that_of_the_path(server: Server) -> None:
    await server.json("POST", PATH, config_map("a"), code=201)
    answer = await server.json("PUT", PATH + "/a", config_map("b"), code=400)
    assert "does not match" in answer["message"]


async def test_a_collection_is_deleted_by_selector(server: Server) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await server.json(
            "POST", PATH, {**config_map(name), "metadata": {"name": name, "labels": {"l": label}}}, code=201
        )
    answer = await server.json("DELETE", PATH + "?labelSelector=l%3Dx")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    left = await server.json("GET", PATH)
    assert [item["metadata"]["name"] for item in left["items"]] == ["c"]


async def test_scale_is_read_set_and_patched(server: Server) -> None:
    await server.json("POST", DEPLOYMENTS, deployment("web"), code=201)
    path = DEPLOYMENTS + "/web/scale"
    scale = await server.json("GET", path)
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 0, "selector": "app=web"},
    )
    scale["spec"]["replicas"] = 5
    assert (await server.json("PUT", path, scale))["spec"] == {"replicas": 5}
    await server.json("PUT", path, scale, code=409)
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await server.json("PATCH", path, {"spec": {"replicas": 0}}, headers=merge))["spec"] == {"replicas": 0}
    await server.json("PATCH", path, {"spec": {"replicas": -1}}, headers=merge, code=422)
    await server.json("PATCH", path, {"spec": {"replicas": "x"}}, headers=merge, code=400)
    stored = await server.json("GET", DEPLOYMENTS + "/web")
    assert stored["spec"]["replicas"] == 0


async def test_a_scale_is_set_while_others_write(server: Server) -> None:
    await server.json("POST", DEPLOYMENTS, deployment("web"), code=201)
    looked = False

    class Meddling(Open):
        """Admission that changes the object while the write is under way, as a controller may."""

        async def mutate(self, request: AdmissionRequest) -> Any:
            nonlocal looked
            if not looked:
                looked = True
                mark = Patch(PatchKind.MERGE, {"status": {"replicas": 2}})
                await server.registry.patch(KINDS_DEPLOYMENTS, "web", "default", mark, subresource="status")
            return request.obj

    server.registry.admission = Meddling()
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await server.json("PATCH", DEPLOYMENTS + "/web/scale", {"spec": {"replicas": 4}}, headers=merge)
    assert (looked, answer["spec"], answer["status"]["replicas"]) == (True, {"replicas": 4}, 2)
    condition = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 5}}
    await server.json("PATCH", DEPLOYMENTS + "/web/scale", condition, headers=merge, code=409)


async def test_a_status_is_written_on_its_own(server: Server) -> None:
    made = await server.json("POST", DEPLOYMENTS, deployment("web"), code=201)
    made["status"] = {"replicas": 2}
    made["spec"]["replicas"] = 9
    answer = await server.json("PUT", DEPLOYMENTS + "/web/status", made)
    assert (answer["status"]["replicas"], answer["spec"]["replicas"]) == (2, 2)


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
@pytest.mark.parametrize(("method", "media"), [("POST", "application/json"), ("PATCH", "application/merge-patch+json")])
async def test_a_duplicate_field_is_reported(server: Server, validation: str, method: str, media: str) -> None:
    there = config_map("there", a="0", n='{"a": 1, "b": {"a": 2}}')
    await server.json("POST", PATH, there, code=201)
    twice = '{"metadata": {"name": "there"}, "data": {"a": "1", "b\\":": "x", "a": "2"}, "immutable": false}'
    path = PATH + "/there" if method == "PATCH" else PATH
    body = twice if method == "PATCH" else twice.replace("there", "new")
    url, headers = f"{server.url}{path}?fieldValidation={validation}", {"Content-Type": media}
    async with server.client.request(method, url, data=body.replace('b\\":', "b"), headers=headers) as response:
        answer, warned = await response.json(), response.headers.getall("Warning", [])
    words = 'duplicate field "data.a"'
    if validation == "Strict":
        assert response.status == 400
        assert answer["message"].endswith(f"strict decoding error: {words}")
        return
    assert answer["data"]["a"] == "2"
    assert warned == ([] if validation == "Ignore" else ["299 - " + '"' + words.replace('"', '\\"') + '"'])


async def test_a_delete_answers_the_object_where_kubernetes_does(server: Server) -> None:
    service = {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}
    for kind, plural, body in (
        ("Service", "services", service),
        ("ServiceAccount", "serviceaccounts", {"metadata": {"name": "x"}}),
        ("Pod", "pods", {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        ("Status", "secrets", {"metadata": {"name": "x"}}),
        ("Status", "configmaps", {"metadata": {"name": "x"}}),
    ):
        path = f"/api/v1/namespaces/default/{plural}"
        await server.json("POST", path, body, code=201)
        assert (await server.json("DELETE", f"{path}/x"))["kind"] == kind


async def test_items_of_a_typed_list_have_no_kind_of_their_own(server: Server) -> None:
    await server.json("POST", PATH, config_map("a"), code=201)
    listed = await server.json("GET", PATH)
    assert listed["kind"] == "ConfigMapList"
    assert [set(item) - {"metadata", "data"} for item in listed["items"] if item["metadata"]["name"] == "a"] == [set()]
    ended = await server.json("DELETE", PATH)
    assert all("kind" not in item for item in ended["items"])
    shown = await server.kubectl("get", "configmaps", "-o", "jsonpath={.items[*].kind}")
    assert set(shown.out.split()) <= {"ConfigMap"}


async def test_some_kinds_are_not_replaced_without_a_revision(server: Server) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    for path, body, code in ((PATH, config_map("x"), 200), (leases, {"metadata": {"name": "x"}}, 422)):
        made = await server.json("POST", path, body, code=201)
        answer = await server.json("PUT", f"{path}/x", body, code=code)
        await server.json("PUT", f"{path}/x", {**body, "metadata": (answer if code == 200 else made)["metadata"]})
    assert answer["message"] == (
        'leases.coordination.k8s.io "x" is invalid: metadata.resourceVersion: Invalid value: 0x0: '
        "must be specified for an update"
    )


async def test_a_custom_resource_is_not_replaced_without_a_revision_and_keeps_its_kind_in_lists(server: Server) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    crd = {"metadata": {"name": "things.example.com"}, "spec": spec}
    await server.json("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd, code=201)
    path = "/apis/example.com/v1/namespaces/default/things"
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    await server.json("POST", path, thing, code=201)
    assert "must be specified for an update" in (await server.json("PUT", f"{path}/x", thing, code=422))["message"]
    assert (await server.json("GET", path))["items"][0]["kind"] == "Thing"


async def test_wrapped_base64_is_taken_and_kept_in_one_line(server: Server) -> None:
    path = "/api/v1/namespaces/default/secrets"
    made = await server.json("POST", path, {"metadata": {"name": "s"}, "data": {"k": "aGVs\r\nbG8=\n"}}, code=201)
    assert made["data"] == {"k": "aGVsbG8="}


async def test_a_pods_eviction_deletes_it(server: Server) -> None:
    pods = "/api/v1/namespaces/default/pods"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": deployment("x")["spec"]["template"]["spec"],
    }
    await server.json("POST", pods, pod, code=201)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    await server.json("POST", pods + "/p/eviction", body, code=201)
    await server.json("GET", pods + "/p", code=404)


async def test_a_pod_is_bound_once(server: Server) -> None:
    pods = "/api/v1/namespaces/default/pods"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": deployment("x")["spec"]["template"]["spec"],
    }
    await server.json("POST", pods, pod, code=201)
    body = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "lab"}}
    await server.json("POST", pods + "/p/binding", body, code=201)
    assert (await server.json("GET", pods + "/p"))["spec"]["nodeName"] == "lab"
    await server.json("POST", pods + "/p/binding", body, code=409)

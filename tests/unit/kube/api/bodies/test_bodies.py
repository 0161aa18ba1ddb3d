"""Bodies that are hostile or merely wrong: each gets its own answer, and other requests go on."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube import heavy
from mesh_lab.kube.api.app import BODY_LIMIT
from mesh_lab.kube.api.bodies import from_yaml
from mesh_lab.kube.api.bodies.answers import DEPTH_LIMIT
from tests.unit.kube.api.conftest import LIMIT_S, Server

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
YAML = {"Content-Type": "application/yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
DEEP = DEPTH_LIMIT + 50


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
JSON_OF_TYPES = {"a": 31, "b": 1000, "c": None, "d": None, "e": None, "f": False, "g": "1"}
WIDE_BOMB = f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 1000}]"
LARGE = "data:\n" + "".join(f"  key-{number:06d}: 'value {number}'\n" for number in range(90_000))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("2: x\ntrue: y\n", {"2": "x", "true": "y"}),
        ("at: 2026-01-02T03:04:05Z\non: 2026-01-02", {"at": "2026-01-02T03:04:05Z", "true": "2026-01-02"}),
        ("a: &x {b: c}\nd: *x", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("", None),
        ("a: =\nb: <<", {"a": "=", "b": "<<"}),
        ("a: 0x1F\nb: 1_000\nc: .inf\nd: ~\ne:\nf: no\ng: '1'", JSON_OF_TYPES),
        ("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("<<: [{a: 1, b: 2}, {b: 3, c: 4}]\nc: 5", {"a": 1, "b": 2, "c": 5}),
        ("a: 1\na: 2", {"a": 2}),
    ],
)
def test_yaml_is_read_as_json_values(text: str, value: Any) -> None:
    assert from_yaml.decode(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "expected"),
        ("a: !!set {x}", "could not determine a constructor"),
        ("a: !!binary eA==", "not JSON serializable"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: 99999999999999999999999999", "64-bit"),
        ("a: &a [*a]", "excessive aliasing"),
        (BOMB, "excessive aliasing"),
        (WIDE_BOMB, "excessive aliasing"),
        ("<<: [" + "*a, " * 9 + "*a]", "undefined alias"),
        ("<<: 1", "for merging"),
        ("? [a]\n: b", "unhashable key"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: *b", "undefined alias"),
        ("a: 1" + "1" * 5000, "64-bit"),
        ("a: " + nested(DEEP), "nested too deeply"),
        ("a: " + nested(20_000), "nested too deeply"),
    ],
)
def test_yaml_without_a_json_value_is_refused(text: str, words: str) -> None:
    with pytest.raises(from_yaml.YamlBodyError, match=words):
        from_yaml.decode(text.encode())


@given(st.one_of(st.binary(max_size=60), st.text(alphabet="ab1:-[]{}&*!?|> \n\"'", max_size=60).map(str.encode)))
def test_any_yaml_becomes_json_or_is_refused(body: bytes) -> None:
    try:
        value = from_yaml.decode(body)
    except from_yaml.YamlBodyError:
        return
    assert orjson.loads(orjson.dumps(value)) == value


async def test_a_large_body_is_read_beside_the_loop_and_not_in_it() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    value = await heavy.run(len(LARGE), from_yaml.decode, LARGE.encode())
    waiting.cancel()
    assert len(value["data"]) == 90_000
    assert turns > 20


async def test_bodies_have_the_limit_of_a_real_server(server: Server) -> None:
    body = io.BytesIO(b'{"data":{"a":"' + b"x" * BODY_LIMIT + b'"}}')
    refusal = await server.json("POST", CONFIG_MAPS, code=413, data=body)
    assert refusal["message"] == "Request entity too large: limit is 3145728"


async def test_objects_have_the_limit_of_etcd(server: Server) -> None:
    keys = {f"{number:0250d}": "" for number in range(7000)}
    body = io.BytesIO(orjson.dumps({"metadata": {"name": "a"}, "data": keys}))
    refusal = await server.json("POST", CONFIG_MAPS, code=413, data=body)
    assert "etcdserver: request is too large" in refusal["message"]
    await server.json("GET", CONFIG_MAPS + "/a", code=404)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (YAML, "metadata: {name: a, annotations: {1: x, 2026-01-01: y}}"),
        (YAML, "a: " + nested(20_000)),
        (YAML, BOMB),
        ({}, f'{{"metadata":{{"name":"a"}},"data":{nested(DEEP)}}}'),
        ({}, f'{{"metadata":{{"name":"a"}},"data":{nested(20_000)}}}'),
    ],
)
async def test_no_body_fails_the_server(server: Server, headers: dict[str, str], body: str) -> None:
    async with server.client.post(server.url + CONFIG_MAPS, data=body, headers=headers) as response:
        assert response.status in (201, 400), await response.text()
    await server.json("POST", CONFIG_MAPS, {"metadata": {"name": "next"}}, code=201)


@pytest.mark.parametrize(
    ("headers", "code", "words"),
    [
        ({"Content-Encoding": "gzip"}, 400, "not in the encoding"),
        ({"Content-Type": "text/\udcff"}, 415, "got text/\\udcff"),
        ({"Authorization": "Bearer \udcff\udcfe"}, 401, "Unauthorized"),
        ({"Impersonate-User": "\udcff"}, 400, "must be UTF-8"),
    ],
)
async def test_headers_that_are_no_text_cause_no_error(
    server: Server, headers: dict[str, str], code: int, words: str
) -> None:
    head = {"Host": "lab", "Content-Length": "2", "Connection": "close", **headers}
    lines = [f"POST {CONFIG_MAPS} HTTP/1.1", *(f"{key}: {value}" for key, value in head.items()), "", "{}"]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.trust)
    writer.write("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    answer = (await asyncio.wait_for(reader.read(), LIMIT_S)).decode()
    writer.close()
    assert answer.split()[1] == str(code)
    assert words in json.loads(answer.partition("\r\n\r\n")[2])["message"]


async def test_patches_cannot_nest_an_object_deeper_than_the_limit(server: Server) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": "things", "kind": "Thing"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await server.json("POST", crds, {"metadata": {"name": "things.example.com"}, "spec": spec}, code=201)
    things = "/apis/example.com/v1/things"
    half = json.loads(nested(DEPTH_LIMIT // 2 + 10))
    await server.json("POST", things, {"metadata": {"name": "t"}, "spec": half}, code=201)
    add = [{"op": "add", "path": "/spec" + "/a" * (DEPTH_LIMIT // 2 + 9), "value": half}]
    json_patch = {"Content-Type": "application/json-patch+json"}
    refusal = await server.json("PATCH", things + "/t", add, headers=json_patch, code=400)
    assert "cannot be stored" in refusal["message"]
    await server.json("PATCH", things + "/t", {"spec": {"b": 1}}, headers=MERGE)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"gracePeriodSeconds": "1"}, "gracePeriodSeconds"),
        ({"preconditions": "u"}, "preconditions"),
        ({"preconditions": {"uid": 1}}, "preconditions.uid"),
        ({"dryRun": 1}, "dryRun"),
        ({"propagationPolicy": []}, "propagationPolicy"),
    ],
)
async def test_options_of_a_delete_have_types(server: Server, options: dict[str, Any], field: str) -> None:
    await server.json("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}, code=201)
    refusal = await server.json("DELETE", CONFIG_MAPS + "/a", options, code=400)
    assert refusal["details"]["causes"][0]["field"] == field
    await server.json("GET", CONFIG_MAPS + "/a")


async def test_a_delete_takes_no_object_of_another_kind(server: Server) -> None:
    await server.json("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}, code=201)
    await server.json("DELETE", CONFIG_MAPS + "/a", {"kind": "ConfigMap", "metadata": {"name": "a"}}, code=400)
    await server.json("DELETE", CONFIG_MAPS + "/a", {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"})


REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/namespaces/default/pods/p/eviction", {"metadata": "p"}, "metadata"),
        ("/api/v1/namespaces/default/pods/p/eviction", {"deleteOptions": [1]}, "deleteOptions"),
        ("/api/v1/namespaces/default/pods/p/eviction", {"deleteOptions": {"dryRun": 1}}, "deleteOptions.dryRun"),
        ("/api/v1/namespaces/default/pods/p/binding", {"target": "n"}, "target"),
        ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": "x"}, "spec"),
        (
            "/api/v1/namespaces/default/serviceaccounts/default/token",
            {"spec": {"audiences": [1]}},
            "spec.audiences[0]",
        ),
        (REVIEWS, {"spec": {"user": {}}}, "spec.user"),
        (REVIEWS, {"spec": {"user": "a", "groups": [[]]}}, "spec.groups[0]"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": 1}}, "spec.token"),
    ],
)
async def test_bodies_of_reviews_and_subresources_are_checked_by_their_types(
    server: Server, path: str, body: dict[str, Any], field: str
) -> None:
    refusal = await server.json("POST", path, body, code=400)
    assert refusal["details"]["causes"][0]["field"] == field


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_objects_of_all_namespaces_are_neither_made_nor_deleted(server: Server, method: str) -> None:
    await server.json("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}, code=201)
    body = {"metadata": {"name": "b", "namespace": "default"}} if method == "POST" else None
    await server.json(method, "/api/v1/configmaps", body, code=405)
    assert [o["metadata"]["name"] for o in (await server.json("GET", "/api/v1/configmaps"))["items"]] == ["a"]


async def test_a_large_list_comes_whole_and_in_pieces(server: Server) -> None:
    for number in range(4):
        body = io.BytesIO(orjson.dumps({"metadata": {"name": f"c{number}"}, "data": {"a": "x" * 400_000}}))
        await server.json("POST", CONFIG_MAPS, code=201, data=body)
    async with server.client.get(server.url + CONFIG_MAPS) as response:
        text = await response.read()
    assert response.content_length == len(text)
    answer = orjson.loads(text)
    assert (answer["kind"], answer["metadata"]["resourceVersion"]) == ("ConfigMapList", str(server.registry.revision))
    assert [(o["metadata"]["name"], len(o["data"]["a"])) for o in answer["items"]] == [
        (f"c{number}", 400_000) for number in range(4)
    ]
    assert (await server.json("GET", "/api/v1/namespaces/kube-public/configmaps"))["items"] == []

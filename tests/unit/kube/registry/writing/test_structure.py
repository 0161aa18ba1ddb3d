"""Decoding of built-in kinds: unknown fields, wrong types, and the words for both."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.registry.writing.structure import DecodeError, decode
from mesh_lab.kube.schemas import builtin_schema
from tests.unit.kube.registry.manifests import deployment, pod, set_at

DEPLOYMENT = builtin_schema("apps/v1", "Deployment")
CONTAINER = "spec.template.spec.containers.0"
GO = "json: cannot unmarshal {} into Go struct field {} of type {}"


def test_a_sound_object_comes_through_as_a_copy() -> None:
    obj = deployment()
    decoded, unknown = decode(DEPLOYMENT, obj)
    assert decoded == obj
    assert unknown == []
    assert decoded["spec"]["template"] is not obj["spec"]["template"]


def test_unknown_fields_go_and_are_named_with_their_path() -> None:
    obj = deployment()
    set_at(obj, "extra", 1)
    set_at(obj, "spec.foo", {"bar": 1})
    set_at(obj, f"{CONTAINER}.imagee", "x")
    decoded, unknown = decode(DEPLOYMENT, obj)
    assert decoded == deployment()
    assert sorted(unknown) == ["extra", "spec.foo", "spec.template.spec.containers[0].imagee"]


def test_null_is_absence() -> None:
    obj = deployment()
    set_at(obj, "spec.replicas", None)
    set_at(obj, "metadata.labels.app", None)
    decoded, unknown = decode(DEPLOYMENT, obj)
    assert "replicas" not in decoded["spec"]
    assert decoded["metadata"]["labels"] == {"app": ""}
    assert unknown == []


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("spec.replicas", "2", "spec.replicas", GO.format("string", "DeploymentSpec.spec.replicas", "int32")),
        ("spec.replicas", 1.5, "spec.replicas", GO.format("number 1.5", "DeploymentSpec.spec.replicas", "int32")),
        ("spec.replicas", True, "spec.replicas", GO.format("bool", "DeploymentSpec.spec.replicas", "int32")),
        (
            "spec.replicas",
            2**31,
            "spec.replicas",
            GO.format(f"number {2**31}", "DeploymentSpec.spec.replicas", "int32"),
        ),
        ("spec.paused", "yes", "spec.paused", GO.format("string", "DeploymentSpec.spec.paused", "bool")),
        ("spec", [], "spec", GO.format("array", "Deployment.spec", "v1.DeploymentSpec")),
        (
            "metadata.labels",
            "app=web",
            "metadata.labels",
            GO.format("string", "ObjectMeta.metadata.labels", "map[string]string"),
        ),
        (
            "metadata.labels.n",
            1,
            "metadata.labels.n",
            GO.format("number 1", "ObjectMeta.metadata.labels.n", "string"),
        ),
        (
            "spec.template.spec.containers",
            {},
            "spec.template.spec.containers",
            GO.format("object", "PodSpec.spec.template.spec.containers", "[]v1.Container"),
        ),
        (
            f"{CONTAINER}.image",
            7,
            "spec.template.spec.containers[0].image",
            GO.format("number 7", "Container.spec.template.spec.containers.image", "string"),
        ),
        (
            f"{CONTAINER}.readinessProbe.httpGet.port",
            True,
            "spec.template.spec.containers[0].readinessProbe.httpGet.port",
            GO.format(
                "bool",
                "HTTPGetAction.spec.template.spec.containers.readinessProbe.httpGet.port",
                "intstr.IntOrString",
            ),
        ),
    ],
)
def test_a_wrong_type_is_named_with_its_path(path: str, value: Any, field: str, words: str) -> None:
    obj = deployment()
    set_at(obj, path, value)
    with pytest.raises(DecodeError) as caught:
        decode(DEPLOYMENT, obj)
    assert (caught.value.field, str(caught.value)) == (field, words)


@pytest.mark.parametrize(
    ("kind", "obj", "words"),
    [
        ("Secret", {"data": {"a": "no base64!"}}, "data.a: illegal base64 data at input byte 2"),
        (
            "Pod",
            {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "many"}}}]}},
            "spec.containers[0].resources.requests.cpu: quantities must match",
        ),
        ("Event", {"lastTimestamp": "yesterday"}, 'lastTimestamp: parsing time "yesterday"'),
    ],
)
def test_text_with_a_syntax_of_its_own_is_checked(kind: str, obj: dict[str, Any], words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(builtin_schema("v1", kind), obj)
    assert words in str(caught.value)


def test_numbers_as_quantities_become_text() -> None:
    obj = pod()
    set_at(obj, "spec.containers.0.resources", {"limits": {"cpu": 0.5, "memory": 1048576}})
    decoded, _ = decode(builtin_schema("v1", "Pod"), obj)
    assert decoded["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1048576"}


def test_a_schema_that_contains_itself_is_followed() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}}
    crd = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": inner}}]}}
    schema = builtin_schema("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert decode(schema, crd) == (crd, [])
    inner["properties"]["a"]["properties"]["b"]["typo"] = 1
    _, unknown = decode(schema, crd)
    assert unknown == ["spec.versions[0].schema.openAPIV3Schema.properties.a.properties.b.typo"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("aGVsbG8=", "aGVsbG8="),
        ("aGVs\nbG8=\n", "aGVsbG8="),
        ("\r\naGVs\r\nbG8\n=", "aGVsbG8="),
        ("aGVsbG9=", "aGVsbG8="),  # bits that are left over do not count
        ("", ""),
        ("\n", ""),
        ("aGVs bG8=", None),
        ("aGVs\tbG8=", None),
        ("aGVsbG8", None),
        ("aGVsbG8==", None),
        ("aGVs=", None),
        ("aGVsbG8=aGVs", None),
        ("aGVs-_8=", None),
    ],
)
def test_base64_is_read_as_go_reads_it(text: str, stored: str | None) -> None:
    secret = builtin_schema("v1", "Secret")
    if stored is None:
        with pytest.raises(DecodeError, match="illegal base64 data"):
            decode(secret, {"data": {"k": text}})
    else:
        assert decode(secret, {"data": {"k": text}})[0] == {"data": {"k": stored}}

"""Protobuf bodies become the JSON that the same client would have sent; nothing malformed gets past as something
else.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.api.bodies import protobuf
from mesh_lab.kube.api.bodies.protobuf import META, ProtobufError, decode

CORE = "k8s.io.api.core.v1."
INT_OR_STRING = "k8s.io.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "k8s.io.apimachinery.pkg.api.resource.Quantity"


def number(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(at: int, value: int | bytes | str) -> bytes:
    """One field: numbers as varints, all else by length."""
    if isinstance(value, int):
        return number(at << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(at << 3 | 2) + number(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def encode(message: str, value: Any) -> bytes:
    """What Go would send for `value`, the JSON of a `message`: an encoder of our own, to hold the decoder against."""
    if message == META + "Time":
        return b"" if value is None else field(1, value) + field(2, 0)
    if message == INT_OR_STRING:
        text = isinstance(value, str)
        return field(1, int(text)) + field(2, 0 if text else value) + field(3, value if text else "")
    if message == QUANTITY:
        return field(1, value)
    out = b""
    for at, known in protobuf._messages()[message].items():
        if known.name in protobuf._EMBEDDED:
            out += field(at, encode(known.kind, value))
        elif known.name not in value:
            continue
        elif known.label == "M":
            for key, item in value[known.name].items():
                out += field(at, field(1, key) + field(2, scalar(known.kind, item)))
        else:
            for item in value[known.name] if known.label == "R" else [value[known.name]]:
                out += field(at, scalar(known.kind, item))
    return out


def scalar(kind: str, value: Any) -> int | bytes:
    if kind in ("i", "u", "b"):
        return int(value)
    if kind == "s":
        return str(value).encode()
    if kind == "B":
        return base64.b64decode(value)
    return encode(kind, value)


words = st.text(min_size=1, max_size=8)
counts = st.integers(min_value=1, max_value=2**31 - 1)
metadata = st.fixed_dictionaries(
    {"name": words},
    optional={
        "labels": st.dictionaries(words, st.text(max_size=5), min_size=1, max_size=3),
        "finalizers": st.lists(words, min_size=1, max_size=3),
        "generation": counts,
        "ownerReferences": st.lists(
            st.fixed_dictionaries({"kind": words, "name": words, "controller": st.booleans()}), min_size=1, max_size=2
        ),
    },
)
containers = st.fixed_dictionaries(
    {"name": words},
    optional={
        "args": st.lists(st.text(max_size=5), min_size=1, max_size=3),
        "ports": st.lists(st.fixed_dictionaries({"containerPort": counts}), min_size=1, max_size=2),
        "env": st.lists(st.fixed_dictionaries({"name": words}, optional={"value": words}), min_size=1, max_size=2),
        "resources": st.fixed_dictionaries({"limits": st.dictionaries(words, words, min_size=1, max_size=2)}),
        "readinessProbe": st.fixed_dictionaries(
            {"periodSeconds": counts, "httpGet": st.fixed_dictionaries({"path": words, "port": counts | words})}
        ),
        "tty": st.just(True),
    },
)
volumes = st.one_of(
    st.fixed_dictionaries({"name": words, "emptyDir": st.just({})}),
    st.fixed_dictionaries(
        {"name": words, "configMap": st.fixed_dictionaries({"name": words, "optional": st.booleans()})}
    ),
)
pods = st.fixed_dictionaries(
    {"metadata": metadata},
    optional={
        "spec": st.fixed_dictionaries(
            {"containers": st.lists(containers, min_size=1, max_size=2)},
            optional={
                "volumes": st.lists(volumes, min_size=1, max_size=2),
                "nodeSelector": st.dictionaries(words, words, min_size=1, max_size=2),
                "terminationGracePeriodSeconds": st.integers(min_value=-(2**63), max_value=2**63 - 1),
                "automountServiceAccountToken": st.booleans(),
            },
        )
    },
)
blobs = st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
secrets = st.fixed_dictionaries(
    {"metadata": metadata, "type": words}, optional={"data": st.dictionaries(words, blobs, min_size=1, max_size=3)}
)


@given(pods)
def test_a_pod_arrives_as_it_was_sent(pod: dict[str, Any]) -> None:
    assert decode(envelope("v1", "Pod", encode(CORE + "Pod", pod))) == {"apiVersion": "v1", "kind": "Pod", **pod}


@given(secrets)
def test_a_secrets_bytes_arrive_in_base64(secret: dict[str, Any]) -> None:
    body = envelope("v1", "Secret", encode(CORE + "Secret", secret))
    assert decode(body) == {"apiVersion": "v1", "kind": "Secret", **secret}


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_read_without_a_crash(noise: bytes) -> None:
    for body in (noise, b"k8s\0" + noise, envelope("v1", "Pod", noise)):
        try:
            assert isinstance(decode(body), dict)
        except ProtobufError as refusal:
            assert str(refusal)  # noqa: PT017  (either outcome is right; any other exception fails the test)


@given(pods, st.data())
def test_a_cut_body_never_becomes_more_than_was_sent(pod: dict[str, Any], data: st.DataObject) -> None:
    raw = encode(CORE + "Pod", pod)
    cut = data.draw(st.integers(min_value=0, max_value=len(raw)))
    try:
        got = decode(envelope("v1", "Pod", raw[:cut]))
    except ProtobufError:
        return
    assert set(got) <= {"apiVersion", "kind", *pod}


def test_times_have_their_json_form() -> None:
    event = field(10, field(1, 1_700_000_000) + field(2, 123_456_789)) + field(6, field(1, 1_700_000_000) + field(2, 0))
    assert decode(envelope("v1", "Event", event)) == {
        "apiVersion": "v1",
        "kind": "Event",
        "eventTime": "2023-11-14T22:13:20.123456Z",
        "firstTimestamp": "2023-11-14T22:13:20Z",
    }


def test_a_zero_time_is_left_out() -> None:
    body = envelope("v1", "Namespace", field(1, field(1, "shop") + field(8, b"")) + field(2, b"") + field(3, b""))
    assert decode(body) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop"},
        "spec": {},
        "status": {},
    }


def test_a_zero_that_means_something_stays_and_others_go() -> None:
    deployment = field(2, field(1, 0) + field(5, 0) + field(7, 0))
    assert decode(envelope("apps/v1", "Deployment", deployment))["spec"] == {"replicas": 0}


def test_delete_options_come_under_any_group() -> None:
    for version in ("v1", "apps/v1", "meta.k8s.io/v1"):
        body = envelope(version, "DeleteOptions", field(1, 0) + field(4, "Foreground"))
        got = decode(body)
        assert (got["gracePeriodSeconds"], got["propagationPolicy"]) == (0, "Foreground")


def test_embedded_json_is_read() -> None:
    managed = field(1, "kubectl") + field(7, field(1, orjson.dumps({"f:data": {}})))
    got = decode(envelope("v1", "ConfigMap", field(1, field(17, managed))))
    assert got["metadata"]["managedFields"] == [{"manager": "kubectl", "fieldsV1": {"f:data": {}}}]


def test_packed_numbers_are_read() -> None:
    spec = field(14, field(4, number(1) + number(300)))
    assert decode(envelope("v1", "Pod", field(2, spec)))["spec"]["securityContext"]["supplementalGroups"] == [1, 300]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "does not begin"),
        (envelope("example.org/v1", "Widget", b""), 'kind "Widget"'),
        (envelope("v1", "Pod", b"\x0a\xff"), "ends within"),
        (envelope("v1", "Pod", field(1, 7)), "metadata: a number"),
        (envelope("v1", "Pod", field(1, field(1, b"\xff"))), "name: not UTF-8"),
        (envelope("apps/v1", "Deployment", field(2, field(1, b"x"))), "replicas: wire type 2"),
        (envelope("v1", "Pod", struct.pack("<BB", 0x0B, 0)), "wire type 3"),
        (envelope("v1", "Event", field(6, field(1, 2**62))), "outside the calendar"),
    ],
)
def test_a_malformed_body_is_refused_by_name(body: bytes, words: str) -> None:
    with pytest.raises(ProtobufError, match=words.replace("(", r"\(")):
        decode(body)


def test_an_empty_uid_is_left_out_as_json_leaves_it_out() -> None:
    reference = {"kind": "Pod", "uid": ""}
    body = {"metadata": {"name": "e", "uid": ""}, "involvedObject": reference}
    assert decode(envelope("v1", "Event", encode(CORE + "Event", body))) == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod"},
    }


def test_user_0_of_a_container_is_kept() -> None:
    status = {"containerStatuses": [{"name": "c", "user": {"linux": {"uid": 0, "gid": 0}}}]}
    found = decode(envelope("v1", "Pod", encode(CORE + "Pod", {"status": status})))
    assert found["status"]["containerStatuses"][0]["user"] == {"linux": {"uid": 0, "gid": 0}}

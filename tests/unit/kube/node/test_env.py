"""A container's variables are those that a kubelet would give it."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.node.env import ConfigProblem, Surroundings, environment, expand, field_value, service_variables
from mesh_lab.kube.objects.containers import FieldRef
from mesh_lab.kube.objects.services import Service
from tests.unit.kube.node.pods import container, typed_pod


def service(name: str, address: str, *ports: dict[str, Any], namespace: str = "default") -> Service:
    spec = {"clusterIP": address, "ports": list(ports)}
    return msgspec.convert({"metadata": {"name": name, "namespace": namespace}, "spec": spec}, Service)


def around(
    config_maps: dict[str, dict[str, str]] | None = None,
    secrets: dict[str, dict[str, bytes]] | None = None,
    services: tuple[Service, ...] = (),
) -> Surroundings:
    def config_map(namespace: str, name: str) -> dict[str, Any] | None:
        data = (config_maps or {}).get(name)
        return None if data is None else {"data": data}

    def secret(namespace: str, name: str) -> dict[str, Any] | None:
        data = (secrets or {}).get(name)
        return None if data is None else {"data": {k: base64.b64encode(v).decode() for k, v in data.items()}}

    return Surroundings(
        config_map=config_map,
        secret=secret,
        services=services,
        pod_ips=("10.244.0.7", "fd00:10:244::7"),
        host_ips=("10.244.0.1", "fd00:10:244::1"),
        node_name="lab",
        allocatable={"cpu": Decimal(2), "memory": Decimal(4 << 30)},
    )


def variables(env: list[dict[str, Any]], where: Surroundings | None = None, **fields: Any) -> dict[str, str]:
    pod = typed_pod(container("main", env=env, **fields))
    return environment(pod, pod.spec.containers[0], {}, where or around())


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$$(A)", "$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A ${A}", "$A ${A}"),
        ("$$$(A)", "$1"),
        ("$(A", "$(A"),
        ("100$", "100$"),
    ],
)
def test_references_are_expanded_as_in_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@given(st.text(alphabet="ab()", max_size=30))
def test_text_without_a_dollar_sign_stays(text: str) -> None:
    assert expand(text, {"a": "x"}) == text


@given(st.text(max_size=30))
def test_doubled_dollar_signs_protect_everything(text: str) -> None:
    assert expand(text.replace("$", "$$"), {"a": "x", "": "y"}) == text


def test_a_variable_sees_those_before_it() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)/$(C)"}, {"name": "C", "value": "3"}]
    assert variables(env)["B"] == "1/$(C)"


def test_own_variables_win_over_references_to_whole_objects() -> None:
    where = around(config_maps={"settings": {"A": "map", "B": "map"}})
    result = variables(
        [{"name": "A", "value": "own"}], where, envFrom=[{"configMapRef": {"name": "settings"}, "prefix": ""}]
    )
    assert (result["A"], result["B"]) == ("own", "map")


def test_prefix_of_referenced_keys() -> None:
    where = around(secrets={"keys": {"TOKEN": b"t"}})
    assert variables([], where, envFrom=[{"secretRef": {"name": "keys"}, "prefix": "P_"}]) == {"P_TOKEN": "t"}


def test_keys_of_config_maps_and_secrets() -> None:
    where = around(config_maps={"m": {"k": "v"}}, secrets={"s": {"k": b"\xff"}})
    env = [
        {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "O", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
    ]
    result = variables(env, where)
    assert result["M"] == "v"
    assert result["S"].encode(errors="surrogateescape") == b"\xff"
    assert "O" not in result


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "m", "key": "x"}}, "couldn't find key x in ConfigMap default/m"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigProblem, match=message.replace(".", r"\.")):
        variables([{"name": "A", "valueFrom": source}], around(config_maps={"m": {"k": "v"}}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
        ("metadata.annotations", 'note="line\\nbreak"'),
        ("spec.nodeName", "lab"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.244.0.7"),
        ("status.podIPs", "10.244.0.7,fd00:10:244::7"),
        ("status.hostIP", "10.244.0.1"),
        ("status.hostIPs", "10.244.0.1,fd00:10:244::1"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert field_value(typed_pod(), FieldRef(field_path=path), around()) == value


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "0", "1"),
        ("limits.cpu", "1m", "500"),
        ("requests.cpu", "1m", "2000"),
        ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Gi", "4"),  # not set: the node's
    ],
)
def test_resources_of_a_container(resource: str, divisor: str, value: str) -> None:
    env = [{"name": "R", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}]
    resources = {"limits": {"cpu": "500m"}, "requests": {"cpu": "2", "memory": "64Mi"}}
    assert variables(env, resources=resources)["R"] == value


def test_services_of_the_namespace_and_the_api_server() -> None:
    services = (
        service("my-db", "10.96.1.1", {"name": "tcp-main", "port": 5432}, {"port": 80}),
        service("other", "10.96.1.2", {"port": 1}, namespace="elsewhere"),
        service("headless", "None", {"port": 1}),
        service("kubernetes", "10.96.0.1", {"name": "https", "port": 443}),
    )
    found = service_variables(typed_pod(), services)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.1.1"
    assert found["MY_DB_SERVICE_PORT"] == "5432"
    assert found["MY_DB_SERVICE_PORT_TCP_MAIN"] == "5432"
    assert found["MY_DB_PORT_80_TCP_ADDR"] == "10.96.1.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not [name for name in found if name.startswith(("OTHER", "HEADLESS"))]
    without = service_variables(typed_pod(enableServiceLinks=False), services)
    assert {name.split("_")[0] for name in without} == {"KUBERNETES"}

"""Machines by the API: the files that they need, and the events that they give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.client import machines
from mesh_lab.client.connection import ApiError
from mesh_lab.client.machines import Machine
from mesh_lab.client.objects import Object, Reference
from mesh_lab.errors import LabError

ENTRY: Object = {
    "kind": "WorkloadEntry",
    "metadata": {"name": "web", "namespace": "vm"},
    "spec": {"address": "172.31.0.7", "serviceAccount": "account"},
}
GROUP: Object = {
    "kind": "WorkloadGroup",
    "metadata": {"name": "group", "namespace": "vm"},
    "spec": {"template": {"serviceAccount": "account", "address": ""}},
}
OBJECTS = {
    ("WorkloadEntry", "vm", "web"): ENTRY,
    ("WorkloadGroup", "vm", "group"): GROUP,
    ("ConfigMap", "istio-system", "istio"): {"data": {"mesh": "defaultConfig: {concurrency: 2}"}},
    ("ConfigMap", "vm", "istio-ca-root-cert"): {"data": {"root-cert.pem": "ROOT"}},
}


class Exchange:
    """An answer whose lines are given."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines
        self.missing = False
        self.closed = False

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def raise_for_status(self) -> None:
        if self.missing:
            raise ApiError(404, "not found", reason="NotFound")

    def lines(self) -> Iterator[str]:
        return map(json.dumps, self._lines)


class Api:
    """Has some objects, and makes tokens."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.objects = dict(OBJECTS)
        self.accounts = {"account"}
        self.answer = Exchange(list(lines))
        self.sent: list[tuple[str, Any]] = []

    def find(self, ref: Reference) -> Object | None:
        return self.objects.get((ref.kind, ref.namespace, ref.name))

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        return f"/{kind}/{namespace}/{name}"

    def request(self, method: str, path: str, *, body: Any = None) -> Any:
        self.sent.append((path, body))
        if path.split("/")[3] not in self.accounts:
            raise ApiError(404, "not found", reason="NotFound")
        return {"status": {"token": "TOKEN"}}

    def begin(self, method: str, path: str, body: bytes, headers: Any, *, timeout: float) -> Exchange:
        self.sent.append((path, json.loads(body)))
        return self.answer


def test_an_entry_says_where_its_machine_is() -> None:
    api = Api()
    files, address = machines.files_for(api, "WorkloadEntry", "vm", "web")  # type: ignore[arg-type]
    assert address == "172.31.0.7"
    assert (files["root-cert.pem"], files["istio-token"]) == ("ROOT", "TOKEN")
    assert json.loads(files["mesh.yaml"])["defaultConfig"]["concurrency"] == 2
    ((path, body),) = api.sent
    assert path == "/ServiceAccount/vm/account/token"
    assert body["spec"]["audiences"] == ["istio-ca"]


def test_a_group_leaves_the_address_open() -> None:
    files, address = machines.files_for(Api(), "WorkloadGroup", "vm", "group")  # type: ignore[arg-type]
    assert address == ""
    assert "ISTIO_META_AUTO_REGISTER_GROUP=group" in files["cluster.env"]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("WorkloadEntry", "vm", "web"), "there is no WorkloadEntry vm/web"),
        (("ConfigMap", "vm", "istio-ca-root-cert"), "there is no ConfigMap vm/istio-ca-root-cert"),
        (("ConfigMap", "istio-system", "istio"), "there is no ConfigMap istio-system/istio"),
    ],
)
def test_what_is_missing_is_named(missing: tuple[str, str, str], words: str) -> None:
    api = Api()
    del api.objects[missing]
    with pytest.raises(LabError, match=words):
        machines.files_for(api, "WorkloadEntry", "vm", "web")  # type: ignore[arg-type]


def test_an_account_that_is_missing_comes_with_how_it_is_made() -> None:
    api = Api()
    api.accounts.clear()
    with pytest.raises(LabError, match="there is no service account vm/account") as caught:
        machines.files_for(api, "WorkloadEntry", "vm", "web")  # type: ignore[arg-type]
    assert caught.value.hint == "`kubectl -n vm create serviceaccount account` makes it."


def test_a_machine_is_ordered_with_its_files_where_they_go() -> None:
    api = Api({"address": "172.31.0.7"}, {"out": "hello"}, {"exit": 0})
    machine = Machine("vm", "web", {"istio-token": "TOKEN"}, "172.31.0.7", ("serve",), 5)
    events = list(machines.run(api, machine))  # type: ignore[arg-type]
    assert events == [{"address": "172.31.0.7"}, {"out": "hello"}, {"exit": 0}]
    ((path, order),) = api.sent
    assert path == "/mesh-lab/machines/vm/web"
    assert order["files"] == {"/var/run/secrets/tokens/istio-token": "TOKEN"}
    assert (order["address"], order["command"]) == ("172.31.0.7", ["serve"])
    assert order["env"] == {"MACHINE_WAIT_SECONDS": "5"}
    assert api.answer.closed


def test_an_answer_without_an_end_is_the_end_of_the_lab() -> None:
    with pytest.raises(LabError, match="the machine has ended with the lab"):
        list(machines.execute(Api({"out": "a"}), "vm", "web", ["true"]))  # type: ignore[arg-type]


def test_a_command_for_a_machine_that_does_not_run_says_so() -> None:
    api = Api()
    api.answer.missing = True
    with pytest.raises(LabError, match="no machine vm/web runs"):
        list(machines.execute(api, "vm", "web", ["true"]))  # type: ignore[arg-type]


def test_names_are_one_part_of_the_path_whatever_is_typed() -> None:
    api = Api({"exit": 0})
    list(machines.execute(api, "v m", "../é?a", ["true"]))  # type: ignore[arg-type]
    list(machines.run(api, Machine("v m", "../é?a", {})))  # type: ignore[arg-type]
    assert [path for path, _ in api.sent] == [
        "/mesh-lab/machines/v%20m/..%2F%C3%A9%3Fa/exec",
        "/mesh-lab/machines/v%20m/..%2F%C3%A9%3Fa",
    ]

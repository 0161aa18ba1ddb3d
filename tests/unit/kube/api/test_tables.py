"""What `kubectl get` shows: the words and numbers of a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube import resources
from mesh_lab.kube.api import jsonpath, tables
from mesh_lab.kube.registry.custom.definitions import PrinterColumn
from mesh_lab.kube.registry.kinds import STORED
from mesh_lab.kube.registry.kinds.pods.printing import status_word
from mesh_lab.kube.registry.printing import durations
from mesh_lab.kube.registry.printing.columns import PLAIN

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def cells(resource: resources.Resource, obj: dict[str, Any]) -> dict[str, Any]:
    """The row of an object, by the columns' names."""
    obj.setdefault("metadata", {}).setdefault("name", "it")
    obj["metadata"].setdefault("creationTimestamp", ago(90))
    made = tables.table(tables.printer_for(resource), [obj], {}, now=NOW)
    return dict(zip((c["name"] for c in made["columnDefinitions"]), made["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 120, "5h2m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (3 * 86400 + 3 * 3600, "3d3h"),
        (8 * 86400, "8d"),
        (700 * 86400, "700d"),
        (3 * 365 * 86400 + 86400, "3y1d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_are_worded_as_kubectl_does(seconds: float, text: str) -> None:
    assert durations.human(seconds) == text


@given(st.floats(min_value=0, max_value=1e10))
def test_an_age_has_at_most_two_units(seconds: float) -> None:
    assert 1 <= sum(letter.isalpha() for letter in durations.human(seconds)) <= 2


def pod(**status: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "lab"},
        "status": {"phase": "Running", **status},
    }
    return made


def running(name: str, *, ready: bool = True, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": {"running": {}}, **more}


def waiting(name: str, reason: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}, **more}


def ended(name: str, code: int, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": code, **state}}}


INIT = {"initContainers": [{"name": "i"}, {"name": "j"}]}
READY = {"type": "Ready", "status": "True"}
INITIALIZED = {"type": "Initialized", "status": "True"}


@pytest.mark.parametrize(
    ("status", "spec", "word"),
    [
        ({"phase": "Pending"}, {}, "Pending"),
        ({"containerStatuses": [running("a"), running("b")]}, {}, "Running"),
        ({"containerStatuses": [running("a"), waiting("b", "CrashLoopBackOff")]}, {}, "CrashLoopBackOff"),
        ({"phase": "Pending", "containerStatuses": [waiting("a", "ErrImagePull")]}, {}, "ErrImagePull"),
        ({"phase": "Pending", "containerStatuses": [waiting("a", "ContainerCreating")]}, {}, "ContainerCreating"),
        ({"phase": "Succeeded", "containerStatuses": [ended("a", 0, reason="Completed")]}, {}, "Completed"),
        ({"phase": "Failed", "containerStatuses": [ended("a", 1, reason="Error")]}, {}, "Error"),
        ({"phase": "Failed", "containerStatuses": [ended("a", 7)]}, {}, "ExitCode:7"),
        ({"phase": "Failed", "containerStatuses": [ended("a", 137, signal=9)]}, {}, "Signal:9"),
        ({"phase": "Failed", "reason": "Evicted"}, {}, "Evicted"),
        (
            {"conditions": [READY], "containerStatuses": [ended("a", 0, reason="Completed"), running("b")]},
            {},
            "Running",
        ),
        ({"containerStatuses": [ended("a", 0, reason="Completed"), running("b")]}, {}, "NotReady"),
        ({"phase": "Pending", "initContainerStatuses": [running("i")]}, INIT, "Init:0/2"),
        (
            {"phase": "Pending", "initContainerStatuses": [ended("i", 0), waiting("j", "PodInitializing")]},
            INIT,
            "Init:1/2",
        ),
        ({"phase": "Pending", "initContainerStatuses": [waiting("i", "ErrImagePull")]}, INIT, "Init:ErrImagePull"),
        ({"phase": "Pending", "initContainerStatuses": [ended("i", 2, reason="Error")]}, INIT, "Init:Error"),
        ({"phase": "Pending", "initContainerStatuses": [ended("i", 2)]}, INIT, "Init:ExitCode:2"),
        (
            {
                "phase": "Pending",
                "conditions": [INITIALIZED],
                "initContainerStatuses": [ended("i", 0), ended("j", 0)],
                "containerStatuses": [waiting("a", "PodInitializing")],
            },
            INIT,
            "PodInitializing",
        ),
    ],
)
def test_a_pods_status_is_one_word(status: dict[str, Any], spec: dict[str, Any], word: str) -> None:
    made = pod(**status)
    made["spec"] |= spec
    assert status_word(made) == word


def test_a_deleted_pod_is_terminating_until_it_has_ended() -> None:
    made = pod(containerStatuses=[running("a"), running("b")])
    made["metadata"]["deletionTimestamp"] = ago(1)
    assert status_word(made) == "Terminating"
    made["status"]["phase"] = "Succeeded"
    assert status_word(made) == "Succeeded"


def test_a_pods_row() -> None:
    last = {"lastState": {"terminated": {"finishedAt": ago(300)}}}
    made = pod(
        containerStatuses=[running("a", restarts=3, **last), running("b", ready=False)], podIPs=[{"ip": "10.1.0.7"}]
    )
    assert cells(resources.PODS, made) == {
        "Name": "p",
        "Ready": "1/2",
        "Status": "Running",
        "Restarts": "3 (5m ago)",
        "Age": "90s",
        "IP": "10.1.0.7",
        "Node": "lab",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


def test_a_sidecar_among_the_init_containers_counts_as_a_container() -> None:
    made = pod(
        containerStatuses=[running("a"), running("b")],
        initContainerStatuses=[running("proxy", restarts=2, started=True)],
    )
    made["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}]
    row = cells(resources.PODS, made)
    assert (row["Ready"], row["Status"], row["Restarts"]) == ("3/3", "Running", "2")


@pytest.mark.parametrize(
    ("spec", "status", "external"),
    [
        ({"type": "ClusterIP", "clusterIP": "10.96.0.9"}, {}, "<none>"),
        ({"type": "LoadBalancer", "clusterIP": "10.96.0.9"}, {}, "<pending>"),
        (
            {"type": "LoadBalancer", "clusterIP": "10.96.0.9"},
            {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
            "127.0.0.1",
        ),
        ({"type": "ExternalName", "externalName": "example.org"}, {}, "example.org"),
    ],
)
def test_a_services_external_address(spec: dict[str, Any], status: dict[str, Any], external: str) -> None:
    assert cells(resources.SERVICES, {"spec": spec, "status": status})["External-IP"] == external


def test_a_services_ports() -> None:
    ports = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    row = cells(resources.SERVICES, {"spec": {"type": "NodePort", "clusterIP": "None", "ports": ports}})
    assert (row["Port(s)"], row["Cluster-IP"], row["Selector"]) == ("80:30080/TCP,53/UDP", "None", "<none>")


def test_a_deployments_row() -> None:
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"b": "2", "a": "1"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]}},
    }
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    assert cells(resources.DEPLOYMENTS, {"spec": spec, "status": status}) == {
        "Name": "it",
        "Ready": "1/3",
        "Up-to-date": 2,
        "Available": 1,
        "Age": "90s",
        "Containers": "c,d",
        "Images": "x,y",
        "Selector": "a=1,b=2",
    }


def test_an_endpoint_slices_row_is_kept_short() -> None:
    endpoints = [{"addresses": [f"10.0.0.{n}"]} for n in range(5)]
    row = cells(resources.ENDPOINTSLICES, {"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": endpoints})
    assert (row["Ports"], row["Endpoints"]) == ("80", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...")


def test_an_events_row() -> None:
    event = {
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
        "type": "Warning",
        "reason": "BackOff",
        "message": "Back-off restarting\n",
        "count": 5,
        "firstTimestamp": ago(120),
        "lastTimestamp": ago(10),
        "source": {"component": "kubelet", "host": "lab"},
    }
    row = cells(resources.EVENTS, event)
    assert (row["Last Seen"], row["Object"], row["Source"], row["Message"]) == (
        "10s (x5 over 2m)",
        "pod/p",
        "kubelet, lab",
        "Back-off restarting",
    )


def test_the_row_of_a_node() -> None:
    node = {
        "metadata": {"name": "lab", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.244.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0"},
        },
    }
    row = cells(resources.NODES, node)
    assert (row["Status"], row["Roles"], row["Internal-IP"], row["OS-Image"]) == (
        "Ready,SchedulingDisabled",
        "control-plane",
        "10.244.0.1",
        "<unknown>",
    )


@pytest.mark.parametrize("resource", STORED, ids=lambda r: r.key)
def test_the_printer_of_every_kind_accepts_an_empty_object(resource: resources.Resource) -> None:
    assert tables.printer_for(resource) is not PLAIN
    assert "it" in cells(resource, {"metadata": {"name": "it"}, "spec": {}, "status": {}}).values()


def test_custom_columns() -> None:
    columns = [
        PrinterColumn("Hosts", "string", ".spec.hosts"),
        PrinterColumn("Port", "integer", ".spec.port"),
        PrinterColumn("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', priority=1),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
        PrinterColumn("Broken", "string", ".spec[["),
        PrinterColumn("Missing", "string", ".spec.none"),
    ]
    shown = resources.Resource("networking.istio.io", "v1", "virtualservices", "VirtualService")
    obj = {
        "metadata": {"name": "vs", "creationTimestamp": ago(60)},
        "spec": {"hosts": ["a", "b"], "port": 80},
        "status": {"conditions": [{"type": "Other", "status": "No"}, {"type": "Ready", "status": "True"}]},
    }
    made = tables.table(tables.printer_for(shown, columns), [obj], {}, now=NOW)
    assert [c["name"] for c in made["columnDefinitions"]] == ["Name", "Hosts", "Port", "Ready", "Age", "Missing"]
    assert made["rows"][0]["cells"] == ["vs", '["a","b"]', 80, "True", "60s", None]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("{.a.b}", [1]),
        ("$.a.b", [1]),
        (".a['b']", [1]),
        (".list[0].n", [1]),
        (".list[-1].n", [3]),
        (".list[1:].n", [2, 3]),
        (".list[*].n", [1, 2, 3]),
        (".list[?(@.n>1)].n", [2, 3]),
        (".list[?(@.even)].n", [2]),
        (".list[?(@.n=='x')].n", []),
        (r".a.x\.y/z", ["dotted"]),
        (".a.*", [1, "dotted"]),
        (".none.at.all", []),
        (".a.b.c", []),
    ],
)
def test_paths_find_the_values_they_name(path: str, found: list[Any]) -> None:
    obj = {"a": {"b": 1, "x.y/z": "dotted"}, "list": [{"n": 1}, {"n": 2, "even": True}, {"n": 3}]}
    assert jsonpath.compile_path(path).find(obj) == found


@given(st.text(max_size=30))
def test_any_text_is_compiled_as_a_path_or_refused(text: str) -> None:
    try:
        path = jsonpath.compile_path(text)
    except jsonpath.PathError:
        return
    assert isinstance(path.find({"a": [1, {"b": 2}]}), list)


def test_later_tables_of_a_watch_leave_the_columns_out() -> None:
    made = tables.table(tables.printer_for(resources.PODS), [pod()], {"resourceVersion": "7"}, headers=False)
    assert made["columnDefinitions"] == []
    assert made["metadata"] == {"resourceVersion": "7"}


def test_a_row_includes_as_much_of_its_object_as_requested() -> None:
    shown, obj = tables.printer_for(resources.PODS), pod()
    rows = {
        include: tables.table(shown, [obj], {}, include=include)["rows"][0]
        for include in ("None", "Metadata", "Object")
    }
    assert "object" not in rows["None"]
    assert rows["Metadata"]["object"]["kind"] == "PartialObjectMetadata"
    assert rows["Object"]["object"] == obj

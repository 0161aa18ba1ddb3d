"""The files of a virtual machine: made of a WorkloadEntry or a group, or read from istioctl's directory."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import machinefiles
from mesh_lab.errors import LabError

ENTRY: dict[str, Any] = {
    "kind": "WorkloadEntry",
    "metadata": {"name": "web", "namespace": "vm", "labels": {"app": "web", "version": "v2"}},
    "spec": {"address": "172.31.0.7", "serviceAccount": "account", "network": "n"},
}
GROUP: dict[str, Any] = {
    "kind": "WorkloadGroup",
    "metadata": {
        "name": "group",
        "namespace": "vm",
        "annotations": {"proxy.istio.io/config": "concurrency: 2\nproxyMetadata: {OWN: annotated}"},
    },
    "spec": {
        "metadata": {"labels": {"app": "web", "tier": "back"}},
        "template": {"labels": {"app": "own"}, "ports": {"http": 80, "tcp": 9000}},
        "probe": {"httpGet": {"port": 80}},
    },
}


def made(obj: dict[str, Any], mesh: str = "") -> tuple[dict[str, str], dict[str, Any]]:
    """The variables of cluster.env, and the proxy's configuration."""
    files = machinefiles.made(machinefiles.workload_of(obj), mesh, "ROOT", "TOKEN")
    assert (files["root-cert.pem"], files["istio-token"]) == ("ROOT", "TOKEN")
    assert files.keys() == machinefiles.PLACES.keys()
    variables = dict(line.split("=", 1) for line in shlex.split(files["cluster.env"]))
    return variables, json.loads(files["mesh.yaml"])["defaultConfig"]


def test_an_entry_is_one_machine() -> None:
    variables, config = made(ENTRY, "defaultConfig: {proxyMetadata: {SHARED: x}, discoveryAddress: 'istiod:1'}")
    assert variables["ISTIO_META_WORKLOAD_ENTRY"] == "web"
    assert "ISTIO_META_AUTO_REGISTER_GROUP" not in variables
    assert (variables["SERVICE_ACCOUNT"], variables["ISTIO_NAMESPACE"]) == ("account", "vm")
    assert (variables["ISTIO_INBOUND_PORTS"], variables["ISTIO_META_NETWORK"]) == ("*", "n")
    assert variables["SHARED"] == config["proxyMetadata"]["SHARED"] == "x"
    assert config["discoveryAddress"] == "istiod:1"
    assert json.loads(variables["ISTIO_METAJSON_LABELS"]) == {
        "app": "web",
        "version": "v2",
        "service.istio.io/canonical-name": "web",
        "service.istio.io/canonical-revision": "v2",
    }


def test_a_group_is_the_template_of_machines() -> None:
    variables, config = made(GROUP)
    assert variables["ISTIO_META_AUTO_REGISTER_GROUP"] == "group"
    assert variables["SERVICE_ACCOUNT"] == "default"
    assert variables["ISTIO_INBOUND_PORTS"] == "80,9000"
    labels = json.loads(variables["ISTIO_METAJSON_LABELS"])
    assert (labels["app"], labels["tier"]) == ("own", "back"), "the template's come before the metadata's"
    assert config["readinessProbe"] == {"httpGet": {"port": 80}}
    assert (config["concurrency"], variables["OWN"]) == (2, "annotated")


@pytest.mark.parametrize("mesh", ["defaultConfig: [", "- a"])
def test_settings_that_cannot_be_read_are_named(mesh: str) -> None:
    with pytest.raises(LabError, match="ConfigMap istio, key mesh: not"):
        made(ENTRY, mesh)


def test_the_files_of_a_directory_are_all_needed(tmp_path: Path) -> None:
    for name in machinefiles.PLACES:
        (tmp_path / name).write_text(f"text of {name}")
    assert machinefiles.read(tmp_path)["hosts"] == "text of hosts"
    (tmp_path / "istio-token").unlink()
    with pytest.raises(LabError, match="istio-token: No such file") as caught:
        machinefiles.read(tmp_path)
    assert "istioctl x workload entry configure" in caught.value.hint


def test_only_the_file_of_hosts_may_be_empty(tmp_path: Path) -> None:
    for name in machinefiles.PLACES:
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "hosts").write_text("")
    assert machinefiles.read(tmp_path)["hosts"] == ""
    (tmp_path / "cluster.env").write_text("\n")
    with pytest.raises(LabError, match=r"cluster\.env: empty"):
        machinefiles.read(tmp_path)


def test_a_cluster_env_states_namespace_and_address() -> None:
    files = {"cluster.env": "ISTIO_NAMESPACE='vm'\nISTIO_SVC_IP=172.31.0.9\n"}
    assert machinefiles.namespace_in(files) == ("vm", "172.31.0.9")
    assert machinefiles.namespace_in({"cluster.env": "A=b\n"}) == ("", "")

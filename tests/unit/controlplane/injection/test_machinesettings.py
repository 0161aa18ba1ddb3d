"""The proxy of a virtual machine, from the files that istioctl writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.client import machinefiles
from mesh_lab.controlplane.injection import machinesettings
from mesh_lab.controlplane.injection.machinesettings import MachineFileError, MachineProxy
from mesh_lab.controlplane.injection.redirection import Interception
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.xds import exchange
from mesh_lab.controlplane.xds.telemetry import PEER_VARIABLE
from tests.unit.controlplane.envoy import ENVOY

ADDRESS = "172.31.0.7"
LABELS = {"app": "ratings", "version": "v1"}
# What istioctl 1.30 wrote for a WorkloadGroup, with --autoregister.
CLUSTER_ENV = """\
CANONICAL_REVISION='v1'
CANONICAL_SERVICE='ratings'
ISTIO_INBOUND_PORTS='9080'
ISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021,15020'
ISTIO_METAJSON_LABELS='{"app":"ratings","version":"v1"}'
ISTIO_META_AUTO_REGISTER_GROUP='ratings-group'
ISTIO_META_CLUSTER_ID=''
ISTIO_META_DNS_CAPTURE='true'
ISTIO_META_NETWORK=''
ISTIO_META_POD_PORTS='[{"name":"http","containerPort":9080,"protocol":""}]'
ISTIO_META_WORKLOAD_NAME='ratings-group'
ISTIO_NAMESPACE='vm'
ISTIO_SERVICE='ratings-group.vm'
ISTIO_SERVICE_CIDR='*'
SERVICE_ACCOUNT='vm-account'
"""
MESH = """\
defaultConfig:
  concurrency: 3
  discoveryAddress: istiod-canary.istio-system.svc:15012
  proxyMetadata:
    POD_NAMESPACE: vm
    ISTIO_META_OWN: said
    ISTIO_META_NETWORK: ""
"""


def read(mesh: str = MESH, cluster_env: str = CLUSTER_ENV) -> MachineProxy:
    return machinesettings.read(mesh, cluster_env, "vm-1", ADDRESS)


def bootstrap_of(proxy: MachineProxy) -> dict[str, Any]:
    words = proxy.arguments
    found: dict[str, Any] = json.loads(words[words.index("--config-yaml") + 1])
    return found


def test_a_node_says_what_istioctl_wrote() -> None:
    node = bootstrap_of(read())["node"]
    assert node["id"] == f"sidecar~{ADDRESS}~vm-1.vm~vm.svc.cluster.local"
    assert node["cluster"] == "ratings.vm"
    expected = {
        "NAME": "vm-1",
        "NAMESPACE": "vm",
        "SERVICE_ACCOUNT": "vm-account",
        "WORKLOAD_NAME": "ratings-group",
        "AUTO_REGISTER_GROUP": "ratings-group",
        "LABELS": LABELS,
        "OWN": "said",
    }
    assert node["metadata"].items() >= expected.items()
    assert "NETWORK" not in node["metadata"], "what is empty is not said"


def test_its_environment_introduces_it_as_the_injector_introduces_a_pod() -> None:
    found = read().environment
    assert found[PEER_VARIABLE].startswith("ratings-group|vm|ratings|v1|")
    assert found[exchange.NODE_VARIABLE] == f"sidecar~{ADDRESS}~vm-1.vm~vm.svc.cluster.local"
    assert found[exchange.METADATA_VARIABLE] == exchange.metadata("vm", "ratings-group", LABELS)


def test_the_redirection_is_that_of_the_variables() -> None:
    assert read().interception == Interception(
        include_inbound=(9080,), exclude_inbound=(22, 15020, 15021, 15090), dns=True
    )
    other = "ISTIO_NAMESPACE=vm\nISTIO_SERVICE_CIDR=10.96.0.0/16 # the services' only\nISTIO_INBOUND_PORTS='*'\n"
    assert read("", other).interception == Interception(include_ranges=("10.96.0.0/16",))


def test_envoy_takes_it(tmp_path: Path) -> None:
    for name, text in (("tokens/istio-token", "token"), ("istio/root-cert.pem", Authority.create("x").roots.decode())):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    proxy = read()
    assert proxy.settings.concurrency == 3
    given = [word.replace("/var/run/secrets", str(tmp_path)) for word in proxy.arguments]
    checked = subprocess.run([ENVOY, "--mode", "validate", *given], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_control_plane_is_the_one_that_is_named() -> None:
    assert read().settings.control_plane == "istiod-canary.istio-system.svc"
    assert read("", CLUSTER_ENV).settings.control_plane == "istiod.istio-system.svc"
    named = read("", CLUSTER_ENV + "CA_ADDR=istiod-x.istio-system.svc:15013\n").settings
    assert (named.control_plane, named.control_plane_port) == ("istiod-x.istio-system.svc", 15013)


@pytest.mark.parametrize(
    ("mesh", "cluster_env", "words"),
    [
        ("defaultConfig: [", CLUSTER_ENV, "mesh.yaml: .*not YAML"),
        ("defaultConfig: {concurrency: many}", CLUSTER_ENV, "mesh.yaml: .*defaultConfig.concurrency"),
        ("", "A='b\n", "cluster.env, line 1: No closing quotation"),
        ("", "ISTIO_NAMESPACE=vm\nwhat is this\n", "cluster.env, line 2: 'what' is not NAME=VALUE"),
        ("", "A=b\n", "in which namespace"),
        ("", "ISTIO_NAMESPACE=vm\nISTIO_INBOUND_PORTS=http\n", "ISTIO_INBOUND_PORTS: 'http' is not a list of ports"),
        ("", "ISTIO_NAMESPACE=vm\nISTIO_METAJSON_LABELS={\n", "ISTIO_METAJSON_LABELS: not JSON"),
        ("", "ISTIO_NAMESPACE=vm\nISTIO_METAJSON_LABELS=[]\n", "ISTIO_METAJSON_LABELS: not an object"),
        ("", "ISTIO_NAMESPACE=vm\nISTIO_SVC_IP=10.0.0.1\n", f"ISTIO_SVC_IP is 10.0.0.1, .* address is {ADDRESS}"),
        ("", "ISTIO_NAMESPACE=vm\nCA_ADDR=nowhere\n", "'nowhere', where the control plane is, is not HOST:PORT"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(mesh: str, cluster_env: str, words: str) -> None:
    with pytest.raises(MachineFileError, match=words):
        read(mesh, cluster_env)


def test_the_labs_own_files_say_what_istioctls_say() -> None:
    group = {
        "kind": "WorkloadGroup",
        "metadata": {"name": "ratings-group", "namespace": "vm"},
        "spec": {
            "metadata": {"labels": LABELS},
            "template": {"serviceAccount": "vm-account", "ports": {"http": 9080}},
        },
    }
    made = machinefiles.made(machinefiles.workload_of(group), "defaultConfig: {concurrency: 3}", "ROOT", "TOKEN")
    ours = machinesettings.read(made["mesh.yaml"], made["cluster.env"], "vm-1", ADDRESS)
    theirs = read()
    assert ours.interception == theirs.interception
    said = {**ours.settings.metadata}
    canonical = {"service.istio.io/canonical-name": "ratings", "service.istio.io/canonical-revision": "v1"}
    assert said.pop("LABELS") == {**LABELS, **canonical}
    assert said.pop("CLUSTER_ID") == "Kubernetes"
    assert json.loads(said.pop("POD_PORTS")) == [{"name": "http", "containerPort": 9080}]
    assert said == {"AUTO_REGISTER_GROUP": "ratings-group", "DNS_CAPTURE": "true", "WORKLOAD_NAME": "ratings-group"}
    assert ours.settings.concurrency == 3

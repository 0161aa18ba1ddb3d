"""kind and docker as they speak: what kind v0.33.0 and docker 28 printed without a terminal."""

from __future__ import annotations

import json

from mesh_lab.clusters import holding
from mesh_lab.clusters.kind.cluster import Record
from mesh_lab.settings import Lab
from tests.unit.standins import StandIns, answer

NAME = "mesh-lab-lab"
NODE = f"{NAME}-control-plane"
NODES = "nodes"
RUNNING = f"{NAME}-control-plane\trunning\n"
STOPPED = f"{NAME}-control-plane\texited\n"
CREATED = [
    "using docker due to KIND_EXPERIMENTAL_PROVIDER\n",
    f'Creating cluster "{NAME}" ...\n',
    " • Ensuring node image (kindest/node:v1.35.0) 🖼️  ...\n",
    " ✓ Ensuring node image (kindest/node:v1.35.0) 🖼️\n",
    " • Preparing nodes 📦   ...\n",
    " ✓ Preparing nodes 📦 \n",
    " • Writing configuration 📜  ...\n",
    " ✓ Writing configuration 📜\n",
    " • Starting control-plane 🕹️  ...\n",
    " ✓ Starting control-plane 🕹️\n",
    " • Installing CNI 🔌  ...\n",
    " ✓ Installing CNI 🔌\n",
    " • Installing StorageClass 💾  ...\n",
    " ✓ Installing StorageClass 💾\n",
    " • Waiting ≤ 10m0s for control-plane = Ready ⏳  ...\n",
    " ✓ Waiting ≤ 10m0s for control-plane = Ready ⏳\n",
    " • Ready after 16s 💚\n",
    f'Set kubectl context to "kind-{NAME}"\n',
    "You can now use your cluster with:\n",
    "\n",
    f"kubectl cluster-info --context kind-{NAME} --kubeconfig kubeconfig\n",
]
CGROUP_V1 = (
    "cgroup v1 is deprecated in Kubernetes and will not be supported in a future kind release, "
    "please upgrade to cgroup v2\n"
)
PULL_FAILED = [
    CREATED[0],
    CGROUP_V1,
    *CREATED[1:3],
    " ✗ Ensuring node image (kindest/node:v1.35.0) 🖼️\n",
    (
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v1.35.0": '
        'command "docker pull kindest/node:v1.35.0" failed with error: exit status 1\n'
    ),
    (
        'Command Output: Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: '
        "lookup registry-1.docker.io on 192.0.2.53:53: no such host\n"
    ),
]
KUBEADM_FAILED = [
    *CREATED[:9],
    " ✗ Starting control-plane 🕹️\n",
    (
        'ERROR: failed to create cluster: failed to init node with kubeadm: command "docker exec --privileged '
        f'{NAME}-control-plane kubeadm init --config=/kind/kubeadm.conf --skip-token-print --v=6" '
        "failed with error: exit status 1\n"
    ),
    (
        "Command Output: I1122 21:16:26.967785     193 initconfiguration.go:260] "
        'loading configuration from "/kind/kubeadm.conf"\n'
    ),
    "[init] Using Kubernetes version: v1.35.0\n",
    "I1122 21:16:26.975548     193 certs.go:111] creating a new certificate authority for ca\n",
    '[certs] Generating "ca" certificate and key\n',
    ("[kubelet-check] Waiting for a healthy kubelet at http://127.0.0.1:10248/healthz. This can take up to 4m0s\n"),
    (
        "error: error execution phase wait-control-plane: failed while waiting for the kubelet to start: The HTTP call "
        "equal to 'curl -sSL http://127.0.0.1:10248/healthz' returned error: connect: connection refused\n"
    ),
    *(
        line
        for number in range(12)
        for line in (
            "k8s.io/kubernetes/cmd/kubeadm/app/cmd/phases/workflow.(*Runner).Run.func1\n",
            f"\t/src/k8s.io/kubernetes/cmd/kubeadm/app/cmd/phases/workflow/runner.go:{number}\n",
        )
    ),
    "[kubelet-check] The kubelet is not healthy after 4m0.000483624s\n",
    "Unfortunately, an error has occurred, likely caused by:\n",
    "\t- The kubelet is not running\n",
]
KUBELET_ERROR = (
    "failed to validate kubelet configuration, error: kubelet is configured to not run on a host using cgroup v1. "
    "cgroup v1 support is unsupported and will be removed in a future release"
)
KUBELET_JOURNAL = f"""Started kubelet.service - kubelet: The Kubernetes Node Agent.
E1122 21:22:37.693892     337 run.go:72] "command failed" err="{KUBELET_ERROR}"
kubelet.service: Main process exited, code=exited, status=1/FAILURE
kubelet.service: Failed with result 'exit-code'.
"""
DAEMON_AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
DENIED = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    'Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/info": dial unix /var/run/docker.sock: connect: permission denied'
)
DELETED = [f'Deleting cluster "{NAME}" ...\n', f'Deleted nodes: ["{NAME}-control-plane"]\n']
LOADED = f'Image: "mesh-lab/apps" with ID "sha256:1" not yet present on node "{NAME}-control-plane", loading...\n'
KUBECONFIG = "apiVersion: v1\nkind: Config\n"


def info(cores: int = 4, memory_mb: int = 8192, cgroups: str = "2", store: str = "") -> str:
    """The part of `docker info` that the lab reads."""
    known = {"NCPU": cores, "MemTotal": memory_mb * 2**20, "CgroupVersion": cgroups, "DockerRootDir": store}
    return json.dumps({**known, "OperatingSystem": "Debian GNU/Linux 12 (bookworm)"}) + "\n"


def healthy(tools: StandIns) -> None:
    """kind and docker of a machine where all is well and no cluster is there."""
    tools.add(
        "kind",
        answer("create", "cluster", err=CREATED, writes={NODES: RUNNING}),
        answer("delete", "cluster", err=[CREATED[0], *DELETED], removes=[NODES]),
        answer("get", "kubeconfig", out=KUBECONFIG, err=[CREATED[0]]),
        answer("load", "docker-image", err=[CREATED[0], LOADED]),
        answer("version", out="kind v0.31.0 go1.25.5 linux/amd64\n"),
    )
    tools.add(
        "docker",
        answer("info", out=info()),
        answer("ps", print_files=[NODES]),
        answer("start", writes={NODES: RUNNING}),
        answer("exec", f"{NAME}-control-plane", "journalctl", "--unit", "kubelet", out=KUBELET_JOURNAL),
        answer("image", "inspect", out="amd64\n"),
        answer("inspect", out=f"/{NAME}-control-plane\t2026-01-01T10:00:00.123456789Z\n"),
    )


def record(lab: Lab, phase: str = "ready") -> None:
    holding.prepare(lab.state_dir)
    ports = {"api": 1, "http": 2, "https": 3}
    holding.write(lab.state_dir, Record(name=NAME, provider="docker", phase=phase, ports=ports, started="2026-01-01"))


def verbs(tools: StandIns) -> list[str]:
    return [call[1] for call in tools.calls("kind") if call[1] != "version"]


def made(tools: StandIns) -> list[str]:
    """The first call of kind that makes something."""
    return next(call for call in tools.calls("kind") if call[1] != "version")


def quiet(_line: str) -> None:
    """Listen to nothing."""

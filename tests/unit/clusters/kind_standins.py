"""kind and docker as they speak: kind v0.31.0 without a terminal, docker 28."""

from __future__ import annotations

import json

from tests.unit.standins import StandIns, answer

NAME = "mesh-lab-lab"
NODES = "nodes"
RUNNING = f"{NAME}-control-plane\trunning\n"
STOPPED = f"{NAME}-control-plane\texited\n"
CREATED = [
    f'Creating cluster "{NAME}" ...\n',
    " • Ensuring node image (kindest/node:v1.35.0) 🖼  ...\n",
    " ✓ Ensuring node image (kindest/node:v1.35.0) 🖼\n",
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
]
PULL_FAILED = [
    *CREATED[:2],
    " ✗ Ensuring node image (kindest/node:v1.35.0) 🖼\n",
    (
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v1.35.0": '
        'command "docker pull kindest/node:v1.35.0" failed with error: exit status 1\n'
    ),
    'Command Output: Error response from daemon: Get "https://registry-1.docker.io/v2/": context deadline exceeded\n',
]
KUBEADM_FAILED = [
    *CREATED[:7],
    " ✗ Starting control-plane 🕹️\n",
    (
        'ERROR: failed to create cluster: failed to init node with kubeadm: command "docker exec --privileged '
        f'{NAME}-control-plane kubeadm init --config=/kind/kubeadm.conf" failed with error: exit status 1\n'
    ),
]
DAEMON_AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
DENIED = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    'Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/info": dial unix /var/run/docker.sock: connect: permission denied'
)
KUBECONFIG = "apiVersion: v1\nkind: Config\n"


def info(cores: int = 4, memory_mb: int = 8192) -> str:
    """The part of `docker info` that the lab reads."""
    return json.dumps({"NCPU": cores, "MemTotal": memory_mb * 2**20, "OperatingSystem": "Debian GNU/Linux 12"}) + "\n"


def healthy(tools: StandIns) -> None:
    """kind and docker of a machine where all is well and no cluster is there."""
    tools.add(
        "kind",
        answer("create", "cluster", err=CREATED, writes={NODES: RUNNING}),
        answer("delete", "cluster", err=[f'Deleting cluster "{NAME}" ...\n', "Deleted nodes\n"], removes=[NODES]),
        answer("get", "kubeconfig", out=KUBECONFIG),
        answer("load", "docker-image", err=['Image: "mesh-lab/apps" with ID "sha256:1" not yet present, loading...\n']),
    )
    tools.add(
        "docker",
        answer("info", out=info()),
        answer("ps", print_files=[NODES]),
        answer("start", writes={NODES: RUNNING}),
        answer("image", "inspect", out="sha256:1\n"),
    )

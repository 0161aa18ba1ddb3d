"""Why kind could not make a cluster, in a few lines.

kind prints all that kubeadm has logged and the stacks of its errors. Why kubeadm's wait timed out stands in the
kubelet's journal, which is gone with its node.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mesh_lab.clusters.kind.provider import Node, Provider
from mesh_lab.errors import LabError

_SHOWN_LINES = 20
_FRAME = "\t/"
_NOISE = re.compile(r"(Command Output: )?[IWEF]\d{4} \d\d:|\[(?!kubelet-check)[a-z-]+\] ")
_KLOG_ERROR = re.compile(r"[EF]\d{4} [^\]]*\] (.*)")
_CGROUP_V1 = "Boot with systemd.unified_cgroup_hierarchy=1, or set a node_image of Kubernetes 1.34 under [kind]."
_NO_NODE_IMAGE = (
    "Docker or Podman itself pulls the node image: try `docker pull` by hand; a mirror for it is a setting of theirs "
    "([kind.registry_mirrors] is for the nodes). node_image under [kind] in lab.toml names another."
)
_ADVICE = (
    (
        "failed to pull image",
        _NO_NODE_IMAGE,
    ),
    ("too many open files", "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"),
    (
        "no space left on device",
        "The disk is full: `docker system df` tells of what, `docker system prune` frees some.",
    ),
    ("not run on a host using cgroup v1", _CGROUP_V1),
    ("requires cgroup v2", "Rootless containers need cgroup v2: https://kind.sigs.k8s.io/docs/user/rootless/"),
    ("Delegate=yes", "Rootless containers need delegated controllers: https://kind.sigs.k8s.io/docs/user/rootless/"),
    ("address already in use", "A port was taken in the meantime: try again, or choose others under [ports]."),
    ("failed to init node with kubeadm", "Often too little memory or a too old kernel: `mesh-lab doctor`."),
)


def reason(output: str) -> list[str]:
    """Return the error of kind and what kubeadm says of it, without logs, phases and stacks; empty without an error."""
    lines = output.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("ERROR:")), len(lines))
    kept: list[str] = []
    for line in lines[first:]:
        if line.startswith(_FRAME):
            del kept[-1:]
        elif not _NOISE.match(line):
            kept.append(line)
    return kept[:_SHOWN_LINES]


def kubelets(provider: Provider, nodes: Sequence[Node]) -> list[str]:
    """The last error of each running node's kubelet, where its journal can be read and has one."""
    errors_found = []
    for node in nodes:
        try:
            journal = provider.journal(node.name, "kubelet") if node.state == "running" else ""
        except LabError:
            continue
        if errors := [found[1] for line in journal.splitlines() if (found := _KLOG_ERROR.match(line))]:
            errors_found.append(f"the kubelet of {node.name}: {errors[-1]}")
    return errors_found


def advice(output: str) -> list[str]:
    """The advice for each known message in the output."""
    return [meaning for sign, meaning in _ADVICE if sign.lower() in output.lower()]

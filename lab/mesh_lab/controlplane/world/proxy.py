"""A proxy as translation knows it: which pod it is part of, and whether it is a sidecar or a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mesh_lab.controlplane.world.kubernetes import Origin, Pod
from mesh_lab.istioversion import ISTIO_VERSION

"""The version of Istio that proxies say they are of: resources may be for some versions only."""

ProxyKind = Literal["sidecar", "router"]


@dataclass(frozen=True, eq=False)
class Proxy:
    """One Envoy. Compared by identity: make one when it connects, and another when its pod's view has changed.

    `machine` is the workload that it is part of, where that is no pod.
    """

    id: str
    kind: ProxyKind
    namespace: str
    pod: str
    ip: str
    labels: Mapping[str, str]
    service_account: str
    workload: str = ""
    trust_domain: str = "cluster.local"
    more_statistics: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    machine: Pod | None = None

    @property
    def principal(self) -> str:
        """Its SPIFFE identity."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    @classmethod
    def of(
        cls,
        pod: Pod,
        kind: ProxyKind = "sidecar",
        *,
        node_id: str = "",
        trust_domain: str = "cluster.local",
        metadata: Mapping[str, str] | None = None,
    ) -> Proxy:
        """The proxy of a pod. `node_id` is the id that it sends, Istio's form when empty; so is `metadata`."""
        return cls(
            node_id or f"{kind}~{pod.ip}~{pod.name}.{pod.namespace}~{pod.namespace}.svc.cluster.local",
            kind,
            pod.namespace,
            pod.name,
            pod.ip,
            pod.labels,
            pod.service_account,
            pod.workload,
            trust_domain,
            pod.more_statistics,
            metadata or {"NAME": pod.name, "NAMESPACE": pod.namespace, "ISTIO_VERSION": ISTIO_VERSION},
        )

    @property
    def as_connected(self) -> Pod:
        """The pod as it was when the proxy connected, for while it is not known, yet or any more."""
        return Pod(
            Origin("Pod", self.namespace, self.pod),
            self.namespace,
            self.pod,
            self.ip,
            self.labels,
            self.service_account,
            self.workload,
            self.kind == "sidecar",
            "",
            {},
        )

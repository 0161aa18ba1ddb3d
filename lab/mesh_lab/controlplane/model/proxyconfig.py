"""ProxyConfig: how the proxies of some pods are started.

https://istio.io/latest/docs/reference/config/networking/proxy-config/
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mesh_lab.controlplane.model.base import Spec, Weight, WorkloadSelector


class ProxyImage(Spec, frozen=True):
    """Which of Istio's images a proxy runs, such as `distroless`."""

    image_type: str = ""


class ProxyConfig(Spec, frozen=True):
    """What a proxy reads when it starts: for some pods, for a namespace, or (in the root namespace) for all."""

    selector: WorkloadSelector | None = None
    concurrency: Weight | None = None
    environment_variables: dict[str, Annotated[str, Meta(max_length=2048)]] = {}
    image: ProxyImage | None = None

"""Rules for ProxyConfig."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.validation.common import Problem, workload_selector


def proxy_config(spec: ProxyConfig) -> Iterator[Problem]:
    """Problems of a ProxyConfig."""
    yield from workload_selector(spec.selector)

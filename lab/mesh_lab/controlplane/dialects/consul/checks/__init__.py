"""What consul-k8s' webhook and Consul's servers refuse, and what the lab does not carry out, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mesh_lab.controlplane.dialects.consul.checks.defaults import proxy_defaults, service_defaults
from mesh_lab.controlplane.dialects.consul.checks.intentions import service_intentions
from mesh_lab.controlplane.dialects.consul.checks.resolver import service_resolver
from mesh_lab.controlplane.dialects.consul.checks.router import service_router
from mesh_lab.controlplane.dialects.consul.checks.splitter import service_splitter
from mesh_lab.controlplane.dialects.consul.kinds import (
    ProxyDefaults,
    ServiceDefaults,
    ServiceIntentions,
    ServiceResolver,
    ServiceRouter,
    ServiceSplitter,
)
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem, error

_CHECKS: Mapping[type[Spec], Callable[[Any], Iterator[Problem]]] = {
    ServiceDefaults: service_defaults,
    ProxyDefaults: proxy_defaults,
    ServiceResolver: service_resolver,
    ServiceSplitter: service_splitter,
    ServiceRouter: service_router,
    ServiceIntentions: service_intentions,
}
_GLOBAL = "global"


# Each reading needs it again, for specs that are mostly those of the one before.
@lru_cache(maxsize=1024)
def problems(name: str, spec: Spec) -> tuple[Problem, ...]:
    """All problems of an object of that name, in the order of its fields."""
    found = [*bounds(spec), *_CHECKS[type(spec)](spec)]
    if isinstance(spec, ProxyDefaults) and name != _GLOBAL:
        found.insert(0, error("metadata.name", f'proxydefaults resource name must be "{_GLOBAL}", not "{name}"'))
    return tuple(found)

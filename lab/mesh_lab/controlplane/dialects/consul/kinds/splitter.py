"""ServiceSplitter: shares of a service's requests, each to a subset or another service.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-splitter
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mesh_lab.controlplane.dialects.consul.kinds.common import HTTPHeaderModifiers
from mesh_lab.controlplane.model.base import Spec


class ServiceSplit(Spec, frozen=True):
    """A share; `weight` is a percentage, in steps of 0.01."""

    weight: Annotated[float, Meta(ge=0, le=100)] = 0
    service: str = ""
    service_subset: str = ""
    namespace: str = ""
    partition: str = ""
    request_headers: HTTPHeaderModifiers | None = None
    response_headers: HTTPHeaderModifiers | None = None


class ServiceSplitter(Spec, frozen=True):
    """All shares; they add up to 100."""

    splits: list[ServiceSplit] = []

"""Consul's config entries as types, from which their definitions (CRDs) are generated."""

from __future__ import annotations

from mesh_lab.controlplane.dialects.consul.kinds.defaults import ProxyDefaults, ServiceDefaults
from mesh_lab.controlplane.dialects.consul.kinds.intentions import ServiceIntentions
from mesh_lab.controlplane.dialects.consul.kinds.resolver import ServiceResolver
from mesh_lab.controlplane.dialects.consul.kinds.router import ServiceRouter
from mesh_lab.controlplane.dialects.consul.kinds.splitter import ServiceSplitter

__all__ = [
    "ProxyDefaults",
    "ServiceDefaults",
    "ServiceIntentions",
    "ServiceResolver",
    "ServiceRouter",
    "ServiceSplitter",
]

"""Istio's resources as types. Their CRDs are generated from these types, so neither can drift from the other."""

from __future__ import annotations

from mesh_lab.controlplane.model.decoding import DecodeError
from mesh_lab.controlplane.model.destinationrule import DestinationRule
from mesh_lab.controlplane.model.envoyfilter import EnvoyFilter
from mesh_lab.controlplane.model.extensions import TrafficExtension
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.serviceentry import ServiceEntry
from mesh_lab.controlplane.model.sidecar import Sidecar
from mesh_lab.controlplane.model.virtualservice import VirtualService
from mesh_lab.controlplane.model.workloads import WorkloadEntry, WorkloadGroup

__all__ = [
    "AuthorizationPolicy",
    "DecodeError",
    "DestinationRule",
    "EnvoyFilter",
    "Gateway",
    "PeerAuthentication",
    "ServiceEntry",
    "Sidecar",
    "TrafficExtension",
    "VirtualService",
    "WorkloadEntry",
    "WorkloadGroup",
]

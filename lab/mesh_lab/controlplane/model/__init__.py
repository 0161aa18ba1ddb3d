"""Istio's resources as types. Their CRDs are generated from these types, so neither can drift from the other."""

from __future__ import annotations

from mesh_lab.controlplane.model.destinationrule import DestinationRule
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.kinds import KINDS, DecodeError, Kind, decode
from mesh_lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.sidecar import Sidecar
from mesh_lab.controlplane.model.virtualservice import VirtualService

__all__ = [
    "KINDS",
    "AuthorizationPolicy",
    "DecodeError",
    "DestinationRule",
    "Gateway",
    "Kind",
    "PeerAuthentication",
    "Sidecar",
    "VirtualService",
    "decode",
]

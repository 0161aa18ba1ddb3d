"""Istio's resources as types. Their CRDs are generated from these types, so neither can drift from the other."""

from __future__ import annotations

from lab.controlplane.model.destinationrule import DestinationRule
from lab.controlplane.model.gateway import Gateway
from lab.controlplane.model.kinds import KINDS, DecodeError, Kind, decode
from lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from lab.controlplane.model.sidecar import Sidecar
from lab.controlplane.model.virtualservice import VirtualService

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

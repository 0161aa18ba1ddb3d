"""The types of the Gateway API's kinds (version 1.6), one module for those that belong together.

The published definitions check and default what is stored, so these only read: they know every field of both channels,
and say no to one that a later version may add, since what is not understood must not be passed over.
https://gateway-api.sigs.k8s.io/reference/spec/
"""

from mesh_lab.controlplane.model.gatewayapi.common import (
    BackendObjectReference,
    BackendRef,
    ObjectReference,
    ParentReference,
    RouteSpec,
    SecretReference,
)
from mesh_lab.controlplane.model.gatewayapi.connectionroutes import TCPRoute, TLSRoute, UDPRoute
from mesh_lab.controlplane.model.gatewayapi.gateway import Gateway, GatewayClass, Listener, ListenerSet
from mesh_lab.controlplane.model.gatewayapi.grpcroute import GRPCRoute
from mesh_lab.controlplane.model.gatewayapi.httproute import HTTPRoute
from mesh_lab.controlplane.model.gatewayapi.policies import BackendTLSPolicy, ReferenceGrant, XBackendTrafficPolicy

__all__ = [
    "BackendObjectReference",
    "BackendRef",
    "BackendTLSPolicy",
    "GRPCRoute",
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "Listener",
    "ListenerSet",
    "ObjectReference",
    "ParentReference",
    "ReferenceGrant",
    "RouteSpec",
    "SecretReference",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
    "XBackendTrafficPolicy",
]

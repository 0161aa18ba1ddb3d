"""The types of Envoy's resources, each by the name of its discovery service."""

from __future__ import annotations

PREFIX = "type.googleapis.com/"
CDS = PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = PREFIX + "envoy.config.listener.v3.Listener"
RDS = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SDS = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
ECDS = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
HEALTH = PREFIX + "istio.v1.HealthInformation"
"""What a machine reports to istiod: without an error it is healthy, else that says why not."""
TYPES = (CDS, EDS, LDS, ECDS, RDS, SDS)

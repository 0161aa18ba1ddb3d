"""What the lab says that it supports (`GatewayClass.status.supportedFeatures`), as the conformance suite calls it.

A feature stands here when its tests of the suite have been seen to pass: docs/gateway-api.md says which run that was.
"""

from __future__ import annotations

NEWEST = "v1.6"
VERSIONS = ("v1.4.", "v1.5.", "v1.6.")
"""The versions of the definitions whose fields are all known."""

SUPPORTED = frozenset({"Gateway", "HTTPRoute", "ReferenceGrant"})

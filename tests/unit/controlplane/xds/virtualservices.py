"""Short ways to a VirtualService of reviews, and to the route that becomes of it."""

from __future__ import annotations

from typing import Any

from tests.unit.controlplane.cluster import Cluster, config
from tests.unit.controlplane.xds.translated import routes_to


def to(host: str = "reviews", subset: str = "", **more: Any) -> dict[str, Any]:
    """A destination of a route."""
    return {"destination": {"host": host, **({"subset": subset} if subset else {})}, **more}


def reviews(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A VirtualService of reviews."""
    return config("VirtualService", "reviews", {"hosts": ["reviews"], "http": list(rules), **spec})


def only(cluster: Cluster) -> Any:
    """The one route of reviews."""
    (route,) = routes_to(cluster)
    return route

"""What tests of a mesh are written with: the public names, which stay the same when modules move.

The fixtures `mesh`, `mesh_shared`, `mesh_in`, `mesh_api`, `mesh_namespace` and `mesh_namespaces` come from the pytest
plugin without an import: `pytest --help` has its options, `pytest --fixtures` its fixtures and what a project's
`conftest.py` may redefine.
"""

from __future__ import annotations

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.kubectl import CommandFailed
from mesh_lab.client.objects import Items, Object, Reference, reference
from mesh_lab.harness.assertions import (
    assert_all,
    assert_ejected,
    assert_identity,
    assert_lasted,
    assert_latency,
    assert_no_errors,
    assert_overflow,
    assert_random_baseline,
    assert_split,
)
from mesh_lab.harness.builders import (
    authorization_policy,
    destination_rule,
    gateway,
    peer_authentication,
    route,
    service,
    sidecar,
    tcp_virtual_service,
    to,
    virtual_service,
)
from mesh_lab.harness.commands import Capture
from mesh_lab.harness.convergence import eventually
from mesh_lab.harness.mesh import ConfigurationRejected, Mesh
from mesh_lab.harness.namespaces import Namespaces
from mesh_lab.harness.proxies import Proxy, total
from mesh_lab.harness.rendering import chart as helm_chart
from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.sequential import Rates
from mesh_lab.harness.splits import assert_route_splits
from mesh_lab.harness.traffic import EchoControl, Sending, TrafficClient
from mesh_lab.harness.versions import VersionFrom, VersionOf, by_header, by_json

__all__ = [
    "Api",
    "ApiError",
    "Capture",
    "ClusterUnreachable",
    "CommandFailed",
    "ConfigurationRejected",
    "EchoControl",
    "Items",
    "Mesh",
    "Namespaces",
    "Object",
    "Proxy",
    "Rates",
    "Reference",
    "Result",
    "Results",
    "Sending",
    "TrafficClient",
    "VersionFrom",
    "VersionOf",
    "assert_all",
    "assert_ejected",
    "assert_identity",
    "assert_lasted",
    "assert_latency",
    "assert_no_errors",
    "assert_overflow",
    "assert_random_baseline",
    "assert_route_splits",
    "assert_split",
    "authorization_policy",
    "by_header",
    "by_json",
    "destination_rule",
    "eventually",
    "gateway",
    "helm_chart",
    "peer_authentication",
    "reference",
    "route",
    "service",
    "sidecar",
    "tcp_virtual_service",
    "to",
    "total",
    "virtual_service",
]

"""What tests of a mesh are written with: the public names, which stay the same when modules move.

The fixtures `mesh`, `chaos`, `mesh_shared`, `mesh_in`, `mesh_api`, `mesh_namespace` and `mesh_namespaces` come from
the pytest plugin without an import: `pytest --help` has its options, `pytest --fixtures` its fixtures and what a
project's `conftest.py` may redefine.
"""

from __future__ import annotations

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.client.kubectl import CommandFailed
from mesh_lab.client.objects import Items, Object, Reference, reference
from mesh_lab.conformance.numbers import Numbers
from mesh_lab.harness.agreement import Counted, assert_metrics_agree, assert_none_lost
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
from mesh_lab.harness.balancing import (
    assert_least_request,
    assert_locality,
    assert_returned,
    assert_round_robin,
    assert_sticky,
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
from mesh_lab.harness.chaos.bounds import ChaosBounds, ChaosError, ChaosUnsupported
from mesh_lab.harness.chaos.chaos import Chaos
from mesh_lab.harness.chaos.network import NetworkFault
from mesh_lab.harness.commands import Capture
from mesh_lab.harness.convergence import eventually
from mesh_lab.harness.exchanges import (
    CORS_HEADERS,
    Seen,
    assert_cors,
    assert_mirrored,
    assert_redirected,
    assert_request_headers,
    assert_response_headers,
    assert_rewritten,
)
from mesh_lab.harness.mesh import ConfigurationRejected, Mesh
from mesh_lab.harness.namespaces import Namespaces
from mesh_lab.harness.proxies import Proxy, total
from mesh_lab.harness.recording import pod_of
from mesh_lab.harness.records import Record
from mesh_lab.harness.rendering import chart as helm_chart
from mesh_lab.harness.resilience import (
    assert_aborted,
    assert_backed_off,
    assert_circuit_closed,
    assert_delayed,
    assert_not_retried,
    assert_retried,
    assert_retries_bounded,
    assert_timed_out,
)
from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.security import (
    BY_NO_RULE,
    assert_allowed,
    assert_denied,
    assert_mutual_tls,
    assert_plaintext_refused,
    assert_tls,
    assert_unauthenticated,
)
from mesh_lab.harness.sequential import Rates
from mesh_lab.harness.splits import assert_route_splits
from mesh_lab.harness.traffic import EchoControl, Sending, TrafficClient
from mesh_lab.harness.versions import VersionFrom, VersionOf, by_header, by_json
from mesh_lab.rollout.running import Outcome
from mesh_lab.rollout.testing import RunRollout, assert_promoted, assert_rolled_back, run_rollout

__all__ = [
    "BY_NO_RULE",
    "CORS_HEADERS",
    "Api",
    "ApiError",
    "Capture",
    "Chaos",
    "ChaosBounds",
    "ChaosError",
    "ChaosUnsupported",
    "ClusterUnreachable",
    "CommandFailed",
    "ConfigurationRejected",
    "Counted",
    "EchoControl",
    "Items",
    "Mesh",
    "Namespaces",
    "NetworkFault",
    "Numbers",
    "Object",
    "Outcome",
    "Proxy",
    "Rates",
    "Record",
    "Reference",
    "Result",
    "Results",
    "RunRollout",
    "Seen",
    "Sending",
    "TrafficClient",
    "VersionFrom",
    "VersionOf",
    "assert_aborted",
    "assert_all",
    "assert_allowed",
    "assert_backed_off",
    "assert_circuit_closed",
    "assert_cors",
    "assert_delayed",
    "assert_denied",
    "assert_ejected",
    "assert_identity",
    "assert_lasted",
    "assert_latency",
    "assert_least_request",
    "assert_locality",
    "assert_metrics_agree",
    "assert_mirrored",
    "assert_mutual_tls",
    "assert_no_errors",
    "assert_none_lost",
    "assert_not_retried",
    "assert_overflow",
    "assert_plaintext_refused",
    "assert_promoted",
    "assert_random_baseline",
    "assert_redirected",
    "assert_request_headers",
    "assert_response_headers",
    "assert_retried",
    "assert_retries_bounded",
    "assert_returned",
    "assert_rewritten",
    "assert_rolled_back",
    "assert_round_robin",
    "assert_route_splits",
    "assert_split",
    "assert_sticky",
    "assert_timed_out",
    "assert_tls",
    "assert_unauthenticated",
    "authorization_policy",
    "by_header",
    "by_json",
    "destination_rule",
    "eventually",
    "gateway",
    "helm_chart",
    "peer_authentication",
    "pod_of",
    "reference",
    "route",
    "run_rollout",
    "service",
    "sidecar",
    "tcp_virtual_service",
    "to",
    "total",
    "virtual_service",
]

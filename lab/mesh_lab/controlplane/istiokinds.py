"""Istio's kinds in one table: types, rules, columns, and what holds of a resource in error.

A kind is its plain facts in `meshkinds`, a line here, its types in `model` and, where it has rules of its own, a
function in `validation`. Its CRD follows from this table (`crds`), and so does that it is followed, kept in snapshots
and checked by admission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.model.destinationrule import DestinationRule
from mesh_lab.controlplane.model.envoyfilter import EnvoyFilter
from mesh_lab.controlplane.model.extensions import TrafficExtension, WasmPlugin
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.serviceentry import ServiceEntry
from mesh_lab.controlplane.model.sidecar import Sidecar
from mesh_lab.controlplane.model.telemetry import Telemetry
from mesh_lab.controlplane.model.virtualservice import VirtualService
from mesh_lab.controlplane.model.workloads import WorkloadEntry, WorkloadGroup
from mesh_lab.controlplane.validation import (
    edge,
    envoyfilter,
    extensions,
    failclosed,
    policies,
    proxyconfig,
    requestauthentication,
    routing,
    security,
    serviceentry,
    sidecars,
    standins,
    telemetry,
    workloads,
)
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem, warning
from mesh_lab.controlplane.validation.failclosed import Closed, FailClosed
from mesh_lab.controlplane.validation.pending import not_carried_out
from mesh_lab.controlplane.validation.standins import StandIn
from mesh_lab.meshkinds import ISTIO, MeshKind


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    json_path: str
    type: str = "string"
    description: str = ""
    format: str = ""


AGE = Column("Age", ".metadata.creationTimestamp", "date", "Time since the object was created.")


@dataclass(frozen=True)
class Kind:
    """One kind: its type, and what the control plane adds to the plain facts of `meshkinds`.

    `check` yields the problems of a spec. Of a spec in error holds what `fail_closed` (a policy) or `stand_in` makes of
    the JSON. `columns` are those of Istio's own definitions. A kind that is not `acted_on` is checked and stored, and
    each object says that it has no effect.
    """

    spec: type[Spec]
    check: Callable[[Any], Iterator[Problem]] | None = None
    stand_in: Callable[[Mapping[str, Any]], StandIn] | None = None
    fail_closed: FailClosed | None = None
    columns: tuple[Column, ...] = (AGE,)

    @property
    def name(self) -> str:
        """As in `kind: VirtualService`."""
        return self.spec.__name__

    @cached_property
    def facts(self) -> MeshKind:
        """Its names and versions."""
        return next(kind for kind in ISTIO if kind.name == self.name)

    @property
    def group(self) -> str:
        """The API group."""
        return self.facts.group

    @property
    def plural(self) -> str:
        """As in the path of a request."""
        return self.facts.plural

    @property
    def short(self) -> tuple[str, ...]:
        """The short names for kubectl."""
        return self.facts.short

    @property
    def versions(self) -> tuple[str, ...]:
        """The served versions; the first is stored."""
        return self.facts.versions

    @property
    def acted_on(self) -> bool:
        """Whether it has an effect."""
        return self.facts.acted_on


_TABLE = (
    Kind(
        VirtualService,
        routing.virtual_service,
        standins.virtual_service,
        columns=(
            Column("Gateways", ".spec.gateways", description="The gateways and sidecars that apply these routes."),
            Column("Hosts", ".spec.hosts", description="The hosts whose requests are routed."),
            AGE,
        ),
    ),
    Kind(
        DestinationRule,
        policies.destination_rule,
        standins.destination_rule,
        columns=(Column("Host", ".spec.host", description="The service that the rule is about."), AGE),
    ),
    Kind(Gateway, edge.gateway, standins.gateway),
    Kind(Sidecar, sidecars.sidecar, standins.sidecar),
    Kind(
        PeerAuthentication,
        security.peer_authentication,
        fail_closed=failclosed.PEER_AUTHENTICATION,
        columns=(Column("Mode", ".spec.mtls.mode", description="Whether mutual TLS is required."), AGE),
    ),
    Kind(
        AuthorizationPolicy,
        security.authorization_policy,
        fail_closed=failclosed.AUTHORIZATION_POLICY,
        columns=(Column("Action", ".spec.action", description="What happens to what matches."), AGE),
    ),
    Kind(ProxyConfig, proxyconfig.proxy_config),
    Kind(
        RequestAuthentication,
        requestauthentication.request_authentication,
        fail_closed=failclosed.REQUEST_AUTHENTICATION,
    ),
    Kind(Telemetry, telemetry.telemetry),
    Kind(WasmPlugin, extensions.wasm_plugin),
    Kind(TrafficExtension, extensions.traffic_extension, standins.traffic_extension),
    Kind(
        ServiceEntry,
        serviceentry.service_entry,
        standins.service_entry,
        columns=(
            Column("Hosts", ".spec.hosts", description="The hosts of the service."),
            Column("Location", ".spec.location", description="Whether the service is within the mesh or outside it."),
            Column("Resolution", ".spec.resolution", description="How the hosts' addresses are found."),
            AGE,
        ),
    ),
    Kind(
        WorkloadEntry,
        workloads.workload_entry,
        standins.workload_entry,
        columns=(AGE, Column("Address", ".spec.address", description="Where the workload is.")),
    ),
    Kind(WorkloadGroup, workloads.workload_group),
    Kind(EnvoyFilter, envoyfilter.envoy_filter),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _TABLE}
"""The kinds that the control plane reads, by name."""


def decode(kind: str, spec: Mapping[str, Any] | None) -> Spec:
    """The typed spec of a resource of that kind.

    Raises:
        DecodeError: it does not fit the type.
    """
    return decode_as(KINDS[kind].spec, spec)


def fail_closed(kind: str, spec: Any) -> Closed | None:
    """What holds of a spec in error, as JSON; None of a kind that restricts nothing."""
    closing = KINDS[kind].fail_closed
    return closing.of_json(spec) if closing is not None else None


def closed(spec: Spec) -> Spec | None:
    """What holds of a policy that cannot be carried out, for the same workloads; None of one that grants no access."""
    closing = KINDS[type(spec).__name__].fail_closed
    return closing.of_spec(spec) if closing is not None else None


def unread(kind: str) -> Spec | None:
    """What holds of a policy of which nothing could be read: for all workloads that it might select."""
    closing = KINDS[kind].fail_closed
    return closing.unread if closing is not None else None


def stand_in(kind: str, spec: Any) -> StandIn | None:
    """What holds in place of a spec in error; None of a kind without a stand-in."""
    make = KINDS[kind].stand_in
    return make(spec if isinstance(spec, Mapping) else {}) if make is not None else None


# The analysis needs it again with each snapshot, for specs that are mostly those of the one before.
@lru_cache(maxsize=1024)
def validate(spec: Spec) -> tuple[Problem, ...]:
    """All problems of a spec, in the order of its fields."""
    return tuple(_problems(spec))


def _problems(spec: Spec) -> Iterator[Problem]:
    kind = KINDS[type(spec).__name__]
    yield from bounds(spec)
    if kind.check is not None:
        yield from kind.check(spec)
    yield from not_carried_out(spec)
    if not kind.acted_on:
        yield warning("spec", f"{kind.plural}.{kind.group} have no effect in this lab")

"""Istio's kinds in one table: types, names, rules, and what holds of a resource in error.

A kind is a line here, its types in `model` and, where it has rules of its own, a function in `validation`. Its CRD
follows from this table (`crds`), and so does that it is followed, kept in snapshots and checked by admission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.model.destinationrule import DestinationRule
from mesh_lab.controlplane.model.envoyfilter import EnvoyFilter
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.serviceentry import ServiceEntry
from mesh_lab.controlplane.model.sidecar import Sidecar
from mesh_lab.controlplane.model.virtualservice import VirtualService
from mesh_lab.controlplane.model.workloads import WorkloadEntry, WorkloadGroup
from mesh_lab.controlplane.validation import (
    edge,
    envoyfilter,
    failclosed,
    policies,
    proxyconfig,
    routing,
    security,
    serviceentry,
    sidecars,
    standins,
    workloads,
)
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem, warning
from mesh_lab.controlplane.validation.failclosed import Closed
from mesh_lab.controlplane.validation.pending import not_carried_out
from mesh_lab.controlplane.validation.standins import StandIn

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"


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
    """One kind: its type, its names, and its columns, which are those of Istio's own definitions.

    `check` yields the problems of a spec. Of a spec in error holds what `fail_closed` (a policy) or `stand_in` makes of
    the JSON. A kind that is not `acted_on` is checked and stored, and each object says that it has no effect.
    """

    spec: type[Spec]
    group: str
    plural: str
    short: tuple[str, ...] = ()
    columns: tuple[Column, ...] = (AGE,)
    versions: tuple[str, ...] = ("v1", "v1beta1")
    check: Callable[[Any], Iterator[Problem]] | None = None
    fail_closed: Callable[[Any], Closed] | None = None
    stand_in: Callable[[Mapping[str, Any]], StandIn] | None = None
    acted_on: bool = True

    @property
    def name(self) -> str:
        """As in `kind: VirtualService`."""
        return self.spec.__name__


_NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")
_TABLE = (
    Kind(
        VirtualService,
        NETWORKING,
        "virtualservices",
        ("vs",),
        (
            Column("Gateways", ".spec.gateways", description="The gateways and sidecars that apply these routes."),
            Column("Hosts", ".spec.hosts", description="The hosts whose requests are routed."),
            AGE,
        ),
        _NETWORKING_VERSIONS,
        check=routing.virtual_service,
        stand_in=standins.virtual_service,
    ),
    Kind(
        DestinationRule,
        NETWORKING,
        "destinationrules",
        ("dr",),
        (Column("Host", ".spec.host", description="The service that the rule is about."), AGE),
        _NETWORKING_VERSIONS,
        check=policies.destination_rule,
        stand_in=standins.destination_rule,
    ),
    Kind(
        Gateway,
        NETWORKING,
        "gateways",
        ("gw",),
        versions=_NETWORKING_VERSIONS,
        check=edge.gateway,
        stand_in=standins.gateway,
    ),
    Kind(
        Sidecar,
        NETWORKING,
        "sidecars",
        versions=_NETWORKING_VERSIONS,
        check=sidecars.sidecar,
        stand_in=standins.sidecar,
    ),
    Kind(
        PeerAuthentication,
        SECURITY,
        "peerauthentications",
        ("pa",),
        (Column("Mode", ".spec.mtls.mode", description="Whether mutual TLS is required."), AGE),
        check=security.peer_authentication,
        fail_closed=failclosed.peer_authentication,
    ),
    Kind(
        AuthorizationPolicy,
        SECURITY,
        "authorizationpolicies",
        ("ap",),
        (Column("Action", ".spec.action", description="What happens to what matches."), AGE),
        check=security.authorization_policy,
        fail_closed=failclosed.authorization_policy,
    ),
    Kind(
        ProxyConfig,
        NETWORKING,
        "proxyconfigs",
        versions=("v1beta1",),
        check=proxyconfig.proxy_config,
        acted_on=False,
    ),
    Kind(
        ServiceEntry,
        NETWORKING,
        "serviceentries",
        ("se",),
        (
            Column("Hosts", ".spec.hosts", description="The hosts of the service."),
            Column("Location", ".spec.location", description="Whether the service is within the mesh or outside it."),
            Column("Resolution", ".spec.resolution", description="How the hosts' addresses are found."),
            AGE,
        ),
        _NETWORKING_VERSIONS,
        check=serviceentry.service_entry,
        acted_on=False,
    ),
    Kind(
        WorkloadEntry,
        NETWORKING,
        "workloadentries",
        ("we",),
        (AGE, Column("Address", ".spec.address", description="Where the workload is.")),
        _NETWORKING_VERSIONS,
        check=workloads.workload_entry,
        acted_on=False,
    ),
    Kind(
        WorkloadGroup,
        NETWORKING,
        "workloadgroups",
        ("wg",),
        versions=_NETWORKING_VERSIONS,
        check=workloads.workload_group,
        acted_on=False,
    ),
    Kind(
        EnvoyFilter,
        NETWORKING,
        "envoyfilters",
        versions=("v1alpha3",),
        check=envoyfilter.envoy_filter,
        acted_on=False,
    ),
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
    """What holds of a spec in error; None of a kind that restricts nothing."""
    closing = KINDS[kind].fail_closed
    return closing(spec) if closing is not None else None


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

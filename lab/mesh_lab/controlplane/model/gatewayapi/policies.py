"""ReferenceGrant, BackendTLSPolicy and XBackendTrafficPolicy.

https://gateway-api.sigs.k8s.io/reference/spec/#referencegrant
"""

from __future__ import annotations

from msgspec import field

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi.common import ObjectReference, SessionPersistence


class GrantFrom(Spec, frozen=True):
    """Objects that may refer: of a kind, in a namespace."""

    kind: str
    namespace: str
    group: str = ""


class GrantTo(Spec, frozen=True):
    """What they may refer to: all objects of a kind in the grant's namespace, or the one that is named."""

    kind: str
    group: str = ""
    name: str = ""


class ReferenceGrant(Spec, frozen=True):
    """References that are allowed from other namespaces to objects of this one."""

    from_: list[GrantFrom] = field(default=[], name="from")
    to: list[GrantTo] = []


class PolicyTarget(Spec, frozen=True):
    """A Service, or one port of it by name."""

    kind: str
    name: str
    group: str = ""
    section_name: str = ""


class SubjectAltName(Spec, frozen=True):
    """A name that the server's certificate must have."""

    type: str
    hostname: str = ""
    uri: str = ""


class BackendValidation(Spec, frozen=True):
    """How the server's certificate is verified: the name that is asked for, the authorities, and further names."""

    hostname: str
    ca_certificate_refs: list[ObjectReference] = []
    well_known_ca_certificates: str = field(default="", name="wellKnownCACertificates")
    subject_alt_names: list[SubjectAltName] = []


class BackendTLSPolicy(Spec, frozen=True):
    """TLS from gateways to backends."""

    target_refs: list[PolicyTarget]
    validation: BackendValidation
    options: dict[str, str] = {}


class Budget(Spec, frozen=True):
    """How much of a hundred requests may be retries, in a time."""

    percent: int = 20
    interval: str = "10s"


class RequestRate(Spec, frozen=True):
    """So many in a time."""

    count: int = 10
    interval: str = "1s"


class RetryConstraint(Spec, frozen=True):
    """How many retries there may be: a share of the requests, and so many in any case."""

    budget: Budget = Budget()
    min_retry_rate: RequestRate = RequestRate()


class XBackendTrafficPolicy(Spec, frozen=True):
    """How a backend is called."""

    target_refs: list[PolicyTarget]
    retry_constraint: RetryConstraint | None = None
    session_persistence: SessionPersistence | None = None

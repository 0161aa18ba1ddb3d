"""PeerAuthentication and AuthorizationPolicy: which clients may call a workload, and how.

https://istio.io/latest/docs/reference/config/security/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from mesh_lab.controlplane.model.base import PolicyTargetReference, Spec, TargetReferences, WorkloadSelector

Mode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]
Action = Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]
ServiceAccounts = Annotated[list[Annotated[str, Meta(max_length=320)]], Meta(max_length=16)]


class MutualTLS(Spec, frozen=True):
    """UNSET, or none, takes the mode of the level above."""

    mode: Mode = "UNSET"


class PeerAuthentication(Spec, frozen=True):
    """Whether mutual TLS is required: in the mesh, a namespace, by some pods, or on one of their ports."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: Annotated[dict[str, MutualTLS], Meta(min_length=1)] = {}


class Source(Spec, frozen=True):
    """The client. Values match exactly, by prefix `abc*`, by suffix `*abc`, or by presence `*`."""

    principals: list[str] = []
    not_principals: list[str] = []
    request_principals: list[str] = []
    not_request_principals: list[str] = []
    namespaces: list[str] = []
    not_namespaces: list[str] = []
    service_accounts: ServiceAccounts = []
    not_service_accounts: ServiceAccounts = []
    trust_domains: list[str] = []
    not_trust_domains: list[str] = []
    ip_blocks: list[str] = []
    not_ip_blocks: list[str] = []
    remote_ip_blocks: list[str] = []
    not_remote_ip_blocks: list[str] = []


class From(Spec, frozen=True):
    """A source."""

    source: Source | None = None


class Operation(Spec, frozen=True):
    """The request."""

    hosts: list[str] = []
    not_hosts: list[str] = []
    ports: list[str] = []
    not_ports: list[str] = []
    methods: list[str] = []
    not_methods: list[str] = []
    paths: list[str] = []
    not_paths: list[str] = []


class To(Spec, frozen=True):
    """An operation."""

    operation: Operation | None = None


class Condition(Spec, frozen=True):
    """An attribute, such as `request.headers[x]` or `source.ip`, and its values."""

    key: str
    values: list[str] = []
    not_values: list[str] = []


class Rule(Spec, frozen=True):
    """Matches when one `from`, one `to` and every `when` match; what is absent matches all."""

    from_: Annotated[list[From], Meta(max_length=512)] | None = field(default=None, name="from")
    to: list[To] | None = None
    when: list[Condition] = []


EVERYTHING = Rule()
NOTHING = Rule(when=[Condition(key="")])
"""No request has an attribute without a name."""


class ExtensionProvider(Spec, frozen=True):
    """The authoriser of a CUSTOM policy."""

    name: str = ""


class AuthorizationPolicy(Spec, frozen=True):
    """ALLOW (the default) or DENY what the rules match. ALLOW without rules denies everything.

    CUSTOM asks an authoriser about what the rules match; AUDIT marks it for logs.
    """

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = []
    rules: Annotated[list[Rule], Meta(max_length=512)] = []
    action: Action = "ALLOW"
    provider: ExtensionProvider | None = None

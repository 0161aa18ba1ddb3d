"""RequestAuthentication: which tokens of end users a workload takes, and where a request carries them.

https://istio.io/latest/docs/reference/config/security/request_authentication/
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from mesh_lab.controlplane.model.base import (
    Duration,
    FreeText,
    NonEmpty,
    PolicyTargetReference,
    Spec,
    TargetReferences,
    WorkloadSelector,
)

_Uri = Annotated[str, Meta(min_length=1, max_length=2048)]


class JWTHeader(Spec, frozen=True):
    """A header that carries a token, after a prefix such as `Bearer `."""

    name: NonEmpty
    prefix: str = ""


class ClaimToHeader(Spec, frozen=True):
    """A header of the request that gets the value of a claim."""

    header: Annotated[str, Meta(min_length=1, pattern=r"^[-_A-Za-z0-9]+$")]
    claim: NonEmpty


class JWTRule(Spec, frozen=True):
    """The tokens of one issuer, and the keys that they are signed with: given in `jwks`, or fetched."""

    issuer: NonEmpty | None = None
    audiences: list[NonEmpty] = []
    jwks_uri: _Uri | None = None
    # Both names are Istio's; the second is the one of the protocol buffer's field.
    jwks_uri_also: _Uri | None = field(default=None, name="jwks_uri")
    jwks: FreeText = ""
    from_headers: list[JWTHeader] = []
    from_params: list[NonEmpty] = []
    from_cookies: list[NonEmpty] = []
    output_payload_to_header: str = ""
    forward_original_token: bool = False
    output_claim_to_headers: list[ClaimToHeader] = []
    timeout: Duration | None = None
    space_delimited_claims: Annotated[list[NonEmpty], Meta(max_length=64)] = []

    @property
    def uri(self) -> str:
        """Where the keys are fetched; empty where the issuer's metadata says so, or `jwks` has them."""
        return self.jwks_uri or self.jwks_uri_also or ""


class RequestAuthentication(Spec, frozen=True):
    """A request with a token that fits no rule is refused; one without a token passes, with no identity."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = []
    jwt_rules: Annotated[list[JWTRule], Meta(max_length=4096)] = []

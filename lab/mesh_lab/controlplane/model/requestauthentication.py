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


NOBODYS_KEY = (
    '{"keys": [{"kty": "RSA", "e": "AQAB", "n": "'
    "njuFLxuCNkN8Il_xvGt8qMfDJgy7-u9f9_Z1EU25PCU4LslbA7aF8kPUfvmswIy5OU7UvCFNODc1R096BgWq-Shev6i8qPD_pTKOjVAZQgln9RLz"
    "1es-N2Y7VC1NRq4mVbPO5ivAgeP7Myv5v0pjXoIBeChdAvrjiRQ7VhdfJu168QBJp5KYqjNKEWOeJ37rTB7JQCrzbryWCL4gj9K2dRECO0lvjKak"
    "6UQZ-Tpr0RS9OSLKGILeNtLm1EtwU955B139AfRQdeoW2COmf7_hVmZKwX17thG0k0oT5_AFn9-itqZb3JXgSxqsyvH_nD0zXartsB7hro0AIFa9"
    'xrwFqw"}]}'
)
"""A public key whose private part was never kept: where it is asked for, no token is good."""


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


NO_TOKEN = JWTRule(jwks=NOBODYS_KEY)
"""A rule by which no token is good, of whatever issuer."""


class RequestAuthentication(Spec, frozen=True):
    """A request with a token that fits no rule is refused; one without a token passes, with no identity."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = []
    jwt_rules: Annotated[list[JWTRule], Meta(max_length=4096)] = []

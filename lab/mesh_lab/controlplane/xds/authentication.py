"""RequestAuthentication as Envoy's filter of tokens (`jwt_authn`): one provider a rule, all of them in one requirement.

A token that is presented has to be good; a request without one passes, and has no identity. What a token says goes into
the metadata where rules of RBAC, and routes by claims, look for it.
https://istio.io/latest/docs/reference/config/security/request_authentication/; pilot/pkg/security/authn of Istio 1.30.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3.route_components_pb2 import RouteMatch
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import (
    JwtAuthentication,
    JwtClaimToHeader,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementAndList,
    JwtRequirementOrList,
    PerRouteConfig,
    RequirementRule,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from mesh_lab.controlplane.model.requestauthentication import NOBODYS_KEY, JWTRule, RequestAuthentication
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import Config, Keys, KeySource, Table
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects

FILTER = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Where, in the filter's metadata, the claims of a good token are."""

REQUIREMENT = "istio"
_SPACE_DELIMITED = frozenset({"permission", "scope"})

AuthenticationConfig = Config[RequestAuthentication]


@dataclass(frozen=True)
class Authentication:
    """The RequestAuthentications that concern a workload, oldest first."""

    configs: tuple[AuthenticationConfig, ...] = ()

    @property
    def rules(self) -> tuple[JWTRule, ...]:
        """All of their rules, in Istio's order."""
        found = (rule for config in self.configs for rule in config.spec.jwt_rules)
        return tuple(sorted(found, key=lambda rule: rule.issuer or ""))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return tuple(config.origin for config in self.configs)


NO_TOKENS = Authentication()


@memoised
def authentication_of(
    table: Table[ObjectKey, AuthenticationConfig], namespace: str, labels: tuple[tuple[str, str], ...], root: str
) -> Authentication:
    """Those of the workload's namespace and of the root namespace whose selector, if any, it matches."""
    mine = dict(labels)
    found = (
        config
        for config in sorted(table.values(), key=lambda c: c.precedence)
        if config.namespace in (namespace, root)
        and not (config.spec.target_ref or config.spec.target_refs)
        and (config.spec.selector is None or selects(config.spec.selector.match_labels, mine))
    )
    return Authentication(tuple(found))


def source_of(rule: JWTRule) -> KeySource | None:
    """Where the keys of a rule are fetched; None where the rule has them itself."""
    return None if rule.jwks else KeySource(rule.issuer or "", rule.uri)


def sources_of(spec: RequestAuthentication) -> frozenset[KeySource]:
    """Where the keys of a policy are fetched."""
    return frozenset(source for rule in spec.jwt_rules if (source := source_of(rule)) is not None)


@memoised
def filter_config(authentication: Authentication, keys: Table[KeySource, Keys], clears_routes: bool) -> AnyMessage:
    """The filter's configuration. Where it `clears_routes`, the route is chosen anew once the claims are known.

    Routes name the requirement, which is there without any rule, too: then it demands nothing.
    """
    rules = authentication.rules
    providers = {f"origins-{index}": _provider(rule, keys, clears_routes) for index, rule in enumerate(rules)}
    requirement = _requirement(list(providers))
    everywhere = [RequirementRule(match=RouteMatch(prefix="/"), requires=requirement)] if providers else []
    return any_of(
        JwtAuthentication(
            providers=providers,
            rules=everywhere,
            requirement_map={REQUIREMENT: requirement},
            bypass_cors_preflight=True,
        )
    )


@memoised
def _provider(rule: JWTRule, keys: Table[KeySource, Keys], clears_routes: bool) -> JwtProvider:
    provider = JwtProvider(
        issuer=rule.issuer or "",
        audiences=rule.audiences,
        local_jwks=DataSource(inline_string=_keys(rule, keys)),
        forward=rule.forward_original_token,
        forward_payload_header=rule.output_payload_to_header,
        from_headers=[JwtHeader(name=each.name, value_prefix=each.prefix) for each in rule.from_headers],
        from_params=rule.from_params,
        from_cookies=rule.from_cookies,
        claim_to_headers=[
            JwtClaimToHeader(header_name=each.header, claim_name=each.claim) for each in rule.output_claim_to_headers
        ],
        payload_in_metadata=PAYLOAD,
        clear_route_cache=clears_routes,
    )
    claims = sorted(_SPACE_DELIMITED.union(rule.space_delimited_claims))
    provider.normalize_payload_in_metadata.space_delimited_claims.extend(claims)
    return provider


def _keys(rule: JWTRule, keys: Table[KeySource, Keys]) -> str:
    """A rule whose keys are not there refuses its tokens: they would need a key that nobody has."""
    source = source_of(rule)
    if source is None:
        return rule.jwks
    found = keys.get(source)
    return found.text if found is not None and found.text else NOBODYS_KEY


def _requirement(names: list[str]) -> JwtRequirement:
    """Each token that is presented is good; or any is, where several rules look for it in one place."""
    if not names:
        return JwtRequirement()
    each = [_any_of([JwtRequirement(provider_name=name), JwtRequirement(allow_missing=Empty())]) for name in names]
    if len(each) == 1:
        return each[0]
    return _any_of(
        [
            *(JwtRequirement(provider_name=name) for name in names),
            JwtRequirement(requires_all=JwtRequirementAndList(requirements=each)),
        ]
    )


def _any_of(requirements: list[JwtRequirement]) -> JwtRequirement:
    return JwtRequirement(requires_any=JwtRequirementOrList(requirements=requirements))


def route_config() -> AnyMessage:
    """What turns the filter on in a configuration of routes."""
    return any_of(PerRouteConfig(requirement_name=REQUIREMENT))

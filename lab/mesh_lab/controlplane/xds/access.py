"""Access to a workload: the filters for tokens (JWT), external authorisation and RBAC, in Istio's order.

A CUSTOM policy's authoriser is asked first; then tokens are looked at, then AUDIT, DENY and ALLOW. What the filters do
comes with the routes, and for two of them by extension discovery (ECDS): so a change is in force with the next request,
whereas one of the listener leaves the old configuration to the connections that are there, until they have drained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from envoy.config.core.v3.config_source_pb2 import ExtensionConfigSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Keys, KeySource, Table
from mesh_lab.controlplane.xds import authentication, extauthz, rbac, tls
from mesh_lab.controlplane.xds.authentication import NO_TOKENS, Authentication
from mesh_lab.controlplane.xds.built import Built, build, by_name, wire
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.rbac import NO_POLICIES, Authorization
from mesh_lab.controlplane.xds.trustdomains import TrustDomains
from mesh_lab.controlplane.xds.typeurls import ECDS, PREFIX

_TYPES = {
    authentication.FILTER: PREFIX + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    extauthz.FILTER: PREFIX + "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
}
"""The filters whose configuration is discovered."""


class Access(NamedTuple):
    """The policies that concern a workload."""

    authorization: Authorization = NO_POLICIES
    authentication: Authentication = NO_TOKENS

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return (*self.authorization.origins, *self.authentication.origins)


OPEN = Access()


def http_filters(access: Access, *, idle: bool = True) -> list[HttpFilter]:
    """The filters of an HTTP chain: `idle` until the routes bring a configuration for them.

    Where claims choose the route, there is no route before a token has been read, and so none that could turn anything
    on: the filters have to be on from the start.
    """
    return [
        rbac.custom_filter(idle=idle),
        _discovered(extauthz.FILTER, idle=True),
        _discovered(authentication.FILTER, idle=idle),
        *rbac.http_filters(access.authorization, idle=idle),
    ]


def _discovered(name: str, *, idle: bool) -> HttpFilter:
    source = ExtensionConfigSource(config_source=tls.ads(), type_urls=[_TYPES[name]])
    return HttpFilter(name=name, config_discovery=source, disabled=idle)


def network_filters(access: Access, trust_domains: TrustDomains) -> list[Filter]:
    """The filters of a TCP chain."""
    return rbac.network_filters(access.authorization, trust_domains)


def route_filters(access: Access, trust_domains: TrustDomains) -> dict[str, AnyMessage]:
    """What turns the filters on, by their names, to be put into a configuration of routes."""
    found = rbac.route_filters(access.authorization, trust_domains)
    if access.authorization.authorizer is not None and access.authorization.enforced_custom:
        found[extauthz.FILTER] = extauthz.route_config()
    if access.authentication.rules:
        found[authentication.FILTER] = authentication.route_config()
    return found


@memoised
@by_name
def extensions(access: Access, keys: Table[KeySource, Keys], gateway: bool) -> Iterator[Built]:
    """The discovered configurations. There is one for each filter, however little it says: Envoy waits for it."""
    authorizer, tokens = access.authorization.authorizer, access.authentication
    asking = [config.origin for config in access.authorization.enforced_custom] if authorizer is not None else []
    yield _extension(extauthz.FILTER, extauthz.filter_config(authorizer), asking)
    yield _extension(authentication.FILTER, authentication.filter_config(tokens, keys, gateway), tokens.origins)


def _extension(name: str, config: AnyMessage, origins: list[Origin] | tuple[Origin, ...]) -> Built:
    return build(ECDS, name, wire(TypedExtensionConfig(name=name, typed_config=config)), origins)

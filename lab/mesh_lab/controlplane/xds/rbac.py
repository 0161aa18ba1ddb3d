"""AuthorizationPolicy as Envoy's RBAC: DENY is evaluated first, then ALLOW; no ALLOW policy at all allows everything.

CUSTOM calls an authoriser outside the mesh first. There is none here: as with Istio, when the provider does not exist,
what the rules match is denied. A policy with the annotation `istio.io/dry-run` is counted and logged, and not enforced.
https://istio.io/latest/docs/reference/config/security/authorization-policy/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC, Policy
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.model import AuthorizationPolicy
from mesh_lab.controlplane.model.security import Action
from mesh_lab.controlplane.validation.security import is_dry_run
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import DRY_RUN, Config, Table
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.rbacrules import Owner, policy_of
from mesh_lab.controlplane.xds.trustdomains import TrustDomains

AuthConfig = Config[AuthorizationPolicy]


class _Filter(NamedTuple):
    """One of the filters, by what its rules do."""

    action: RBAC.Action
    http_name: str
    shadow_prefix: str
    """Of the statistics and the metadata of rules that are not enforced: Istio's."""


# In the order in which they are evaluated.
_DENY = _Filter(RBAC.DENY, "envoy.filters.http.rbac.deny", "istio_dry_run_deny_")
_ALLOW = _Filter(RBAC.ALLOW, "envoy.filters.http.rbac.allow", "istio_dry_run_allow_")
_FILTERS = (_DENY, _ALLOW)


@dataclass(frozen=True)
class Authorization:
    """The policies that concern a workload, oldest first."""

    custom: tuple[AuthConfig, ...] = ()
    deny: tuple[AuthConfig, ...] = ()
    allow: tuple[AuthConfig, ...] = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return tuple(config.origin for config in (*self.custom, *self.deny, *self.allow))


NO_POLICIES = Authorization()


@memoised
def authorization_of(
    policies: Table[ObjectKey, AuthConfig], namespace: str, labels: tuple[tuple[str, str], ...], root_namespace: str
) -> Authorization:
    """The policies of the workload's namespace and of the root namespace whose selector, if any, it matches."""
    mine = dict(labels)
    found = [
        config
        for config in sorted(policies.values(), key=lambda c: c.precedence)
        if config.namespace in (namespace, root_namespace)
        and not (config.spec.target_ref or config.spec.target_refs)
        and (config.spec.selector is None or selects(config.spec.selector.match_labels, mine))
    ]

    def having(action: Action) -> tuple[AuthConfig, ...]:
        return tuple(config for config in found if config.spec.action == action)

    return Authorization(having("CUSTOM"), having("DENY"), having("ALLOW"))


def http_filters() -> list[HttpFilter]:
    """The filters of an HTTP chain. They are idle until the routes bring rules for them.

    A change of routes is in force with the next request, whereas a change of the listener leaves the old rules to the
    connections that are there, until they have drained.
    """
    return [
        HttpFilter(
            name=each.http_name,
            typed_config=any_of(http_rbac.RBAC(shadow_rules_stat_prefix=each.shadow_prefix)),
            disabled=True,
        )
        for each in _FILTERS
    ]


def route_filters(authorization: Authorization, trust_domains: TrustDomains) -> dict[str, AnyMessage]:
    """The rules of the HTTP filters, by their names, to be put into a configuration of routes."""
    return {
        each.http_name: any_of(
            http_rbac.RBACPerRoute(
                rbac=http_rbac.RBAC(
                    rules=rules.enforced, shadow_rules=rules.shadow, shadow_rules_stat_prefix=each.shadow_prefix
                )
            )
        )
        for each, rules in _rules(authorization, trust_domains, tcp=False)
    }


def network_filters(authorization: Authorization, trust_domains: TrustDomains) -> list[Filter]:
    """The filters of a TCP chain."""
    return [
        Filter(
            name="envoy.filters.network.rbac",
            typed_config=any_of(
                network_rbac.RBAC(
                    rules=rules.enforced,
                    stat_prefix="tcp.",
                    shadow_rules=rules.shadow,
                    shadow_rules_stat_prefix=each.shadow_prefix,
                )
            ),
        )
        for each, rules in _rules(authorization, trust_domains, tcp=True)
    ]


class _Rules(NamedTuple):
    """What one filter enforces, and what it only counts: None where there is no policy."""

    enforced: RBAC | None
    shadow: RBAC | None


def _rules(authorization: Authorization, trust_domains: TrustDomains, *, tcp: bool) -> Iterator[tuple[_Filter, _Rules]]:
    """By filter, for those that have anything to do."""
    custom = [config for config in authorization.custom if not is_dry_run(config.annotations.get(DRY_RUN))]
    for each, configs in ((_DENY, (*custom, *authorization.deny)), (_ALLOW, authorization.allow)):
        dry = [config for config in configs if is_dry_run(config.annotations.get(DRY_RUN))]
        live = [config for config in configs if config not in dry]
        enforced, shadow = (
            RBAC(action=each.action, policies=_policies(some, trust_domains, tcp=tcp)) if some else None
            for some in (live, dry)
        )
        if live or dry:
            yield each, _Rules(enforced, shadow)


def _policies(configs: Iterable[AuthConfig], trust_domains: TrustDomains, *, tcp: bool) -> Mapping[str, Policy]:
    return {
        _name(config, index): policy
        for config in configs
        for index, rule in enumerate(config.spec.rules)
        if (policy := policy_of(rule, config.spec.action, Owner(trust_domains, config.namespace), tcp=tcp)) is not None
    }


def _name(config: AuthConfig, rule: int) -> str:
    """Istio's, which logs and metadata show."""
    name = f"ns[{config.namespace}]-policy[{config.name}]-rule[{rule}]"
    if config.spec.action != "CUSTOM":
        return name
    provider = config.spec.provider.name if config.spec.provider is not None else ""
    return f"istio-ext-authz-{provider}-{name}-deny-due-to-bad-CUSTOM-action"

"""AuthorizationPolicy as Envoy's RBAC: CUSTOM comes first, then DENY, then ALLOW; no ALLOW at all allows everything.

Rules of CUSTOM mark what the authoriser is asked about (see `extauthz`). As with Istio, without a provider, or with
several for one workload, what they match is denied. AUDIT marks requests for what logs them. A policy with the
annotation `istio.io/dry-run` is counted and logged, and not enforced.
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
from mesh_lab.controlplane.model.clients import WorkloadPolicy
from mesh_lab.controlplane.model.security import Action
from mesh_lab.controlplane.validation.security import is_dry_run
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import DRY_RUN, Config, Table
from mesh_lab.controlplane.xds import extauthz
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.extauthz import Authorizer
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.rbacrules import Owner, policy_of
from mesh_lab.controlplane.xds.trustdomains import TrustDomains

AuthConfig = Config[AuthorizationPolicy]


class _Filter(NamedTuple):
    """One of the filters, by what its rules do."""

    action: RBAC.Action
    http_name: str
    shadow_prefix: str = ""
    """Of the statistics and the metadata of rules that are not enforced: Istio's."""


# In the order in which they are evaluated.
CUSTOM = _Filter(RBAC.DENY, "envoy.filters.http.rbac.custom", extauthz.SHADOW_PREFIX)
_AUDIT = _Filter(RBAC.LOG, "envoy.filters.http.rbac.audit")
_DENY = _Filter(RBAC.DENY, "envoy.filters.http.rbac.deny", "istio_dry_run_deny_")
_ALLOW = _Filter(RBAC.ALLOW, "envoy.filters.http.rbac.allow", "istio_dry_run_allow_")
_AFTER_TOKENS = (_AUDIT, _DENY, _ALLOW)


@dataclass(frozen=True)
class Authorization:
    """The policies that concern a workload, oldest first."""

    custom: tuple[AuthConfig, ...] = ()
    deny: tuple[AuthConfig, ...] = ()
    allow: tuple[AuthConfig, ...] = ()
    audit: tuple[AuthConfig, ...] = ()
    authorizer: Authorizer | None = None
    """The authoriser of the CUSTOM policies; None where they name none that can be asked."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return tuple(config.origin for config in (*self.custom, *self.deny, *self.allow, *self.audit))

    @property
    def enforced_custom(self) -> tuple[AuthConfig, ...]:
        """The CUSTOM policies that are no dry runs, which of these do nothing."""
        return tuple(config for config in self.custom if not is_dry_run(config.annotations.get(DRY_RUN)))

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the authorisers that CUSTOM policies ask for."""
        return tuple(dict.fromkeys(_provider(config) for config in self.enforced_custom))


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
        and not _leaves_out(config.spec, mine)
    ]

    def having(action: Action) -> tuple[AuthConfig, ...]:
        return tuple(config for config in found if config.spec.action == action)

    return Authorization(having("CUSTOM"), having("DENY"), having("ALLOW"), having("AUDIT"))


def _leaves_out(spec: AuthorizationPolicy, labels: Mapping[str, str]) -> bool:
    return isinstance(spec, WorkloadPolicy) and any(selects(each, labels) for each in spec.apart_from)


def custom_filter(*, idle: bool) -> HttpFilter:
    """The filter that marks what an authoriser is asked about. It comes before that is done."""
    return _http_filter(CUSTOM, idle=idle)


def http_filters(authorization: Authorization, *, idle: bool) -> list[HttpFilter]:
    """The other filters of an HTTP chain. They are `idle` until the routes bring rules for them.

    A change of routes is in force with the next request, whereas a change of the listener leaves the old rules to the
    connections that are there, until they have drained.
    """
    needed = (each for each in _AFTER_TOKENS if each is not _AUDIT or authorization.audit)
    return [_http_filter(each, idle=idle) for each in needed]


def _http_filter(each: _Filter, *, idle: bool) -> HttpFilter:
    config = any_of(http_rbac.RBAC(shadow_rules_stat_prefix=each.shadow_prefix))
    return HttpFilter(name=each.http_name, typed_config=config, disabled=idle)


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
    found: list[Filter] = []
    for each, rules in _rules(authorization, trust_domains, tcp=True):
        config = network_rbac.RBAC(
            rules=rules.enforced,
            stat_prefix="tcp.",
            shadow_rules=rules.shadow,
            shadow_rules_stat_prefix=each.shadow_prefix,
        )
        found.append(Filter(name="envoy.filters.network.rbac", typed_config=any_of(config)))
        if each is CUSTOM and authorization.authorizer is not None:
            config = extauthz.network_config(authorization.authorizer)
            found.append(Filter(name=extauthz.NETWORK_FILTER, typed_config=config))
    return found


class _Rules(NamedTuple):
    """What one filter enforces, and what it only counts: None where there is no policy."""

    enforced: RBAC | None
    shadow: RBAC | None


def _rules(authorization: Authorization, trust_domains: TrustDomains, *, tcp: bool) -> Iterator[tuple[_Filter, _Rules]]:
    """By filter, for those that have anything to do."""
    yield from _custom(authorization, trust_domains, tcp=tcp)
    for each, configs in ((_AUDIT, authorization.audit), (_DENY, authorization.deny), (_ALLOW, authorization.allow)):
        dry = [config for config in configs if is_dry_run(config.annotations.get(DRY_RUN))]
        live = [config for config in configs if config not in dry]
        enforced, shadow = (
            RBAC(action=each.action, policies=_policies(some, trust_domains, tcp=tcp)) if some else None
            for some in (live, dry)
        )
        if live or dry:
            yield each, _Rules(enforced, shadow)


def _custom(
    authorization: Authorization, trust_domains: TrustDomains, *, tcp: bool
) -> Iterator[tuple[_Filter, _Rules]]:
    """An authoriser that is asked by HTTP cannot be asked about connections, which pass, as with Istio."""
    asked, configs = authorization.authorizer, authorization.enforced_custom
    if not configs or (tcp and asked is not None and not asked.takes_connections):
        return
    policies = _policies(configs, trust_domains, tcp=tcp)
    if asked is not None:
        yield CUSTOM, _Rules(None, RBAC(action=CUSTOM.action, policies=policies))
    else:
        denied = {f"{name}-deny-due-to-bad-CUSTOM-action": policy for name, policy in policies.items()}
        yield CUSTOM, _Rules(RBAC(action=CUSTOM.action, policies=denied), None)


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
    provider = _provider(config)
    return f"{extauthz.MARK}-{provider}-{name}" if provider else f"{extauthz.MARK}-{name}"


def _provider(config: AuthConfig) -> str:
    return config.spec.provider.name if config.spec.provider is not None else ""

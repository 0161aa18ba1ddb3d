"""What a VirtualService does with a request that matched: where it goes, what is changed, and what is tried again."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from envoy.config.core.v3.base_pb2 import DataSource, RuntimeFractionalPercent
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RedirectAction,
    RetryPolicy,
    Route,
    RouteAction,
    WeightedCluster,
)
from envoy.extensions.filters.common.fault.v3.fault_pb2 import FaultDelay
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy as CorsMessage
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2 import (
    PreviousPrioritiesConfig,
)
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from mesh_lab.controlplane.model.base import Percent
from mesh_lab.controlplane.model.destinationrule import ConsistentHashLB
from mesh_lab.controlplane.model.grpcstatus import grpc_code
from mesh_lab.controlplane.model.internal import Redirect, Rule
from mesh_lab.controlplane.model.virtualservice import (
    CorsPolicy,
    Headers,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    VirtualService,
)
from mesh_lab.controlplane.xds import sessions
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.defaults import DEFAULT_ATTEMPTS, DEFAULT_RETRY_ON, HOST_SELECTION_ATTEMPTS
from mesh_lab.controlplane.xds.durations import duration, fraction
from mesh_lab.controlplane.xds.headers import apply_headers, host_of
from mesh_lab.controlplane.xds.matching import string_matcher
from mesh_lab.controlplane.xds.policies import HostRules, effective
from mesh_lab.controlplane.xds.routecontext import RouteContext

FAULT_FILTER = "envoy.filters.http.fault"
CORS_FILTER = "envoy.filters.http.cors"

_ALL = FractionalPercent(numerator=100)
_INTERNAL_ERROR = 500


def fill(route: Route, context: RouteContext, rule: HTTPRoute, match: HTTPMatchRequest | None) -> None:
    """Set what a rule does with the requests that a route matches."""
    if rule.headers is not None:
        apply_headers(route, rule.headers)
    if rule.redirect is not None:
        route.redirect.CopyFrom(_redirect_action(rule.redirect, context.view.port, tls=context.view.tls))
    elif rule.direct_response is not None:
        route.direct_response.CopyFrom(_direct_response(rule.direct_response))
    else:
        _forward(route, context, rule, match)
    if rule.fault is not None:
        route.typed_per_filter_config[FAULT_FILTER].CopyFrom(any_of(_fault_filter(rule.fault)))
    if isinstance(rule, Rule) and rule.session is not None:
        sessions.keep(route, rule.session)
    if rule.cors_policy is not None:
        route.typed_per_filter_config[CORS_FILTER].CopyFrom(any_of(_cors_policy(rule.cors_policy)))


def _forward(route: Route, context: RouteContext, rule: HTTPRoute, match: HTTPMatchRequest | None) -> None:
    action = route.route
    set_timeouts(action, rule)
    if isinstance(rule, Rule) and rule.missing_cluster == _INTERNAL_ERROR:
        action.cluster_not_found_response_code = RouteAction.INTERNAL_SERVER_ERROR
    if isinstance(rule, Rule) and rule.idle_timeout is not None:
        action.idle_timeout.CopyFrom(duration(rule.idle_timeout))
    if host := host_of(rule.headers):
        action.host_rewrite_literal = host
    if rule.rewrite is not None:
        _set_rewrite(action, rule.rewrite, match)
    action.request_mirror_policies.extend(
        _mirror_policies((context.cluster(mirror.destination), mirror) for mirror in mirrors(rule))
    )
    shares = [share for share in rule.route if share.weight] or rule.route[:1]
    if len(shares) == 1:
        action.cluster = context.cluster(shares[0].destination)
        if shares[0].headers is not None:
            apply_headers(route, shares[0].headers)
            if not action.host_rewrite_literal and (host := host_of(shares[0].headers)):
                action.host_rewrite_literal = host
    else:
        clusters = [_weighted(context.cluster(s.destination), s.weight, s.headers) for s in shares]
        action.weighted_clusters.CopyFrom(WeightedCluster(clusters=clusters))
    for share in shares:
        target = context.target(share.destination)
        add_hash_policy(action, target.rules, context.port(share.destination, target), share.destination.subset)
    asked = rule.retries if rule.retries is not None else context.view.retries
    policy = retry_policy(asked, hashed=len(rule.route) == 1 and bool(action.hash_policy))
    if policy is not None:
        action.retry_policy.CopyFrom(policy)


def add_hash_policy(action: RouteAction, rules: HostRules | None, port: int, subset: str) -> None:
    """The hash policy of a DestinationRule; once, when several destinations have the same."""
    balancer = effective(rules, port, subset).load_balancer
    if balancer is not None and balancer.consistent_hash is not None:
        policy = _hash_policy(balancer.consistent_hash)
        if policy is not None and policy not in action.hash_policy:
            action.hash_policy.append(policy)


def mirrors(rule: HTTPRoute) -> list[HTTPMirrorPolicy]:
    """Where copies of a rule's requests go, by `mirrors` or by the older fields."""
    if rule.mirrors:
        return rule.mirrors
    if rule.mirror is None:
        return []
    percentage = rule.mirror_percentage
    if percentage is None and rule.mirror_percent is not None:
        percentage = Percent(value=rule.mirror_percent)
    return [HTTPMirrorPolicy(destination=rule.mirror, percentage=percentage)]


def retry_policy(settings: HTTPRetry | None, *, hashed: bool = False) -> RetryPolicy | None:
    """Istio's default (2 more attempts, when the first can have had no effect) or what the rule says.

    Each attempt goes to an endpoint that has not been tried, as far as there is one; but where requests are `hashed` to
    endpoints, they stay with theirs unless the rule says otherwise. None turns retries off.
    """
    if settings is not None and settings.attempts <= 0:
        return None
    policy = RetryPolicy(
        num_retries=UInt32Value(value=settings.attempts if settings else DEFAULT_ATTEMPTS),
        retry_on=DEFAULT_RETRY_ON,
        host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS,
    )
    elsewhere = settings.retry_ignore_previous_hosts if settings else None
    if elsewhere or (elsewhere is None and not hashed):
        policy.retry_host_predicate.append(_previous_hosts())
    if settings is None:
        return policy
    if settings.retry_remote_localities:
        policy.retry_priority.CopyFrom(_previous_priorities())
    if settings.retry_on:
        conditions, codes = _split_conditions(settings.retry_on)
        if codes and "retriable-status-codes" not in conditions:
            conditions.append("retriable-status-codes")
        policy.retry_on = ",".join(conditions)
        policy.retriable_status_codes.extend(codes)
    if settings.per_try_timeout:
        policy.per_try_timeout.CopyFrom(duration(settings.per_try_timeout))
    if settings.backoff:
        policy.retry_back_off.base_interval.CopyFrom(duration(settings.backoff))
    return policy


def counts_attempts(rules: VirtualService | None) -> bool:
    """Whether requests carry the number of their attempt in a header (`x-envoy-attempt-count`).

    Where a rule has retries they do. Istio's always do; but a header more costs the two proxies and the application 3%
    of a request's work, and without retries it is always 1.
    """
    return rules is not None and any(rule.retries is not None for rule in rules.http)


def _previous_hosts() -> RetryPolicy.RetryHostPredicate:
    return RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=any_of(PreviousHostsPredicate())
    )


def _previous_priorities() -> RetryPolicy.RetryPriority:
    """After each two attempts, endpoints of a priority that has not been tried: those of other localities."""
    return RetryPolicy.RetryPriority(
        name="envoy.retry_priorities.previous_priorities",
        typed_config=any_of(PreviousPrioritiesConfig(update_frequency=2)),
    )


def _split_conditions(text: str) -> tuple[list[str], list[int]]:
    """Conditions by name, and status codes, which Envoy takes by themselves."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [part for part in parts if not part.isdigit()], [int(part) for part in parts if part.isdigit()]


def set_timeouts(action: RouteAction, route: HTTPRoute | None) -> None:
    """No limit unless the rule sets one. Envoy would stop after 15 s.

    A gRPC client's own limit (`grpc-timeout`) holds, up to that of the rule. `max_stream_duration` stays unset: where
    it is set, to zero even, Envoy ignores `timeout`.
    """
    limit = duration(route.timeout) if route and route.timeout else Duration()
    action.timeout.CopyFrom(limit)
    action.max_grpc_timeout.CopyFrom(limit)


def _set_rewrite(action: RouteAction, rewrite: HTTPRewrite, match: HTTPMatchRequest | None) -> None:
    """`uri` replaces the prefix that matched, or the whole path where the match is exact or an expression.

    As it stands: `/a` rewritten to `/` makes `//b` of `/a/b`, here as in Istio; a rule that is to give `/b` matches
    `/a/`.
    """
    if rewrite.authority:
        action.host_rewrite_literal = rewrite.authority
    if rewrite.uri_regex_rewrite is not None:
        action.regex_rewrite.CopyFrom(_substitution(rewrite.uri_regex_rewrite.match, rewrite.uri_regex_rewrite.rewrite))
    elif rewrite.uri:
        uri = match.uri if match else None
        if uri is not None and uri.regex is not None:
            action.regex_rewrite.CopyFrom(_substitution("^.*$", rewrite.uri.replace("\\", "\\\\")))
        else:
            action.prefix_rewrite = rewrite.uri


def _substitution(pattern: str, text: str) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(pattern=RegexMatcher(regex=pattern), substitution=text)


_REDIRECT_CODES = {
    0: RedirectAction.MOVED_PERMANENTLY,
    301: RedirectAction.MOVED_PERMANENTLY,
    302: RedirectAction.FOUND,
    303: RedirectAction.SEE_OTHER,
    307: RedirectAction.TEMPORARY_REDIRECT,
    308: RedirectAction.PERMANENT_REDIRECT,
}
REDIRECT_CODES = frozenset(_REDIRECT_CODES) - {0}
_PREFIX_VARIABLE = "%PREFIX()%"


_DEFAULT_PORTS = {"http": 80, "https": 443}


def _redirect_action(redirect: HTTPRedirect, port: int, *, tls: bool = False) -> RedirectAction:
    """An answer that sends the client elsewhere; 301 unless said otherwise.

    A port that the scheme implies is not named. `tls`: the request itself came over TLS.
    """
    action = RedirectAction(
        host_redirect=redirect.authority, response_code=_REDIRECT_CODES.get(redirect.redirect_code, 0)
    )
    if isinstance(redirect, Redirect) and redirect.uri_regex_rewrite is not None:
        rewrite = redirect.uri_regex_rewrite
        action.regex_rewrite.CopyFrom(_substitution(rewrite.match, rewrite.rewrite))
    elif redirect.prefix_rewrite:
        action.prefix_rewrite = redirect.prefix_rewrite
    elif redirect.uri.startswith(_PREFIX_VARIABLE):
        action.prefix_rewrite = redirect.uri.removeprefix(_PREFIX_VARIABLE)
    elif redirect.uri:
        action.path_redirect = redirect.uri
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    if redirect.port is not None:
        action.port_redirect = redirect.port
    elif redirect.derive_port == "FROM_REQUEST_PORT":
        action.port_redirect = port
    if action.port_redirect == _DEFAULT_PORTS.get(redirect.scheme or ("https" if tls else "http")):
        action.port_redirect = 0
    return action


def _direct_response(response: HTTPDirectResponse) -> DirectResponseAction:
    """An answer that the proxy gives by itself."""
    action = DirectResponseAction(status=response.status)
    body = response.body
    if body is not None and body.string is not None:
        action.body.CopyFrom(DataSource(inline_string=body.string))
    elif body is not None and body.bytes is not None:
        action.body.CopyFrom(DataSource(inline_bytes=base64.b64decode(body.bytes)))
    return action


def _fault_filter(fault: HTTPFaultInjection) -> HTTPFault:
    """Delays and aborts. A share that is not given is no share."""
    message = HTTPFault()
    if fault.delay is not None and fault.delay.fixed_delay:
        share = fault.delay.percentage or Percent(value=fault.delay.percent)
        message.delay.CopyFrom(FaultDelay(fixed_delay=duration(fault.delay.fixed_delay), percentage=fraction(share)))
    if fault.abort is not None and (fault.abort.http_status is not None or fault.abort.grpc_status is not None):
        message.abort.CopyFrom(FaultAbort(percentage=fraction(fault.abort.percentage or Percent())))
        if fault.abort.http_status is not None:
            message.abort.http_status = fault.abort.http_status
        elif fault.abort.grpc_status is not None:
            message.abort.grpc_status = grpc_code(fault.abort.grpc_status) or 0
    return message


def _mirror_policies(mirrors: Iterable[tuple[str, HTTPMirrorPolicy]]) -> list[RouteAction.RequestMirrorPolicy]:
    """Copies of requests to clusters. The copy keeps its authority, as in Istio. The default is 100 percent."""
    return [
        RouteAction.RequestMirrorPolicy(
            cluster=cluster,
            runtime_fraction=RuntimeFractionalPercent(
                default_value=_ALL if mirror.percentage is None else fraction(mirror.percentage)
            ),
            trace_sampled=BoolValue(value=False),
            disable_shadow_host_suffix_append=True,
        )
        for cluster, mirror in mirrors
        if mirror.percentage is None or mirror.percentage.value > 0
    ]


def _cors_policy(policy: CorsPolicy) -> CorsMessage:
    """Cross-origin resource sharing. Beside `allowOrigins` the former `allowOrigin` has no effect."""
    origins = [matcher for origin in policy.allow_origins if (matcher := string_matcher(origin)) is not None]
    if not policy.allow_origins:
        origins = [StringMatcher(exact=origin) for origin in policy.allow_origin]
    message = CorsMessage(
        allow_origin_string_match=origins,
        allow_methods=",".join(policy.allow_methods),
        allow_headers=",".join(policy.allow_headers),
        expose_headers=",".join(policy.expose_headers),
        filter_enabled=RuntimeFractionalPercent(default_value=_ALL),
    )
    if policy.max_age:
        message.max_age = str(duration(policy.max_age).seconds)
    if policy.allow_credentials is not None:
        message.allow_credentials.value = policy.allow_credentials
    if policy.unmatched_preflights is not None:
        message.forward_not_matching_preflights.value = policy.unmatched_preflights != "IGNORE"
    return message


def _weighted(name: str, weight: int, headers: Headers | None) -> WeightedCluster.ClusterWeight:
    """A cluster's share, with the header operations of its destination."""
    share = WeightedCluster.ClusterWeight(name=name, weight=UInt32Value(value=weight))
    if headers is not None:
        apply_headers(share, headers)
        if host := host_of(headers):
            share.host_rewrite_literal = host
    return share


def _hash_policy(settings: ConsistentHashLB) -> RouteAction.HashPolicy | None:
    """The attribute that requests are hashed on; None when none is named."""
    policy = RouteAction.HashPolicy()
    if settings.http_header_name:
        policy.header.header_name = settings.http_header_name
    elif settings.http_cookie is not None:
        policy.cookie.name = settings.http_cookie.name
        policy.cookie.path = settings.http_cookie.path
        if settings.http_cookie.ttl:
            policy.cookie.ttl.CopyFrom(duration(settings.http_cookie.ttl))
        for attribute in settings.http_cookie.attributes:
            policy.cookie.attributes.add(name=attribute.name, value=attribute.value)
    elif settings.http_query_parameter_name:
        policy.query_parameter.name = settings.http_query_parameter_name
    elif settings.use_source_ip:
        policy.connection_properties.source_ip = True
    else:
        return None
    return policy

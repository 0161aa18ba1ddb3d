"""Access logs in Istio's format, and Istio's standard metrics, both made by Envoy's own access loggers.

https://istio.io/latest/docs/reference/config/metrics/ names the metrics and their labels. Envoy formats the tags anew
for each of the three metrics, and each command in them costs: when the count was a fourth, all labels in one tag came
to 10 µs of CPU a request and proxy, the minimum that determines them to 4 µs. So these travel as one string, and
`scraping` makes the labels of it at a scrape. What Telemetry adds are tags of their own, which cost only where it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    HeaderFilter,
    LogTypeFilter,
    OrFilter,
)
from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType
from envoy.extensions.access_loggers.stats.v3.stats_pb2 import Config as StatsConfig
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation, Mutations
from envoy.extensions.filters.http.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from mesh_lab.controlplane.xds import accesslogs
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.metricrules import DURATION, REQUESTS, Rules, Tags, rules_of
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.telemetries import Mode

Reporter = Literal["source", "destination"]
Protocol = Literal["http", "tcp"]

# Envoy's own header for the origin of a request. The headers that it has names for it finds at once; for any other,
# that a server's sidecar would look for in each request to take it off, it first puts all into a map: 1% of the work.
PEER_HEADER = "x-envoy-downstream-service-node"
PEER_VARIABLE = "MESH_LAB_PEER"
PACKED_TAG = "istio"
COMPUTED_TAG = "istio_new_"
"""Begins the tags that Telemetry adds."""
EDIT_TAG = "istio_edit"
EDIT_SEPARATOR = ";"
STAT_PREFIX = "istio"
GROUP_SEPARATOR = ";"
GROUPS = (
    "reporter",
    "request_protocol",
    "connection_security_policy",
    "own_peer",
    "service",
    "response_code",
    "response_flags",
    "grpc_response_status",
    "other_principal",
    "other_peer",
)
"""What is packed, in order: first what is fixed, which Envoy then copies at one go.

The other peer is last, since a server may have it from outside: it cannot disturb the rest.
"""

_PEER_KEY = "istio.peer"
# Of a content type. The prefix decides for nearly all requests, at a fraction of what the expression costs.
_GRPC = (
    StringMatcher(prefix="application/grpc"),
    StringMatcher(safe_regex=RegexMatcher(regex=r"application/grpc([+;].*)?")),
)


@dataclass(frozen=True)
class Reporting:
    """The reporter, the protocol, whether mutual TLS is spoken, and (by a server) the service.

    A service is identified by the name of a cluster that leads to it.
    """

    reporter: Reporter
    protocol: Protocol
    mutual_tls: bool = False
    service: str = ""


def access_logs(context: ProxyContext, reporting: Reporting) -> list[AccessLog]:
    """The loggers of a listener: the logs, where they are on, and the metrics."""
    mode: Mode = "SERVER" if reporting.reporter == "destination" else "CLIENT"
    own, tcp = context.own.packed, reporting.protocol == "tcp"
    ended = _only(AccessLogType.TcpConnectionEnd) if tcp else None
    logs = [*accesslogs.loggers(context.telemetry, context.mesh, mode, ended)]
    rules = rules_of(context.telemetry, context.mesh, mode)
    if rules is None:
        return logs
    if tcp:
        return [*logs, *_tcp_metrics(_Labels(packed_labels(reporting, own, "tcp"), rules))]
    spoken: tuple[Literal["http", "grpc"], ...] = ("http", "grpc")
    made = (_http_metrics(_Labels(packed_labels(reporting, own, each), rules), each) for each in spoken)
    return [*logs, *(log for log in made if log is not None)]


def packed_labels(reporting: Reporting, own: str, protocol: Literal["http", "grpc", "tcp"]) -> str:
    """The format that packs what determines a metric's labels into one string, in the order of `GROUPS`."""
    groups: Mapping[str, str] = {
        "reporter": reporting.reporter,
        "request_protocol": protocol,
        "own_peer": literal(own),
        "response_code": "%RESPONSE_CODE%" if protocol != "tcp" else "",
        "response_flags": "%RESPONSE_FLAGS%",
        "grpc_response_status": "%GRPC_STATUS_NUMBER%" if protocol == "grpc" else "",
        **(_SEEN_BY_CLIENT if reporting.reporter == "source" else _seen_by_server(reporting)),
    }
    return GROUP_SEPARATOR.join(groups.get(name, "") for name in GROUPS)


_SEEN_BY_CLIENT = {
    "service": "%UPSTREAM_CLUSTER_RAW%",
    "other_principal": "%UPSTREAM_PEER_URI_SAN%",
    "other_peer": "%UPSTREAM_HOST_NAME%",
}


def _seen_by_server(reporting: Reporting) -> Mapping[str, str]:
    plain = f"%FILTER_STATE({_PEER_KEY}:PLAIN)%" if reporting.protocol != "tcp" else ""
    return {
        "service": literal(reporting.service),
        "connection_security_policy": "mutual_tls" if reporting.mutual_tls else "none",
        "other_peer": "%DOWNSTREAM_PEER_OTHERNAME_SAN%" if reporting.mutual_tls else plain,
    }


def literal(value: str) -> str:
    """Text in which Envoy finds no command."""
    return value.replace("%", "%%")


class _Labels(NamedTuple):
    """The packed labels of one side's metrics, and what Telemetry changes in them."""

    packed: str
    rules: Rules

    def stat(self, name: str) -> StatsConfig.Stat:
        """A metric with its tags: the packed labels first."""
        changed = self.rules.of(name)
        tags = [StatsConfig.Tag(name=PACKED_TAG, value_format=self.packed)]
        tags += [
            StatsConfig.Tag(name=f"{COMPUTED_TAG}{label}", value_format=f"%CEL({expression})%")
            for label, expression in changed.computed
        ]
        if edit := self._edit(name, changed):
            tags.append(StatsConfig.Tag(name=EDIT_TAG, value_format=literal(edit)))
        return StatsConfig.Stat(name=name, tags=tags)

    def _edit(self, name: str, changed: Tags) -> str:
        """What `scraping` has to do: of a duration, whether it is no count of requests; labels that go, and come."""
        uncounted = "u" if name == DURATION and self.counts_apart else ""
        come = ",".join(f"{label}={source}" for label, source in changed.copied)
        parts = (uncounted, ",".join(changed.removed), come)
        return EDIT_SEPARATOR.join(parts) if any(parts) else ""

    @property
    def counts_apart(self) -> bool:
        """Whether the number of requests has other labels than their durations, or only one of the two is wanted."""
        dropped = self.rules.dropped
        return (REQUESTS in dropped) != (DURATION in dropped) or self.rules.of(REQUESTS) != self.rules.of(DURATION)

    def wants(self, name: str) -> bool:
        """Whether a metric is counted at all."""
        return name not in self.rules.dropped

    def counter(self, name: str, value_format: str = "") -> list[StatsConfig.Counter]:
        """A counter, if it is wanted: of a value, or of events."""
        if not self.wants(name):
            return []
        if value_format:
            return [StatsConfig.Counter(stat=self.stat(name), value_format=value_format)]
        return [StatsConfig.Counter(stat=self.stat(name), value_fixed={"value": 1})]


def _http_metrics(labels: _Labels, spoken: Literal["http", "grpc"]) -> AccessLog | None:
    """The metrics of requests that are gRPC, or of those that are not; `scraping` counts them by their durations."""
    histogram = StatsConfig.Histogram
    histograms = [
        histogram(stat=labels.stat(name), unit=unit, value_format=value)
        for name, unit, value in (
            (DURATION, histogram.Milliseconds, "%DURATION%"),
            ("request_bytes", histogram.Bytes, "%BYTES_RECEIVED%"),
            ("response_bytes", histogram.Bytes, "%BYTES_SENT%"),
        )
        if labels.wants(name)
    ]
    counters = labels.counter(REQUESTS) if labels.counts_apart else []
    if not (histograms or counters):
        return None
    log = _stats(StatsConfig(stat_prefix=STAT_PREFIX, histograms=histograms, counters=counters))
    log.filter.CopyFrom(_that_is_grpc() if spoken == "grpc" else _that_is_not_grpc())
    return log


def _that_is_grpc() -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=[_content(matcher) for matcher in _GRPC]))


def _that_is_not_grpc() -> AccessLogFilter:
    return AccessLogFilter(or_filter=OrFilter(filters=[_content(matcher, invert=True) for matcher in _GRPC]))


def _content(matcher: StringMatcher, *, invert: bool = False) -> AccessLogFilter:
    header = HeaderMatcher(
        name="content-type", string_match=matcher, invert_match=invert, treat_missing_header_as_empty=True
    )
    return AccessLogFilter(header_filter=HeaderFilter(header=header))


def _tcp_metrics(labels: _Labels) -> list[AccessLog]:
    """Connections that were opened are counted then; the rest when they end."""
    opened = labels.counter("tcp_connections_opened_total")
    closed = [
        *labels.counter("tcp_connections_closed_total"),
        *labels.counter("tcp_sent_bytes_total", "%BYTES_SENT%"),
        *labels.counter("tcp_received_bytes_total", "%BYTES_RECEIVED%"),
    ]
    return [
        _stats(StatsConfig(stat_prefix=STAT_PREFIX, counters=counters), event)
        for counters, event in (
            (opened, AccessLogType.TcpUpstreamConnected),
            (closed, AccessLogType.TcpConnectionEnd),
        )
        if counters
    ]


def _stats(config: StatsConfig, only: int | None = None) -> AccessLog:
    log = AccessLog(name="envoy.access_loggers.stats", typed_config=any_of(config))
    if only is not None:
        log.filter.CopyFrom(_only(only))
    return log


def _only(event: int) -> AccessLogFilter:
    return AccessLogFilter(log_type_filter=LogTypeFilter(types=[event]))


def announce() -> HttpFilter:
    """Set the header with the client's labels, in place of the application's own.

    For a cluster with endpoints that may be called in plain text. Clusters are the same for all proxies, so the value
    is a variable of the proxy's container.
    """
    option = HeaderValueOption(
        header=HeaderValue(key=PEER_HEADER, value=f"%ENVIRONMENT({PEER_VARIABLE})%"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    config = HeaderMutation(mutations=Mutations(request_mutations=[Mutation(append=option)]))
    return HttpFilter(name="envoy.filters.http.header_mutation", typed_config=any_of(config))


def recognise() -> HttpFilter:
    """The server's side of plain text: keeps the client's labels for the metrics. The routes take the header off."""
    value = FilterStateValue(object_key=_PEER_KEY, factory_key="envoy.string", skip_if_empty=True)
    value.format_string.text_format_source.inline_string = f"%REQ({PEER_HEADER})%"
    return HttpFilter(
        name="envoy.filters.http.set_filter_state", typed_config=any_of(SetFilterState(on_request_headers=[value]))
    )

"""Access logs in Istio's format, and Istio's standard metrics, both made by Envoy's own access loggers.

https://istio.io/latest/docs/reference/config/metrics/ names the metrics and their labels. Envoy formats the tags anew
for each of the three metrics, and each command in them costs: when the count was a fourth, all labels in one tag came
to 10 µs of CPU a request and proxy, the minimum that determines them to 4 µs. So these travel as one string, and
`scraping` makes the labels of it at a scrape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.access_loggers.stats.v3.stats_pb2 import Config as StatsConfig
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation, Mutations
from envoy.extensions.filters.http.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.logformat import log_format
from mesh_lab.controlplane.xds.proxycontext import ProxyContext

Reporter = Literal["source", "destination"]
Protocol = Literal["http", "tcp"]

# Envoy's own header for the origin of a request. The headers that it has names for it finds at once; for any other,
# that a server's sidecar would look for in each request to take it off, it first puts all into a map: 1% of the work.
PEER_HEADER = "x-envoy-downstream-service-node"
PEER_VARIABLE = "MESH_LAB_PEER"
PACKED_TAG = "istio"
DURATION = "request_duration_milliseconds"
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
    """The loggers of a listener: the log, where it is on, and the metrics."""
    own = context.own.packed
    logs = [_file_log(context.mesh)] if context.mesh.access_log_file else []
    if reporting.protocol == "tcp":
        for log in logs:
            log.filter.CopyFrom(_only(AccessLogType.TcpConnectionEnd))
        return [*logs, *_tcp_metrics(packed_labels(reporting, own, "tcp"))]
    return [*logs, *(_http_metrics(packed_labels(reporting, own, spoken), spoken) for spoken in ("http", "grpc"))]


def _file_log(mesh: MeshConfig) -> AccessLog:
    log = FileAccessLog(path=mesh.access_log_file, log_format=log_format(mesh))
    return AccessLog(name="envoy.access_loggers.file", typed_config=any_of(log))


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


def _stat(name: str, labels: str) -> StatsConfig.Stat:
    return StatsConfig.Stat(name=name, tags=[StatsConfig.Tag(name=PACKED_TAG, value_format=labels)])


def _count(name: str, labels: str, value_format: str = "") -> StatsConfig.Counter:
    if value_format:
        return StatsConfig.Counter(stat=_stat(name, labels), value_format=value_format)
    return StatsConfig.Counter(stat=_stat(name, labels), value_fixed={"value": 1})


def _http_metrics(labels: str, spoken: Literal["http", "grpc"]) -> AccessLog:
    """The metrics of requests that are gRPC, or of those that are not; `scraping` counts them by their durations."""
    histogram = StatsConfig.Histogram
    histograms = [
        histogram(stat=_stat(name, labels), unit=unit, value_format=value)
        for name, unit, value in (
            (DURATION, histogram.Milliseconds, "%DURATION%"),
            ("request_bytes", histogram.Bytes, "%BYTES_RECEIVED%"),
            ("response_bytes", histogram.Bytes, "%BYTES_SENT%"),
        )
    ]
    log = _stats(StatsConfig(stat_prefix=STAT_PREFIX, histograms=histograms))
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


def _tcp_metrics(labels: str) -> list[AccessLog]:
    """Connections that were opened are counted then; the rest when they end."""
    opened = [_count("tcp_connections_opened_total", labels)]
    closed = [
        _count("tcp_connections_closed_total", labels),
        _count("tcp_sent_bytes_total", labels, "%BYTES_SENT%"),
        _count("tcp_received_bytes_total", labels, "%BYTES_RECEIVED%"),
    ]
    return [
        _stats(StatsConfig(stat_prefix=STAT_PREFIX, counters=opened), AccessLogType.TcpUpstreamConnected),
        _stats(StatsConfig(stat_prefix=STAT_PREFIX, counters=closed), AccessLogType.TcpConnectionEnd),
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

"""Telemetry: what the proxies of some pods, a namespace or the mesh trace, count and log.

https://istio.io/latest/docs/reference/config/telemetry/
"""

from __future__ import annotations

from typing import Literal

from mesh_lab.controlplane.model.base import (
    Duration,
    FreeText,
    NonEmpty,
    PercentValue,
    PolicyTargetReference,
    Spec,
    TargetReferences,
    WorkloadSelector,
)

WorkloadMode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
IstioMetric = Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]


class ProviderRef(Spec, frozen=True):
    """One of the mesh configuration's `extensionProviders`, by its name."""

    name: NonEmpty


class ModeSelector(Spec, frozen=True):
    """Whether it is for a workload as a client, as a server, or as both."""

    mode: WorkloadMode = "CLIENT_AND_SERVER"


class LiteralTag(Spec, frozen=True):
    """A value that is the same for all spans."""

    value: NonEmpty


class EnvironmentTag(Spec, frozen=True):
    """The value of a variable of the proxy's environment."""

    name: NonEmpty
    default_value: str = ""


class RequestHeaderTag(Spec, frozen=True):
    """The value of a header of the request."""

    name: NonEmpty
    default_value: str = ""


class FormatterTag(Spec, frozen=True):
    """A text with Envoy's commands."""

    value: NonEmpty


class CustomTag(Spec, frozen=True):
    """A tag of a span: exactly one of the four."""

    literal: LiteralTag | None = None
    environment: EnvironmentTag | None = None
    header: RequestHeaderTag | None = None
    formatter: FormatterTag | None = None


class Tracing(Spec, frozen=True):
    """How spans are made, and by which provider they are reported."""

    match: ModeSelector | None = None
    providers: list[ProviderRef] = []
    random_sampling_percentage: PercentValue | None = None
    disable_span_reporting: bool | None = None
    custom_tags: dict[str, CustomTag] = {}
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None
    disable_context_propagation: bool | None = None


class MetricSelector(Spec, frozen=True):
    """Metrics: one of Istio's, or one by its own name."""

    metric: IstioMetric | None = None
    custom_metric: NonEmpty | None = None
    mode: WorkloadMode = "CLIENT_AND_SERVER"


class TagOverride(Spec, frozen=True):
    """A tag that a metric gets, or loses."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: FreeText = ""


class MetricsOverrides(Spec, frozen=True):
    """How metrics differ from Istio's standard ones."""

    match: MetricSelector | None = None
    disabled: bool | None = None
    tag_overrides: dict[str, TagOverride] = {}


class Metrics(Spec, frozen=True):
    """What a provider counts."""

    providers: list[ProviderRef] = []
    overrides: list[MetricsOverrides] = []
    reporting_interval: Duration | None = None


class LogFilter(Spec, frozen=True):
    """An expression of CEL; what it is false for is not logged."""

    expression: FreeText = ""


class AccessLogging(Spec, frozen=True):
    """What a provider logs."""

    match: ModeSelector | None = None
    providers: list[ProviderRef] = []
    disabled: bool | None = None
    filter: LogFilter | None = None


class Telemetry(Spec, frozen=True):
    """The settings of some pods, a namespace, or (in the root namespace) the mesh."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = []
    tracing: list[Tracing] = []
    metrics: list[Metrics] = []
    access_logging: list[AccessLogging] = []

"""Rules for Telemetry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh_lab.controlplane.model.telemetry import CustomTag, MetricsOverrides, TagOverride, Telemetry, Tracing
from mesh_lab.controlplane.validation.cel import expression, unable
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.common import Problem, error, warning
from mesh_lab.controlplane.validation.metrictags import peer_label, value_of
from mesh_lab.controlplane.validation.selection import selection


def telemetry(spec: Telemetry) -> Iterator[Problem]:
    """Problems of a Telemetry."""
    yield from selection(spec.selector, spec.target_ref, spec.target_refs)
    if len(spec.tracing) > 1:
        yield warning("spec.tracing", "multiple tracing is not currently supported")
    for index, tracing in enumerate(spec.tracing):
        yield from _tracing(f"spec.tracing[{index}]", tracing)
    for index, metrics in enumerate(spec.metrics):
        if metrics.reporting_interval is not None:
            text = "has no effect: the bytes of a TCP connection are counted when it ends"
            yield warning(f"spec.metrics[{index}].reportingInterval", text)
        for number, override in enumerate(metrics.overrides):
            yield from _override(f"spec.metrics[{index}].overrides[{number}]", override)
    for index, logging in enumerate(spec.access_logging):
        if logging.filter is not None:
            path = f"spec.accessLogging[{index}].filter.expression"
            yield from expression(path, logging.filter.expression)
            if function := unable(logging.filter.expression):
                yield warning(path, f"Envoy has no function {function} of CEL here: all is logged")


def _tracing(path: str, tracing: Tracing) -> Iterator[Problem]:
    if len(tracing.providers) > 1:
        yield warning(f"{path}.providers", "multiple providers is not currently supported")
    if tracing.disable_context_propagation:
        yield warning(f"{path}.disableContextPropagation", "has no effect: Envoy, as its project builds it, propagates")
    for name, tag in tracing.custom_tags.items():
        where = f"{path}.customTags[{name}]"
        if not name:
            yield error(where, "tag name may not be empty")
        yield from _tag(where, tag)


def _tag(path: str, tag: CustomTag) -> Iterator[Problem]:
    given = [part for part in (tag.literal, tag.environment, tag.header, tag.formatter) if part is not None]
    if len(given) > 1:
        yield error(path, "only one of literal, environment, header and formatter may be given")
    elif not given:
        yield warning(path, "one of literal, environment, header and formatter must be given: the tag has no effect")
    if tag.formatter is not None:
        yield from commands(f"{path}.formatter.value", tag.formatter.value)


def _override(path: str, override: MetricsOverrides) -> Iterator[Problem]:
    if override.match is not None and override.match.metric and override.match.custom_metric:
        yield error(f"{path}.match", "only one of metric and customMetric may be given")
    if override.match is not None and (override.match.metric or "").startswith("GRPC_"):
        yield warning(f"{path}.match.metric", "has no effect: messages of gRPC are not counted one by one here")
    for name, tag in override.tag_overrides.items():
        where = f"{path}.tagOverrides[{name}]"
        if not name:
            yield warning(where, "tagOverrides.name may not be empty")
        yield from _tag_override(where, tag)


def _tag_override(path: str, tag: TagOverride) -> Iterator[Problem]:
    if tag.operation == "REMOVE" and tag.value:
        yield error(f"{path}.value", "tagOverrides.value may only be set when operation is UPSERT")
    elif tag.operation == "UPSERT" and not tag.value:
        yield error(f"{path}.value", "tagOverrides.value must be set when operation is UPSERT")
    elif tag.operation == "UPSERT":
        found = list(expression(f"{path}.value", tag.value))
        yield from (problem._replace(severity="warning") for problem in found)
        if not found and (reason := untold(tag.value)):
            yield warning(f"{path}.value", reason)


_PEER = re.compile(r"\b(?:up|down)stream_peer\b")


def untold(text: str) -> str:
    """Why an expression for a tag tells nothing here; empty when it does. See `xds.metricrules`."""
    label = peer_label(text)
    if label == "":
        return (
            "of a peer only app, version, workload, namespace, service, revision and cluster are known: it is unknown"
        )
    if label is None and _PEER.search(text):
        return "a peer can only be asked for one of its fields, by itself: the tag is unknown"
    function = unable(value_of(text)) if label is None else ""
    return f"Envoy has no function {function} of CEL here: the tag is left out" if function else ""

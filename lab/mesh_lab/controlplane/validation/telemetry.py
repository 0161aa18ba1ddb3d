"""Rules for Telemetry."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.telemetry import CustomTag, MetricsOverrides, TagOverride, Telemetry, Tracing
from mesh_lab.controlplane.validation.cel import expression
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.common import Problem, error, warning
from mesh_lab.controlplane.validation.selection import selection


def telemetry(spec: Telemetry) -> Iterator[Problem]:
    """Problems of a Telemetry."""
    yield from selection(spec.selector, spec.target_ref, spec.target_refs)
    if len(spec.tracing) > 1:
        yield warning("spec.tracing", "multiple tracing is not currently supported")
    for index, tracing in enumerate(spec.tracing):
        yield from _tracing(f"spec.tracing[{index}]", tracing)
    for index, metrics in enumerate(spec.metrics):
        for number, override in enumerate(metrics.overrides):
            yield from _override(f"spec.metrics[{index}].overrides[{number}]", override)
    for index, logging in enumerate(spec.access_logging):
        if logging.filter is not None:
            yield from expression(f"spec.accessLogging[{index}].filter.expression", logging.filter.expression)


def _tracing(path: str, tracing: Tracing) -> Iterator[Problem]:
    if len(tracing.providers) > 1:
        yield warning(f"{path}.providers", "multiple providers is not currently supported")
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
        for problem in expression(f"{path}.value", tag.value):
            yield problem._replace(severity="warning")

"""Events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.printing.columns import Cells, Column, Printer, name, part, wide
from mesh_lab.kube.registry.printing.durations import since
from mesh_lab.kube.registry.rules.causes import invalid
from mesh_lab.kube.registry.rules.fields import MAY_BE_EMPTY, Rules
from mesh_lab.kube.resources import EVENTS

_CLUSTER_EVENTS = ("default", "kube-system")
_LABELS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "type",
)
_FIELDS: Rules = {
    ("Event", "involvedObject"): MAY_BE_EMPTY,
}


def _check(event: Object) -> Iterator[Cause]:
    """An Event stands in the namespace of what it is about; those about cluster-wide objects in `default`."""
    namespace = event["metadata"].get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    if about != namespace and not (not about and namespace in _CLUSTER_EVENTS):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    target, series = part(obj, "involvedObject"), part(obj, "series")
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    count = series.get("count") or obj.get("count") or 1
    last = obj.get("lastTimestamp") or obj.get("eventTime")
    if series:
        last = series.get("lastObservedTime") or last
    seen = since(last, now) if last else first
    if count > 1:
        seen = f"{seen} (x{count} over {first})"
    source = [part(obj, "source").get("component") or obj.get("reportingComponent", "")]
    source += [part(obj, "source").get("host") or obj.get("reportingInstance", "")]
    return [
        seen,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(target.get('kind', '')).lower()}/{target.get('name', '')}",
        target.get("fieldPath", ""),
        ", ".join(word for word in source if word),
        str(obj.get("message", "")).strip(),
        first,
        count,
        name(obj),
    ]


BEHAVIOUR = Behaviour(
    EVENTS,
    fields=_FIELDS,
    check=_check,
    field_labels=(*map(FieldLabel, _LABELS), FieldLabel("source", "source.component")),
    grants=(Grant("view", READ), Grant("edit", WRITE)),
    printer=Printer(
        (
            Column("Last Seen"),
            Column("Type"),
            Column("Reason"),
            Column("Object"),
            *wide("Subobject", "Source"),
            Column("Message"),
            *wide("First Seen", "Count"),
            Column("Name", format="name", priority=1),
        ),
        _row,
    ),
)

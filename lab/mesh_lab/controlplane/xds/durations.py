"""Istio's durations and percentages as Envoy's messages."""

from __future__ import annotations

from envoy.type.v3 import percent_pb2
from google.protobuf.duration_pb2 import Duration

from mesh_lab.controlplane.model.base import Percent
from mesh_lab.controlplane.model.units import nanoseconds

_BILLION = 1_000_000_000


def duration(text: str) -> Duration:
    """A duration such as `1m30s`."""
    seconds, rest = divmod(nanoseconds(text), _BILLION)
    return Duration(seconds=seconds, nanos=rest)


def seconds(number: float) -> Duration:
    """A duration of that many seconds."""
    whole, rest = divmod(round(number * _BILLION), _BILLION)
    return Duration(seconds=whole, nanos=rest)


def fraction(percent: Percent) -> percent_pb2.FractionalPercent:
    """A percentage, exact to one in a million."""
    return percent_pb2.FractionalPercent(
        numerator=round(percent.value * 10_000), denominator=percent_pb2.FractionalPercent.MILLION
    )

"""Endpoints that are chosen by more than labels, and those that stand in for others: what no DestinationRule can say.

A part of the model in which all dialects meet, as `internal` is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesh_lab.controlplane.model.destinationrule import DestinationRule, Subset


class Instances(msgspec.Struct, frozen=True, tag=True):
    """Some of a service's instances, by what their pods say. Each dialect brings its own ways to tell them."""

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether a pod with these labels and annotations is one of them."""
        raise NotImplementedError


class Fallback(msgspec.Struct, frozen=True):
    """The endpoints that are called where others have no healthy one: of a host's port, or of a subset of it."""

    host: str
    subset: str = ""


class ChosenSubset(Subset, frozen=True):
    """A subset that more than labels decide on; `fallbacks` stand in for it, in their order."""

    instances: Instances | None = None
    fallbacks: tuple[Fallback, ...] = ()


class ServiceRule(DestinationRule, frozen=True):
    """A rule whose host has `fallbacks`, for its endpoints as a whole."""

    fallbacks: tuple[Fallback, ...] = ()

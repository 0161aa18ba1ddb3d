"""`infrastructure.parametersRef` of a Gateway, and the parameters of all Gateways of its class.

As in Istio: a ConfigMap with overlays. https://gateway-api.sigs.k8s.io/reference/spec/#gatewayinfrastructure
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.controlplane.model.gatewayapi import Gateway
from mesh_lab.controlplane.world.configmapdata import OVERLAID, ConfigMapData
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi import overlays
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict


class Overlay(NamedTuple):
    """What is laid over an object of a kind."""

    kind: str
    content: dict[str, Any]


class Parameters(NamedTuple):
    """The overlays, in their order; or why a Gateway's parameters cannot be used."""

    overlays: tuple[Overlay, ...] = ()
    refused: Verdict | None = None


def of(resource: Resource[Gateway], spec: Gateway, sources: Sources) -> Parameters:
    """Those of a Gateway: its class's first, then its own."""
    found: list[tuple[str, ConfigMapData]] = []
    classes = (
        (f"ConfigMap {namespace}/{name}", each)
        for (namespace, name), each in sorted(sources.config_maps.items())
        if namespace == sources.root_namespace and each.of_class == spec.gateway_class_name
    )
    if (first := next(classes, None)) is not None:
        found.append(first)
    ref = spec.infrastructure.parameters_ref if spec.infrastructure is not None else None
    if ref is not None:
        where = f"infrastructure.parametersRef: {ref.kind} {resource.namespace}/{ref.name}"
        if (ref.group, ref.kind) != ("", "ConfigMap"):
            return Parameters(refused=Verdict("InvalidParameters", f"{where}: only ConfigMaps hold parameters"))
        own = sources.config_maps.get((resource.namespace, ref.name))
        if own is None or not own.overlays:
            text = f"{where}: there is none with a key of {', '.join(OVERLAID)}"
            return Parameters(refused=Verdict("InvalidParameters", text))
        found.append((where, own))
    made: list[Overlay] = []
    for where, each in found:
        for key, text in (each.overlays or {}).items():
            try:
                made.append(Overlay(OVERLAID[key], overlays.read(key, text)))
            except ValueError as error:
                return Parameters(refused=Verdict("InvalidParameters", f"{where}: {error}"))
    return Parameters(tuple(made))

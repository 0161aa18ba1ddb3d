"""Patches of routes. Source: pilot/pkg/networking/core/envoyfilter/rc_patch.go of Istio 1.30."""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.controlplane.model.envoyfilter import ApplyTo, PatchContext
from mesh_lab.controlplane.xds.patches import lists, matches
from mesh_lab.controlplane.xds.patches.merging import merge
from mesh_lab.controlplane.xds.patches.patch import Patch, Patches, Record


class Change(NamedTuple):
    """The patches of one route configuration."""

    context: PatchContext
    patches: Patches
    record: Record

    def of(self, apply_to: ApplyTo) -> Patches:
        """Those for one kind of subject."""
        return tuple(patch for patch in self.patches if patch.apply_to == apply_to)


def change(message: Any, context: PatchContext, ports: matches.Ports, patches: Patches, record: Record) -> None:
    """Apply patches to a route configuration, then to its virtual hosts and their routes."""
    suited = tuple(p for p in patches if p.suits(context) and matches.routes(p, context, message, ports))
    work = Change(context, suited, record)
    for patch in work.of("ROUTE_CONFIGURATION"):
        if patch.merges:
            _merge(message, patch, record)
    removed = [host for host in message.virtual_hosts if not _change_host(host, work)]
    if removed:
        names = {host.name for host in removed}
        lists.remove(message.virtual_hosts, lambda host: host.name in names)
    for patch in work.of("VIRTUAL_HOST"):
        if patch.operation == "ADD":
            message.virtual_hosts.append(patch.value)
            record.took(patch)


def _merge(message: Any, patch: Patch, record: Record) -> None:
    merge(message, patch.value, replace_lists=patch.operation == "MERGE_AND_REPLACE_LIST")
    record.took(patch)


def _change_host(host: Any, work: Change) -> bool:
    """False when a patch removes the virtual host."""
    for patch in work.of("VIRTUAL_HOST"):
        if not matches.virtual_host(patch, host):
            continue
        if patch.operation == "REMOVE":
            work.record.took(patch)
            return False
        if patch.merges:
            _merge(host, patch, work.record)
        elif patch.operation == "REPLACE":
            host.CopyFrom(patch.value)
            work.record.took(patch)
    _change_routes(host, work)
    return True


def _change_routes(host: Any, work: Change) -> None:
    patches = [patch for patch in work.of("HTTP_ROUTE") if matches.virtual_host(patch, host)]
    if not patches:
        return
    kept = [route for route in host.routes if _change_route(route, patches, work.record)]
    if len(kept) < len(host.routes):
        lists.keep(host.routes, kept)
    for patch in patches:
        if patch.merges or patch.operation in ("REMOVE", "REPLACE"):
            continue
        if patch.operation == "INSERT_FIRST" and not _has(host, patch):
            continue

        def of_patch(route: Any, patch: Patch = patch) -> bool:
            return matches.route(patch, route)

        if lists.change(host.routes, patch, of_patch, named=matches.names_route(patch)):
            work.record.took(patch)


def _has(host: Any, patch: Patch) -> bool:
    """Whether a virtual host has a route that a patch names."""
    return not matches.names_route(patch) or any(matches.route(patch, route) for route in host.routes)


def _change_route(route: Any, patches: list[Patch], record: Record) -> bool:
    """False when a patch removes the route."""
    for patch in patches:
        if not matches.route(patch, route):
            continue
        if patch.operation == "REMOVE":
            record.took(patch)
            return False
        if patch.merges:
            _merge(route, patch, record)
    return True
